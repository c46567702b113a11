from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from hyperspy_rvae.models import RVAE, training

NO_WORK = pytest.mark.usefixtures("no_work")
GOOD = np.random.default_rng(0).random((12, 6, 7))


def with_one(value):
    bad = GOOD.copy()
    bad[3, 2, 1] = value
    return bad


@pytest.fixture
def no_work(monkeypatch):
    def fail(*_):
        raise AssertionError("work was done before the check")

    monkeypatch.setattr(training, "_epoch", fail)


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        (GOOD * 1j, ValueError, "complex128.*take the modulus"),
        (csr_array(GOOD[:, 0]), TypeError, "dense, got a sparse array"),
        (GOOD.astype(str), TypeError, "real numbers"),
        (GOOD.astype(object), TypeError, "real numbers"),
        (GOOD[0, 0], ValueError, r"got \(7,\)"),
        (GOOD[None, None], ValueError, r"\(n, height, width\)"),
        (GOOD[:, :0, None], ValueError, r"\(n, channels, height, width\)"),
        (GOOD[None], ValueError, "at least 10 subimages to learn from, got 1;"),
        (np.float64(3), ValueError, r"got \(\)"),
        (GOOD.reshape(12, 42), ValueError, "rows of 42 pixels"),
        (with_one(np.nan), ValueError, "got 1 NaN or infinite values of 504"),
        (with_one(-np.inf), ValueError, "drop the rows"),
        (GOOD[:, :4], ValueError, r"at least 5 px high and wide, got \(4, 7\)"),
        (GOOD[:, :, :4].reshape(18, 16), ValueError, r"got \(4, 4\)"),
        (GOOD[:9], ValueError, "at least 10 subimages to learn from, got 9"),
        (GOOD[:0], ValueError, "got 0"),
        (np.full((12, 6, 7), 3), ValueError, "must vary, got pixels from 3 to 3"),
        (np.repeat(GOOD[:1], 12, 0), ValueError, "must differ, got one window 12 times"),
    ],
)
@NO_WORK
def test_subimages_to_fit(X, error, match):
    model = RVAE(epochs=1, seed=0)
    with pytest.raises(error, match=match):
        model.fit(X)
    assert not hasattr(model, "latent_names_")


@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"latent_dim": 0}, ValueError, "latent_dim must be at least 1, got 0"),
        ({"latent_dim": 2.0}, TypeError, "latent_dim must be an integer, got 2.0"),
        ({"latent_dim": True}, TypeError, "latent_dim"),
        ({"latent_dim": None}, TypeError, "latent_dim"),
        ({"beta": -0.1}, ValueError, "beta"),
        ({"beta": np.nan}, ValueError, "beta"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0; None trains"),
        ({"epochs": 1.5}, TypeError, "epochs"),
        ({"patience": 0}, ValueError, "patience"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"learning_rate": 0}, ValueError, "learning_rate"),
        ({"learning_rate": np.inf}, ValueError, "learning_rate"),
        ({"learning_rate": "fast"}, ValueError, "learning_rate"),
        ({"validation_fraction": 1}, ValueError, "validation_fraction"),
        ({"validation_fraction": -0.1}, ValueError, "validation_fraction"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": 1.5}, ValueError, "seed"),
        ({"invariances": ("rotations",)}, ValueError, "got 'rotations'"),
        ({"invariances": ("rotation", "rotation")}, ValueError, "name each once"),
        ({"invariances": "rotation"}, TypeError, "tuple of names, got 'rotation'"),
        ({"invariances": None}, TypeError, "tuple of names"),
        ({"invariances": ("scale", "scale")}, ValueError, "must differ"),
        ({"invariances": ("s",)}, ValueError, r"'scale'\), got 's'"),
        (
            {"rotation_symmetry": 0},
            ValueError,
            "'auto' or a whole number from 1 on, up to 1000, got 0",
        ),
        ({"rotation_symmetry": "C3"}, ValueError, "rotation_symmetry"),
        ({"rotation_symmetry": 3, "invariances": ()}, ValueError, "needs 'rotation' among"),
        (
            {"rotation_symmetry": "auto", "decoder": "spatial"},
            ValueError,
            "the steerable decoder, got .* 'spatial'",
        ),
        ({"rotation_prior": 0}, ValueError, "positive width up to 3.142 rad, got 0"),
        ({"rotation_prior": 20}, ValueError, "rotation_prior"),
        ({"rotation_prior": "narrow"}, ValueError, "rotation_prior"),
        ({"translation_prior": -1.0}, ValueError, "positive width up to 1e.04 px, got -1.0"),
        ({"translation_prior": np.inf}, ValueError, "translation_prior"),
        ({"rotation_prior": 0.1, "invariances": ()}, ValueError, "needs 'rotation' among"),
        (
            {"translation_prior": 0.1, "invariances": ["rotation"]},
            ValueError,
            "needs 'translation' among the invariances",
        ),
        ({"device": "gpu"}, ValueError, "device must be None, 'cpu' or 'cuda', got 'gpu'"),
        ({"device": 0}, ValueError, "device"),
    ],
)
@NO_WORK
def test_parameters(parameters, error, match):
    model = RVAE(**parameters)  # stores, and does no work
    with pytest.raises(error, match=match):
        model.fit(GOOD)


def test_no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch finds none"):
        RVAE(device="cuda").fit(GOOD)


@NO_WORK
def test_callback():
    with pytest.raises(TypeError, match="callback must be a function"):
        RVAE().fit(GOOD, callback=3)


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score"])
def test_subimages_of_another_window(quick, method):
    call = getattr(quick, method)
    with pytest.raises(ValueError, match=r"shape \(9, 7\), and the model was fitted to \(7, 9\)"):
        call(np.zeros((3, 9, 7)))
    with pytest.raises(ValueError, match="fitted to"):
        call(np.zeros((3, 62)))
    with pytest.raises(ValueError, match="one subimage to a row"):
        call(np.zeros((1, 1, 1, 7, 9)))
    with pytest.raises(ValueError, match="NaN"):
        call(np.full((3, 7, 9), np.nan))
    with pytest.raises(ValueError, match="complex"):
        call(np.zeros((3, 7, 9), complex))


def test_nothing_to_score(quick):
    with pytest.raises(ValueError, match="at least one"):
        quick.score(np.zeros((0, 7, 9)))


@pytest.mark.parametrize("Z", [np.zeros((3, 5)), np.zeros(6), np.zeros((1, 3, 6)), np.zeros(())])
def test_latents_of_another_shape(quick, Z):
    with pytest.raises(ValueError, match=r"\(n, 6\), with the columns angle, shift_x, shift_y, z1"):
        quick.inverse_transform(Z)


def test_latents_must_be_numbers(quick):
    with pytest.raises(ValueError, match="NaN"):
        quick.inverse_transform(np.full((3, 6), np.nan))
    with pytest.raises(ValueError, match="6 NaN or infinite"):
        quick.inverse_transform(np.full((1, 6), 1e300))
    with pytest.raises(TypeError, match="real numbers"):
        quick.inverse_transform([["a"] * 6])
