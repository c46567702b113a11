from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from hyperspy_rvae.data.motifs import motif
from hyperspy_rvae.models import RVAE
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.steerable import basis, poses
from hyperspy_rvae.models.steerable.channels import apart, together
from hyperspy_rvae.models.steerable.likelihood import Likelihood

WINDOW = (13, 13)
SPACE = LatentSpace(1, rotation=True, translation=True)


@pytest.fixture(scope="module")
def likelihoods():
    chosen = basis.choose(poses.content_radius(WINDOW, SPACE), 1.2)
    return Likelihood(WINDOW, SPACE, chosen), Likelihood(WINDOW, SPACE, chosen, channels=3)


@pytest.fixture(scope="module")
def data(likelihoods):
    """Pixels and content of three channels, (n, 3, ...)."""
    one, _ = likelihoods
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(4, 3, one.size, generator=generator)
    return pixels, 0.3 * torch.randn(4, 3, one.functions.shape[1], generator=generator)


def test_coefficients_side_by_side(likelihoods, data):
    one, three = likelihoods
    pixels, b = data
    assert torch.equal(apart(together(b), 3), b)
    each = torch.stack([one.coefficients(pixels[:, k]) for k in range(3)], 2)
    torch.testing.assert_close(apart(three.coefficients(pixels.flatten(1)), 3), each)


def test_log_likelihoods_of_channels_add_up(likelihoods, data):
    one, three = likelihoods
    pixels, b = data
    joint, _ = three.log_joint(three.coefficients(pixels.flatten(1)), together(b), 0.4)
    each = [one.log_joint(one.coefficients(pixels[:, k]), b[:, k], 0.4)[0] for k in range(3)]
    truth = sum(each) - 2 * one.prior
    torch.testing.assert_close(joint, truth, rtol=1e-4, atol=1e-3)


def test_evidence_of_channels(likelihoods, data):
    _, three = likelihoods
    pixels, b = data[0].flatten(1), together(data[1]).requires_grad_()
    a = three.coefficients(pixels)
    log = torch.logsumexp(three.log_joint(a, b, 0.4)[0].flatten(1), 1)
    (truth,) = torch.autograd.grad(log.sum(), b)
    with torch.no_grad():
        found = three.evidence(a, b, three.squares(pixels), 0.4)
        joint = three.log_joint(a, b, 0.4)[0].flatten(1).softmax(1)
    torch.testing.assert_close(found.gradient / 0.4, truth, rtol=1e-3, atol=1e-3)
    # By brute force: the error in each channel at each pose, at its probability.
    error = torch.zeros(4, 3)
    for s in range(len(three.places)):
        for j, angle in enumerate(three.angles):
            shown = three.images(three.turn(b, angle[None]), s).unflatten(1, (3, -1))
            square = (data[0] - shown).square().sum(2)
            error += joint[:, s * len(three.angles) + j, None] * square.detach()
    torch.testing.assert_close(found.error, error, rtol=0.01, atol=0.3)


def test_one_channel_needs_no_axis(windows, decoder):
    one = RVAE(1, decoder=decoder, epochs=2, seed=0).fit(windows)
    same = RVAE(1, decoder=decoder, epochs=2, seed=0).fit(windows[:, None])
    for X in (windows, windows[:, None], windows.reshape(len(windows), -1)):
        np.testing.assert_array_equal(one.transform(X), same.transform(X))
        assert one.reconstruct(X).shape == X.shape
    assert one.configuration() == same.configuration() and same.n_channels_ == 1


@pytest.mark.parametrize("invariances", [("rotation", "translation"), ("translation",), ()])
def test_the_family_with_channels(make, decoder, invariances, tmp_path):
    X = np.stack([make(23, 7, 9, seed=k).images * 10.0**k for k in range(3)], 1)
    model = RVAE(2, decoder=decoder, invariances=invariances, epochs=2, batch_size=6, seed=0)
    values, std = model.fit(X).transform(X, return_std=True)
    assert values.shape == std.shape == (23, len(model.latent_names_)) and (std > 0).all()
    assert model.n_channels_ == 3 and model.n_features_in_ == 189
    assert (
        model.noise_variance_.shape == (3,) and (np.diff(np.log10(model.noise_variance_)) > 1).all()
    )
    assert model.inverse_transform(values).shape == model.reconstruct(X).shape == X.shape
    np.testing.assert_allclose(model.inverse_transform(values), model.reconstruct(X))
    assert model.components_.shape == (len(model.latent_names_), 189)
    assert {"noise_variance_1", "noise_variance_3"} < set(model.history_[0])
    flat = X.reshape(23, -1)
    np.testing.assert_array_equal(model.transform(flat), values)
    model.save(tmp_path / "model.pt")
    again = RVAE.load(tmp_path / "model.pt")
    np.testing.assert_array_equal(again.transform(X), values)
    assert again.score(X) == model.score(X) and np.isfinite(model.score(X))
    np.testing.assert_array_equal(again.noise_variance_, model.noise_variance_)


@pytest.mark.parametrize(
    "shape", [(23, 7, 9), (23, 2, 7, 9), (23, 1, 7, 9), (23, 63), (23, 7, 9, 3)]
)
def test_subimages_of_other_channels(make, shape):
    X = np.stack([make(23, 7, 9, seed=k).images for k in range(3)], 1)
    model = RVAE(1, epochs=1, seed=0).fit(X)
    with pytest.raises(ValueError, match=r"model was fitted to \(3, 7, 9\)"):
        model.transform(np.zeros(shape))


def test_a_channel_in_which_nothing_varies(windows):
    X = np.stack([windows, np.full(windows.shape, 0.2)], 1)
    with pytest.raises(ValueError, match="channel 1: the subimages must vary"):
        RVAE(1, epochs=1).fit(X)


def errors(model, X, truth):
    turn = model.transform(X)[:, 0] - truth
    return np.abs(np.angle(np.exp(1j * (turn - np.angle(np.exp(1j * turn).mean())))))


def test_what_two_channels_know_of_the_angle(make):
    # With independent noise, the error falls by the root of two; and a channel of little but
    # noise, in another unit, does little harm, because each has a noise variance of its own.
    d = make(300, 13, 13, seed=5)
    rng = np.random.default_rng(1)
    first, second = (d.images + rng.normal(0, 0.2, d.images.shape) for _ in range(2))
    noisy = 1000 * (d.images + rng.normal(0, 3, d.images.shape))
    sets = [first[:, None], np.stack([first, second], 1), np.stack([first, noisy], 1)]
    one, two, third = (
        np.sqrt(np.mean(errors(RVAE(1, epochs=40, seed=0).fit(X), X, d.angle).clip(max=0.5) ** 2))
        for X in sets
    )
    assert 0.55 < two / one < 0.85
    assert third / one < 1.3


def segmented(n, seed):
    """Maps of C and Si around a carbon, a threefold silicon and a fourfold silicon."""
    rng = np.random.default_rng(seed)
    kind, angle = rng.integers(3, size=n), rng.uniform(-np.pi, np.pi, n)
    grid = np.arange(16) - 7.5
    maps = np.zeros((n, 2, 16, 16))
    for k in range(n):
        places = motif("fourfold" if kind[k] == 2 else "threefold")[0][:20]
        cos, sin = np.cos(angle[k]), np.sin(angle[k])
        x, y = 4.5 * (places @ [[cos, -sin], [sin, cos]] + rng.normal(0, 0.03, places.shape)).T
        shown = np.exp(
            -(((grid - y[:, None]) ** 2)[:, :, None] + ((grid - x[:, None]) ** 2)[:, None]) / 4
        )
        silicon = np.arange(len(places)) < (kind[k] > 0)
        maps[k] = shown[~silicon].sum(0), shown[silicon].sum(0)
    return maps + rng.normal(0, 0.1, maps.shape), kind


def test_maps_of_carbon_and_silicon_tell_more_than_their_sum():
    maps, kind = segmented(400, seed=0)
    accuracy = []
    for X in (maps, maps.sum(1)):
        content = RVAE(2, epochs=30, seed=0).fit(X).transform(X)[:, 3:]
        accuracy.append(cross_val_score(KNeighborsClassifier(9), content, kind).mean())
    assert accuracy[0] > 0.97
    assert accuracy[1] < 0.85  # the same atoms, whichever element is in the middle


def test_channels_are_streamed(make):
    X = da.from_array(np.stack([make(60, 7, 9, seed=k).images for k in range(2)], 1), (10, 2, 7, 9))
    model = RVAE(1, epochs=2, buffer_subimages=20, seed=0).fit(X)
    values = model.transform(X)
    assert values.chunks[0] == X.chunks[0] and model.n_channels_ == 2
    np.testing.assert_allclose(values.compute(), model.transform(X.compute()), atol=1e-4)
