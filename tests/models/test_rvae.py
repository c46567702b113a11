from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hyperspy_rvae.models import RVAE

NOISE = 0.1  # of the dumbbells


def apart(first, second):
    """Angles between angles."""
    return np.abs(np.angle(np.exp(1j * (np.asarray(first) - second))))


def test_angle_over_the_full_circle(dumbbells, fitted):
    angle = fitted.transform(dumbbells.images)[:, 0]
    assert angle.min() < -2.5 and angle.max() > 2.5
    turn = np.exp(1j * (angle - dumbbells.angle))
    origin = np.angle(turn.mean())
    off = np.rad2deg(apart(angle, dumbbells.angle + origin))
    assert np.median(off) < 4
    assert np.mean(off < 15) > 0.95


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_angle_turns_with_the_image(dumbbells, fitted, quarters):
    before = fitted.transform(dumbbells.images)
    after = fitted.transform(np.rot90(dumbbells.images, quarters, (1, 2)))
    assert apart(after[:, 0], before[:, 0] + quarters * np.pi / 2).max() < 1e-3
    np.testing.assert_allclose(after[:, 3:], before[:, 3:], atol=1e-3)


def test_shift_is_right_and_down(dumbbells, fitted):
    # The origin of the content's frame is the model's own, and turns with the angle.
    values = fitted.transform(dumbbells.images).astype(float)
    cos, sin, one = np.cos(values[:, 0]), np.sin(values[:, 0]), np.ones(len(values))
    for column, origin in ((0, [cos, sin]), (1, [-sin, cos])):
        design = np.stack([dumbbells.shift[:, column], *origin, one], 1)
        slope = np.linalg.lstsq(design, values[:, 1 + column], rcond=None)[0][0]
        assert slope == pytest.approx(1, abs=0.15)


def test_shift_alone(dumbbells):
    aligned = np.stack([np.roll(dumbbells.images[0], s, (0, 1)) for s in _steps(90)])
    noise = np.random.default_rng(0).normal(0, NOISE, aligned.shape)
    model = RVAE(1, invariances=["translation"], epochs=40, seed=0).fit(aligned + noise)
    assert model.latent_names_ == ("shift_x", "shift_y", "z1")
    values = model.transform(aligned + noise)
    down, right = _steps(90).T
    assert np.corrcoef(values[:, 0], right)[0, 1] > 0.8
    assert np.corrcoef(values[:, 1], down)[0, 1] > 0.8


def _steps(n):
    return np.random.default_rng(7).integers(-1, 2, (n, 2))


def test_noise_variance(fitted):
    # What the grid of shifts and the band leave of such sharp atoms counts as noise.
    allowed = 0.25 if fitted.decoder == "steerable" else 0.15
    assert fitted.noise_variance_ == pytest.approx(NOISE**2, rel=allowed)
    assert fitted.history_[-1]["noise_variance"] == pytest.approx(fitted.noise_variance_)


def test_reconstruction_is_better_than_the_data(dumbbells, fitted):
    truth = dumbbells.images - _noise(dumbbells)
    error = np.square(fitted.reconstruct(dumbbells.images) - truth).mean()
    assert error < 0.3 * NOISE**2


def _noise(dumbbells):
    # As conftest draws it, after the angles and the shifts.
    rng = np.random.default_rng(1)
    n = len(dumbbells.images)
    rng.uniform(size=n), rng.uniform(size=(n, 2))
    return rng.normal(0, NOISE, dumbbells.images.shape)


def test_inverse_transform_puts_the_pose_back(fitted):
    still, turned, moved = fitted.inverse_transform(
        [[0, 0, 0, 0.3], [np.pi / 2, 0, 0, 0.3], [0, 2, -1, 0.3]]
    )
    np.testing.assert_allclose(turned, np.rot90(still), atol=1e-4)
    y, x = np.mgrid[-6:7, -6:7]
    seen = np.hypot(x, y) <= 6.5 if fitted.decoder == "steerable" else np.ones((13, 13), bool)
    both = seen[:-1, 2:] & seen[1:, :-2]
    np.testing.assert_allclose(moved[:-1, 2:][both], still[1:, :-2][both], atol=1e-4)


def test_score_is_the_bound_on_the_inputs_own_scale(dumbbells, fitted):
    images, decoder = dumbbells.images, fitted.decoder
    hardly = RVAE(1, decoder=decoder, epochs=1, seed=0).fit(images)
    assert fitted.score(images) > hardly.score(images)
    assert fitted.score(images) == fitted.score(images)
    # The density of numbers a thousand times smaller is a thousand times higher, for each pixel.
    milli = RVAE(1, decoder=decoder, epochs=1, seed=0).fit(images * 1e-3)
    y, x = np.mgrid[-6:7, -6:7]
    seen = np.hypot(x, y) <= 6.5 if decoder == "steerable" else np.ones((13, 13), bool)
    gain = seen.sum() * np.log(1e3)
    assert milli.score(images * 1e-3) == pytest.approx(hardly.score(images) + gain, abs=0.5)
    # No code beats the noise: with its true variance, noise alone has this log-likelihood.
    best = -0.5 * seen.sum() * np.log(2 * np.pi * np.e * NOISE**2)
    assert 0 < fitted.score(images) < best + 20


def test_history(windows, quick):
    history = quick.history_
    assert len(history) == 2
    assert all(type(value) is float for record in history for value in record.values())
    assert set(history[0]) == {
        "loss",
        "reconstruction",
        "divergence",
        "validation_loss",
        "noise_variance",
    }
    for record in history:
        total = record["reconstruction"] + record["divergence"]
        assert record["loss"] == pytest.approx(total)


def test_callback(windows):
    seen = []
    model = RVAE(1, epochs=3, seed=0).fit(windows, callback=lambda *call: seen.append(call))
    assert seen == list(enumerate(model.history_))
    again = RVAE(1, epochs=3, seed=0).fit(windows)
    assert again.history_ == model.history_


def test_nothing_need_be_held_out(windows):
    model = RVAE(1, epochs=2, validation_fraction=0, seed=0).fit(windows)
    assert "validation_loss" not in model.history_[0]


@pytest.mark.parametrize("fraction", [0, 0.25])
def test_a_plateau_ends_the_training(fraction):
    nothing_to_learn = np.random.default_rng(0).normal(size=(23, 7, 8))
    model = RVAE(1, epochs=60, patience=2, validation_fraction=fraction, seed=0)
    assert 3 <= len(model.fit(nothing_to_learn).history_) < 60


@pytest.mark.parametrize(("decoder", "longest"), [("steerable", 160), ("spatial", 60)])
def test_without_epochs_training_ends_by_itself(decoder, longest):
    nothing_to_learn = np.random.default_rng(0).normal(size=(300, 7, 8))
    model = RVAE(1, decoder=decoder, batch_size=5, seed=0).fit(nothing_to_learn)
    assert 5 <= len(model.history_) < longest


def test_every_epoch_runs_without_patience(windows):
    assert len(RVAE(1, epochs=37, seed=0).fit(windows).history_) == 37


def test_the_best_weights_are_kept(windows):
    model = RVAE(1, epochs=200, patience=3, validation_fraction=0.3, seed=0)
    losses = []
    model.fit(windows, callback=lambda epoch, record: losses.append(record["validation_loss"]))
    best = model.history_[int(np.argmin(losses))]
    assert model.noise_variance_ == pytest.approx(best["noise_variance"])


def test_same_seed_same_result(windows, quick):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = clone(quick).fit(windows)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    for name, value in quick.weights().items():
        assert np.array_equal(again.weights()[name], value), name
    np.testing.assert_array_equal(again.transform(windows), quick.transform(windows))
    other = clone(quick).set_params(seed=5).fit(windows)
    assert not np.array_equal(other.transform(windows), quick.transform(windows))


def test_a_drawn_seed_can_be_used_again(windows):
    model = RVAE(1, epochs=1).fit(windows)
    again = RVAE(1, epochs=1, seed=model.seed_).fit(windows)
    np.testing.assert_array_equal(again.transform(windows), model.transform(windows))


@pytest.mark.parametrize(("factor", "offset"), [(1e4, 1e5), (1e-6, 0), (1e-9, 0), (-1, 3)])
def test_any_unit_gives_the_same_latents(windows, factor, offset):
    windows = windows.astype(float)
    model = RVAE(2, epochs=2, seed=0).fit(windows)
    other = RVAE(2, epochs=2, seed=0).fit(windows * factor + offset)
    shown = other.reconstruct(windows * factor + offset)
    assert np.isfinite(shown).all() and np.isfinite(other.score(windows * factor + offset))
    if factor > 0:
        np.testing.assert_allclose(
            other.transform(windows * factor + offset), model.transform(windows), atol=2e-3
        )
        truth = model.reconstruct(windows) * factor + offset
        np.testing.assert_allclose(shown, truth, rtol=1e-5, atol=1e-3 * factor)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.uint8, np.int64, bool])
def test_any_real_type(windows, kind):
    counts = np.clip(windows * 40 + 60, 0, 200)
    X = counts > 70 if kind is bool else counts.astype(kind)
    model = RVAE(1, epochs=1, seed=0).fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert model.reconstruct(X).shape == X.shape


@pytest.mark.parametrize("latent_dim", [1, 2, 7])
@pytest.mark.parametrize(
    ("invariances", "pose"),
    [
        (("translation", "rotation"), ("angle", "shift_x", "shift_y")),
        (("rotation",), ("angle",)),
        (["translation"], ("shift_x", "shift_y")),
        ((), ()),
    ],
)
def test_the_family(windows, invariances, pose, latent_dim):
    model = RVAE(latent_dim, invariances=invariances, epochs=1, seed=0).fit(windows)
    assert model.latent_names_ == pose + tuple(f"z{k + 1}" for k in range(latent_dim))
    n, latents = len(windows), len(model.latent_names_)
    values, std = model.transform(windows, return_std=True)
    assert values.shape == std.shape == (n, latents) and (std > 0).all()
    np.testing.assert_array_equal(values, model.transform(windows))
    assert model.inverse_transform(values).shape == windows.shape
    np.testing.assert_allclose(model.inverse_transform(values), model.reconstruct(windows))
    assert model.components_.shape == (latents, 63)
    assert model.window_shape_ == (7, 9) and model.n_features_in_ == 63


def test_components_are_decoded_traversals(fitted):
    spread = np.zeros((2, 4))
    spread[:, 3] = fitted.weights()["spread"][3] * np.array([1, -1])
    above, below = fitted.inverse_transform(spread)
    np.testing.assert_allclose(fitted.components_[3], (above - below).ravel(), atol=1e-5)
    assert fitted.weights()["spread"][0] == pytest.approx(np.pi / 2)  # angles are uniform


def test_flattened_squares(dumbbells, fitted):
    images = dumbbells.images[:17]
    flat = images.reshape(17, -1)
    np.testing.assert_array_equal(fitted.transform(flat), fitted.transform(images))
    assert fitted.reconstruct(flat).shape == flat.shape
    model = RVAE(1, epochs=1, seed=0).fit(flat)
    assert model.window_shape_ == (13, 13)


def test_nothing_to_transform(quick):
    assert quick.transform(np.empty((0, 7, 9))).shape == (0, 6)
    assert quick.inverse_transform(np.empty((0, 6))).shape == (0, 7, 9)


def test_scikit_learn_manners(windows):
    model = RVAE(3, invariances=("rotation",), epochs=1, batch_size=5, seed=3)
    assert clone(model).get_params() == model.get_params()
    assert model.set_params(beta=0.5).beta == 0.5
    assert not hasattr(model, "latent_names_") and not hasattr(model, "components_")
    pipeline = make_pipeline(FunctionTransformer(np.sqrt), model)
    values = pipeline.fit_transform(np.abs(windows))
    assert values.shape == (23, 4)
    np.testing.assert_allclose(pipeline.transform(np.abs(windows)), values, atol=1e-6)
    assert np.isfinite(pipeline.score(np.abs(windows)))
    assert model.fit(windows, None) is model


def test_copies_and_threads(windows, quick):
    expected = quick.transform(windows)
    for copy in (deepcopy(quick), pickle.loads(pickle.dumps(quick))):
        np.testing.assert_array_equal(copy.transform(windows), expected)
        np.testing.assert_array_equal(copy.components_, quick.components_)
    with ThreadPoolExecutor(4) as pool:
        for values in pool.map(quick.transform, [windows] * 12):
            np.testing.assert_array_equal(values, expected)


def test_blocks_give_what_the_whole_gives(windows, quick):
    blocks = [quick.transform(windows[a:b]) for a, b in pairwise([0, 4, 5, 23])]
    np.testing.assert_allclose(np.concatenate(blocks), quick.transform(windows), atol=1e-5)


def test_before_fit():
    model = RVAE()
    calls = [
        lambda: model.transform(np.zeros((11, 7, 9))),
        lambda: model.inverse_transform(np.zeros((11, 5))),
        lambda: model.reconstruct(np.zeros((11, 7, 9))),
        lambda: model.score(np.zeros((11, 7, 9))),
        lambda: model.configuration(),
        lambda: model.weights(),
    ]
    for call in calls:
        with pytest.raises(NotFittedError):
            call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same(windows):
    here = RVAE(2, epochs=2, device="cpu", seed=0).fit(windows)
    there = RVAE(2, epochs=2, device="cuda", seed=0).fit(windows)
    np.testing.assert_allclose(there.transform(windows), here.transform(windows), atol=1e-2)
