"""The spatial decoder with an encoder of convolutions."""

from __future__ import annotations

import json
import pickle

import dask.array as da
import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import Generator

from hyperspy_rvae.data.motifs import graphene_motifs
from hyperspy_rvae.models import RVAE
from hyperspy_rvae.models.convolutional import Convolutions
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.nets import Network

CONV = {"decoder": "spatial", "encoder": "conv"}
OPTIONS = CONV | {"epochs": 3, "batch_size": 6, "seed": 4}


@pytest.fixture(scope="module")
def few(windows):
    return RVAE(2, **OPTIONS).fit(windows)


def test_the_pose_of_an_edge():
    windows, truth = graphene_motifs(220, 16, kinds=["edge"], bond_px=5, shift_px=1, seed=2)
    values = RVAE(1, **CONV, epochs=20, seed=0).fit(windows).transform(windows).astype(float)
    turn = np.exp(1j * (values[:, 0] - truth["angle"]))
    off = np.rad2deg(np.abs(np.angle(turn / turn.mean())))
    assert np.mean(off < 10) > 0.9
    # The origin of the content's frame is the model's own, and turns with the angle.
    cos, sin = np.cos(values[:, 0]), np.sin(values[:, 0])
    frame = np.block([[cos[:, None], sin[:, None]], [-sin[:, None], cos[:, None]]])
    apart = (values[:, 1:3] - truth[["shift_x", "shift_y"]]).to_numpy().T.ravel()
    origin = np.linalg.lstsq(frame, apart)[0]
    assert np.sqrt(np.square(apart - frame @ origin).mean()) < 0.3  # the shifts themselves: 0.58


@pytest.mark.parametrize("window", [(5, 5), (5, 8), (9, 9), (16, 16), (17, 6)])
@pytest.mark.parametrize("channels", [1, 2])
def test_exact_turns(window, channels):
    network = Network(window, LatentSpace(3, True, True), 2, channels, "conv")
    network.start(Generator().manual_seed(3))
    quarters = 1 if window[0] == window[1] else 2
    images = np.random.default_rng(0).normal(size=(4, channels, *window)).astype(np.float32)
    turned = np.rot90(images, quarters, (2, 3)).copy()
    context = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0.5, 2]])
    (mean, std), (mean_turned, std_turned) = (
        network.encode(torch.from_numpy(x).flatten(1), context) for x in (images, turned)
    )
    turn = (mean_turned - mean)[:, 0] - quarters * np.pi / 2
    np.testing.assert_allclose(np.exp(1j * turn.detach().numpy()), 1, atol=1e-4)
    # On the display, (right, down) turned by a quarter is (down, -right).
    x, y = mean[:, 1], mean[:, 2]
    expected = torch.stack([y, -x] if quarters == 1 else [-x, -y], 1)
    torch.testing.assert_close(mean_turned[:, 1:3], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mean_turned[:, 3:], mean[:, 3:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(std_turned[:, [0, 3, 4, 5]], std[:, [0, 3, 4, 5]])


def test_convolutions_are_those_of_the_definition():
    # By sums over each pixel's surroundings, zero beyond the window.
    found = Convolutions(2, 5, 6, 3)
    found.start(Generator().manual_seed(0))
    window = np.random.default_rng(1).normal(size=(2, 5, 6))
    values = window
    for layer in found.layers:
        weight, bias = (part.detach().numpy() for part in (layer.weight, layer.bias))
        padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
        height, width = (-(-side // 2) for side in values.shape[1:])
        values = np.empty((len(weight), height, width))
        for y, x in np.ndindex(height, width):
            seen = padded[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
            values[:, y, x] = np.tensordot(weight, seen, 3) + bias
        values = values / (1 + np.exp(-values))
    truth = found.dense.weight.detach().numpy() @ values.ravel()
    given = torch.from_numpy(window.ravel()).float().expand(300, 4, -1)
    shown = found(given).detach().numpy()
    assert shown.shape == (300, 4, 3)
    np.testing.assert_allclose(shown, np.broadcast_to(truth, shown.shape), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "invariances", [("rotation", "translation", "scale"), ("translation",), ("rotation",), ()]
)
def test_the_family(make, invariances):
    X = np.stack([make(23, 5, 8, seed=k).images * 10.0**k for k in range(2)], 1)
    label = np.array(["A", "B"])[np.arange(23) % 2]
    model = RVAE(2, invariances=invariances, **OPTIONS).fit(X, condition=label)
    values, std = model.transform(X, return_std=True, condition=label)
    assert values.shape == std.shape == (23, len(model.latent_names_)) and (std > 0).all()
    assert model.reconstruct(X, condition=label).shape == X.shape
    assert np.isfinite(model.score(X, condition=label))


def test_what_is_given_beside_the_pixels_is_read():
    network = Network((7, 9), LatentSpace(1, True, True), 1, 1, "conv")
    network.start(Generator().manual_seed(0))
    pixels = torch.randn(5, 63, generator=Generator().manual_seed(1))
    here, there = (network.encode(pixels, torch.full((5, 1), given))[0] for given in (0.0, 1.0))
    assert (here - there).abs().min() > 1e-4


def test_same_seed_same_result(windows, few):
    again = clone(few).fit(windows)
    for name, value in few.weights().items():
        assert np.array_equal(again.weights()[name], value), name
    other = clone(few).set_params(seed=5).fit(windows)
    assert not np.array_equal(other.transform(windows), few.transform(windows))


def test_any_number_of_threads_gives_the_same(windows, few):
    torch.set_num_threads(2)
    try:
        again = clone(few).fit(windows)
    finally:
        torch.set_num_threads(1)
    for name, value in few.weights().items():
        assert np.array_equal(again.weights()[name], value), name


def test_blocks(windows, few):
    lazy = few.transform(da.from_array(windows, (7, 7, 9)))
    assert isinstance(lazy, da.Array) and lazy.chunks[0] == (7, 7, 7, 2)
    np.testing.assert_allclose(lazy.compute(), few.transform(windows), atol=1e-5)
    assert few.transform(windows[:0]).shape == (0, 5)


def test_kept_and_rebuilt(windows, few, tmp_path):
    few.save(tmp_path / "model.pt")
    copies = [
        RVAE.load(tmp_path / "model.pt"),
        RVAE.rebuild(few.configuration(), few.weights()),
        pickle.loads(pickle.dumps(few)),
    ]
    for copy in copies:
        np.testing.assert_array_equal(copy.transform(windows), few.transform(windows))
        assert copy.encoder == "conv" and copy.score(windows) == few.score(windows)


def test_an_ensemble(windows):
    model = RVAE(1, n_models=2, **OPTIONS).fit(windows)
    again = RVAE.rebuild(model.configuration(), model.weights())
    for found, kept in zip(
        again.transform(windows, return_std=True),
        model.transform(windows, return_std=True),
        strict=True,
    ):
        np.testing.assert_array_equal(found, kept)
    assert all("encoder.first.dense.weight" in member.weights() for member in model.models_)


def test_a_stopped_training_goes_on(windows, few, tmp_path):
    def stop(epoch, record):
        if epoch == 1:
            raise KeyboardInterrupt

    path = tmp_path / "training.pt"
    with pytest.raises(KeyboardInterrupt):
        clone(few).fit(windows, checkpoint=path, callback=stop)
    with pytest.raises(ValueError, match=r"encoder \(there 'conv', here 'mlp'\)"):
        clone(few).set_params(encoder="mlp").fit(windows, checkpoint=path)
    again = clone(few).fit(windows, checkpoint=path)
    assert again.history_ == few.history_
    np.testing.assert_array_equal(again.transform(windows), few.transform(windows))


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"encoder": "cnn"}, r"encoder must be one of \('mlp', 'conv'\), got 'cnn'"),
        ({"encoder": None}, "got None"),
        ({"encoder": "cnn", "decoder": "spatial"}, "got 'cnn'"),
        ({"encoder": "conv"}, "needs decoder='spatial', got 'steerable', .* reads coefficients"),
    ],
)
def test_impossible_encoders(windows, parameters, match):
    with pytest.raises(ValueError, match=match):
        RVAE(**parameters).fit(windows)


def test_parameters_are_scikit_learns():
    assert RVAE().get_params()["encoder"] == "mlp"
    assert clone(RVAE(**CONV)).get_params() == RVAE(**CONV).get_params()


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("encoder.first.layers.0.weight", np.zeros((16, 2, 3, 3)), r"shape \(16, 1, 3, 3\)"),
        ("encoder.first.layers.1.weight", np.zeros((32, 17, 3, 3)), r"shape \(32, 16, 3, 3\)"),
        ("encoder.first.layers.2.bias", None, "missing or unknown weights"),
        ("encoder.first.dense.weight", np.zeros((128, 64)), r"shape \(128, 128\), got \(128, 64\)"),
        ("encoder.first.dense.bias", np.full(128, np.nan), "finite"),
        ("encoder.first.weight", np.zeros((128, 63)), "missing or unknown weights"),
    ],
)
def test_hostile_weights(few, name, value, match):
    weights = few.weights()
    weights[name] = value
    if value is None:
        del weights[name]
    with pytest.raises(ValueError, match=match):
        RVAE.rebuild(few.configuration(), weights)


@pytest.mark.parametrize("window", [[10**5, 7, 9], [10**5, 10**5], [2, 600, 600]])
def test_huge_views_allocate_nothing(few, window):
    weights, found = few.weights(), json.loads(few.configuration())
    found["window_shape"] = window
    *several, height, width = window
    shapes = {
        "layers.0.weight": (16, *(several or [1]), 3, 3),
        "dense.weight": (128, 64 * -(-height // 8) * -(-width // 8)),
    }
    for name, shape in shapes.items():
        weights[f"encoder.first.{name}"] = np.broadcast_to(np.float32(0), shape)
    with pytest.raises(ValueError, match="a window must have at most 524288 pixels"):
        RVAE.rebuild(json.dumps(found), weights)


@pytest.mark.parametrize("encoder", ["mlp", "cnn", 3, [], None])
def test_weights_of_another_encoder(few, encoder):
    found = json.loads(few.configuration())
    found["parameters"]["encoder"] = encoder
    with pytest.raises(ValueError, match="configuration"):
        RVAE.rebuild(json.dumps(found), few.weights())
