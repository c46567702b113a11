"""Each choice of invariances and of priors, on motifs whose pose and kind are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from torch.distributions import Normal, kl_divergence

from hyperspy_rvae.data.motifs import graphene_motifs
from hyperspy_rvae.models import RVAE
from hyperspy_rvae.models.geometry import log_wrapped_normal
from hyperspy_rvae.models.latents import LatentSpace, PosePrior
from hyperspy_rvae.models.nets import Network
from hyperspy_rvae.models.objective import divergence, kl_circle, kl_wrapped_normal
from hyperspy_rvae.models.steerable import poses


def fit(windows, **parameters):
    """Latents by name, and their standard deviations."""
    model = RVAE(2, seed=0, **parameters).fit(windows)
    values, std = model.transform(windows, return_std=True)
    return tuple(dict(zip(model.latent_names_, part.T, strict=True)) for part in (values, std))


def agreement(values, kind):
    content = np.stack([values["z1"], values["z2"]], 1)
    mixture = GaussianMixture(kind.nunique(), n_init=5, random_state=0, reg_covar=1e-4)
    return adjusted_rand_score(kind, mixture.fit_predict(content))


def degrees_off(values, truth):
    return np.rad2deg(np.abs(np.angle(np.exp(1j * (values["angle"] - truth["angle"])))))


def test_nothing_but_content():
    windows, truth = graphene_motifs(200, 20, turn=0, shift_px=0, bond_px=5, seed=1)
    values, _ = fit(windows, invariances=(), epochs=50)
    assert agreement(values, truth["kind"]) > 0.95


def test_shifts_without_angles():
    windows, truth = graphene_motifs(300, 20, turn=0, shift_px=1.04, bond_px=5, seed=1)
    values, std = fit(windows, invariances=("translation",), epochs=100)
    assert agreement(values, truth["kind"]) >= 0.9
    off = np.stack([values[name] - truth[name] for name in ("shift_x", "shift_y")], 1)
    for rows in truth.groupby("kind").indices.values():
        off[rows] -= np.median(off[rows], 0)  # each kind has an origin of its own
    assert np.sqrt(np.square(off).mean()) < 0.15  # the shifts themselves: 0.6
    within = np.abs(off) < np.stack([std["shift_x"], std["shift_y"]], 1)
    assert 0.58 < within.mean() < 0.78


@pytest.fixture(scope="module")
def aligned():
    """Motifs of three- and twofold symmetry within 20 degrees."""
    kinds = ["threefold", "fourfold"]
    turn = np.deg2rad(20)
    return graphene_motifs(240, 20, kinds=kinds, turn=turn, shift_px=0.5, bond_px=5, seed=2)


def test_a_prior_says_which_of_the_angles(aligned):
    windows, truth = aligned
    known = {"rotation_prior": 0.2, "translation_prior": 0.3, "epochs": 100}
    values, std = fit(windows, **known)
    assert degrees_off(values, truth).max() < 10  # their origin is the prior's zero
    for rows in truth.groupby("kind").indices.values():
        values["angle"][rows] -= np.median(values["angle"][rows] - truth["angle"].iloc[rows])
    assert 0.5 < np.mean(degrees_off(values, truth) < np.rad2deg(std["angle"])) < 0.8
    assert agreement(values, truth["kind"]) > 0.9


def test_all_angles_are_alike_without_it(aligned):
    windows, truth = aligned
    values, _ = fit(windows, epochs=40)
    origin = np.angle(np.exp(1j * (values["angle"] - truth["angle"])).sum())
    values["angle"] = values["angle"] - origin
    assert np.mean(degrees_off(values, truth) > 40) > 0.3


def test_a_prior_for_the_spatial_decoder(aligned):
    windows, truth = aligned
    values, _ = fit(windows, decoder="spatial", rotation_prior=0.2, epochs=25)
    assert np.mean(degrees_off(values, truth) < 10) > 0.95


@pytest.mark.parametrize("width", [0.05, 0.5, 2.0, 3.1])
def test_prior_of_angles_and_shifts(width):
    space = LatentSpace(2, True, True, prior=PosePrior(width, 0.6))
    shifts, angles = poses.places((25, 25), space), poses.angles(space)
    prior = poses.log_prior(shifts, angles, space).exp().numpy().astype(float)
    assert prior.sum() == pytest.approx(1, rel=1e-4)
    turns = 2 * np.pi * np.arange(-8, 9)[:, None]
    truth = stats.norm.pdf(angles.numpy() + turns, scale=width).sum(0)
    np.testing.assert_allclose(prior.sum(0), truth / truth.sum(), rtol=1e-3, atol=1e-8)
    across = stats.norm.pdf(shifts.numpy(), scale=0.6).prod(1)
    np.testing.assert_allclose(prior.sum(1), across / across.sum(), rtol=1e-3)


@pytest.mark.parametrize(("width", "reach"), [(None, 2.0), (3.0, 2.0), (0.4, 1.0), (0.01, 0.5)])
def test_a_narrow_prior_needs_no_far_shifts(width, reach):
    space = LatentSpace(2, True, True, prior=PosePrior(None, width))
    assert poses.places((25, 25), space).max().item() == pytest.approx(reach)


@pytest.mark.parametrize("prior", [0.1, 0.8, 3.0])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.05), (0.3, 0.2), (-1.2, 0.6), (2.0, 1.5)])
def test_kl_of_wrapped_normals_by_integration(prior, mean, std):
    angle = torch.linspace(-np.pi, np.pi, 200_001, dtype=torch.float64)
    q, p = log_wrapped_normal(angle - mean, std), log_wrapped_normal(angle, prior)
    truth = torch.trapezoid(q.exp() * (q - p), angle).item()
    found = kl_wrapped_normal(torch.tensor([mean]), torch.tensor([std]), prior).item()
    assert found == pytest.approx(truth, rel=0.04, abs=2e-3)


def test_wrapped_normal_integrates_to_one():
    angle = torch.linspace(-np.pi, np.pi, 20_001, dtype=torch.float64)
    for width in (0.05, 1.0, np.pi):
        total = torch.trapezoid(log_wrapped_normal(angle, width).exp(), angle)
        assert total.item() == pytest.approx(1, abs=1e-4)


def test_priors_in_the_bound():
    mean, std = torch.randn(5, 6), torch.rand(5, 6) + 0.1
    free = Network((7, 9), LatentSpace(3, True, True))
    bound = Network((7, 9), LatentSpace(3, True, True, prior=PosePrior(0.4, 0.35)))
    more = divergence(bound, mean, std)[0] - divergence(free, mean, std)[0]
    truth = kl_wrapped_normal(mean[:, 0], std[:, 0], 0.4) - kl_circle(std[:, 0])
    torch.testing.assert_close(more, truth)  # 0.35 px is what seven pixels have anyway


@pytest.fixture(scope="module")
def scaled():
    """Motifs at any angle, enlarged by up to exp(0.15) either way."""
    return graphene_motifs(300, 20, shift_px=0, bond_px=5, log_scale=0.15, seed=3)


@pytest.fixture(scope="module")
def with_scale(scaled):
    return RVAE(2, invariances=("rotation", "scale"), epochs=100, seed=0).fit(scaled[0])


def test_scales(scaled, with_scale):
    windows, truth = scaled
    values, std = with_scale.transform(windows, return_std=True)
    assert with_scale.latent_names_ == ("angle", "scale", "z1", "z2")
    angle, scale = values[:, 0].astype(float), values[:, 1]
    off = np.log(scale / truth["scale"].to_numpy())
    assert np.abs(np.log(scale)).mean() < 0.12 and abs(np.log(scale).mean()) < 0.01
    for (kind, n), rows in truth.groupby(["kind", "symmetry"]).indices.items():
        off[rows] -= off[rows].mean()
        turn = np.exp(1j * n * (angle[rows] - truth["angle"].iloc[rows]))
        assert np.mean(np.abs(np.angle(turn / turn.mean())) < n * np.deg2rad(10)) > 0.95, kind
    assert np.sqrt(np.square(off).mean()) <= 0.03  # the logarithms themselves: 0.087
    assert 0.5 < np.mean(np.abs(off) < std[:, 1] / scale) < 0.85
    assert agreement(dict(zip(["z1", "z2"], values[:, 2:].T, strict=True)), truth["kind"]) > 0.9


def test_scale_is_put_back(scaled, with_scale):
    values = with_scale.transform(scaled[0])[:5]
    values[:, 1] = 1.2
    large = with_scale.inverse_transform(values)
    values[:, 1] = 1.0
    usual = with_scale.inverse_transform(values)
    # What was at p is at 1.2 p: compare along the ray to the right, from the middle.
    p = np.arange(0, 7, 0.25)
    for big, small in zip(large, usual, strict=True):
        there = ndimage.map_coordinates(big, [np.full_like(p, 9.5), 9.5 + 1.2 * p], order=3)
        here = ndimage.map_coordinates(small, [np.full_like(p, 9.5), 9.5 + p], order=3)
        assert np.corrcoef(there, here)[0, 1] > 0.99
    with pytest.raises(ValueError, match="scales in Z must be positive, got 0"):
        with_scale.inverse_transform(np.zeros((1, 4)))
    assert np.isfinite(with_scale.components_).all()


@pytest.mark.parametrize("decoder", ["steerable", "spatial"])
@pytest.mark.parametrize(
    "invariances", [("scale",), ("translation", "scale"), ("scale", "rotation", "translation")]
)
def test_every_choice_of_scale(windows, decoder, invariances, tmp_path):
    model = RVAE(1, invariances=invariances, decoder=decoder, epochs=1, seed=0).fit(windows)
    pose = ("angle",) * ("rotation" in invariances)
    pose += ("shift_x", "shift_y") * ("translation" in invariances)
    assert model.latent_names_ == (*pose, "scale", "z1")
    values, std = model.transform(windows, return_std=True)
    assert (values[:, len(pose)] > 0).all() and (std > 0).all()
    model.save(tmp_path / "model.pt")
    again = RVAE.load(tmp_path / "model.pt")
    np.testing.assert_array_equal(again.transform(windows), values)
    np.testing.assert_allclose(model.inverse_transform(values), model.reconstruct(windows))


def test_scale_in_the_bound():
    mean, std = torch.rand(5, 4) + 0.5, torch.rand(5, 4) + 0.1
    pose, _ = divergence(Network((7, 9), LatentSpace(3, False, False, True)), mean, std)
    truth = kl_divergence(Normal(mean[:, 0], std[:, 0]), Normal(torch.ones(5), torch.tensor(0.1)))
    torch.testing.assert_close(pose, truth)


@pytest.fixture(scope="module")
def symmetric():
    """A model of all four motifs that tells angles modulo the symmetry of each."""
    windows, truth = graphene_motifs(400, 20, shift_px=1, bond_px=5, seed=4)
    model = RVAE(2, rotation_symmetry="auto", epochs=100, seed=0).fit(windows)
    return model, windows, truth


def test_symmetry_of_each_motif(symmetric):
    model, windows, truth = symmetric
    found = model.symmetry(model.transform(windows))
    assert np.mean(found == truth["symmetry"]) > 0.98


def test_angles_modulo_the_symmetry(symmetric):
    model, windows, _ = symmetric
    values, std = model.transform(windows, return_std=True)
    order = model.symmetry(values)
    assert (np.abs(values[:, 0]) <= np.pi / order + 1e-6).all()
    assert np.ptp(values[order == 1, 0]) > 5  # the whole circle, where there is no symmetry
    free = RVAE.rebuild(
        model.configuration().replace('"rotation_symmetry": "auto"', '"rotation_symmetry": null'),
        model.weights(),
    )
    turn = (free.transform(windows)[:, 0] - values[:, 0]) * order / (2 * np.pi)
    assert np.abs(turn - turn.round()).max() < 1e-3 and np.abs(turn).max() > 0.5
    shown, truly = model.reconstruct(windows), free.reconstruct(windows)
    inside = np.hypot(*np.mgrid[-9.5:10, -9.5:10]) < 8
    assert np.square(shown - truly)[:, inside].mean() < 0.02 * truly[:, inside].var()
    np.testing.assert_array_equal(free.transform(windows, return_std=True)[1], std)


def test_a_given_symmetry(symmetric):
    model, windows, _ = symmetric
    given = RVAE.rebuild(
        model.configuration().replace('"rotation_symmetry": "auto"', '"rotation_symmetry": 6'),
        model.weights(),
    )
    values = given.transform(windows)
    assert np.abs(values[:, 0]).max() <= np.pi / 6 + 1e-6
    assert (given.symmetry(values) == 6).all()


def test_symmetry_needs_the_steerable_decoder(windows):
    model = RVAE(1, decoder="spatial", epochs=1, seed=0).fit(windows)
    with pytest.raises(ValueError, match="symmetry needs decoder='steerable'"):
        model.symmetry(model.transform(windows))
