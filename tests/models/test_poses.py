"""Each choice of invariances and of priors, on motifs whose pose and kind are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

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
    shifts, angles = poses.shifts((25, 25), space), poses.angles(space)
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
    assert poses.shifts((25, 25), space).max().item() == pytest.approx(reach)


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
    more = divergence(bound, mean, std) - divergence(free, mean, std)
    truth = kl_wrapped_normal(mean[:, 0], std[:, 0], 0.4) - kl_circle(std[:, 0])
    torch.testing.assert_close(more, truth)  # 0.35 px is what seven pixels have anyway
