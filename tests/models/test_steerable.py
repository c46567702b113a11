from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from hyperspy_rvae.models import RVAE
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.steerable import basis, poses, refinement, spectrum
from hyperspy_rvae.models.steerable.likelihood import Likelihood
from hyperspy_rvae.models.steerable.rendering import Renderer
from hyperspy_rvae.models.threads import one_thread, share

NOISE = 0.1  # of the dumbbells
WINDOW, BAND, S2 = (25, 25), 1.6, 0.7
SPACE = LatentSpace(2, True, True)


@pytest.fixture(scope="module")
def known():
    chosen = basis.choose(poses.content_radius(WINDOW, SPACE), BAND)
    return Likelihood(WINDOW, SPACE, chosen), Renderer(WINDOW, chosen)


@pytest.fixture(scope="module")
def content():
    """Three crystals of atoms all over the disc, and beyond its rim."""
    return crystals(basis.choose(poses.content_radius(WINDOW, SPACE), BAND))


def crystals(chosen):
    y, x = np.mgrid[-18:18:0.25, -18:18:0.25] + 0.125
    inside = np.hypot(x, y) < chosen.radius
    rng = np.random.default_rng(1)
    images = []
    for bond in (6.0, 7.0, 8.5):
        places = (np.mgrid[-4:5, -4:5].reshape(2, -1).T + rng.uniform(-0.15, 0.15, (81, 2))) * bond
        heights = rng.uniform(0.5, 1.5, 81)
        r2 = (x - places[:, :1, None]) ** 2 + (y - places[:, 1:, None]) ** 2
        images.append(np.tensordot(heights, np.exp(-r2 / (2 * 1.6**2)), 1)[inside])
    functions = chosen.functions(np.hypot(x, y)[inside], np.arctan2(-y, x)[inside])
    return torch.from_numpy(np.stack(images) @ functions.T * 0.25**2).to(torch.float32)


def draw(renderer, b, angle=0.0, shift=(0.0, 0.0)):
    angles, shifts = torch.full((len(b),), angle), torch.tensor([shift]).expand(len(b), 2)
    return renderer(b, angles, shifts).numpy().reshape(-1, *WINDOW)


def apart(first, second):
    return np.abs(np.angle(np.exp(1j * (first - second))))


INNER = np.hypot(*np.mgrid[-12:13, -12:13]) < 10


def test_functions_are_orthonormal():
    chosen = basis.choose(13.0, 0.9)
    y, x = np.mgrid[-13:13:0.125, -13:13:0.125] + 0.0625
    r = np.hypot(x, y)
    inside = r < 13
    values = chosen.functions(r[inside], np.arctan2(-y, x)[inside])
    products = values @ values.T * 0.125**2
    null = np.concatenate([np.zeros(len(chosen.orders), bool), chosen.orders == 0])
    np.testing.assert_allclose(products, np.diag(~null), atol=0.03)


@pytest.mark.parametrize("degrees", [20, -75, 140])
def test_a_turn_is_a_phase(known, content, degrees):
    likelihood, renderer = known
    still = draw(renderer, content)
    turned = draw(renderer, likelihood.turn(content, torch.full((3,), np.deg2rad(degrees))))
    np.testing.assert_allclose(turned, draw(renderer, content, np.deg2rad(degrees)), atol=3e-3)
    truth = ndimage.rotate(still, degrees, (2, 1), reshape=False, order=5)
    np.testing.assert_allclose(turned[:, INNER], truth[:, INNER], atol=0.05 * still.std())


def test_a_small_displacement_is_a_matrix(known, content):
    likelihood, renderer = known
    moved = likelihood.displace(content[:, None], torch.tensor([[0.4, -0.5]]).expand(3, 2))[:, 0]
    truth = draw(renderer, content, shift=(0.4, -0.5))
    off = (draw(renderer, moved) - truth)[:, INNER]
    assert np.sqrt(np.square(off).mean()) < 0.05 * truth.std()


def test_likelihood_of_all_poses_by_brute_force(known, content):
    likelihood, renderer = known
    pixels = torch.randn(3, 625, generator=torch.Generator().manual_seed(2))[:, likelihood.support]
    joint, _ = likelihood.log_joint(likelihood.coefficients(pixels), content, S2)
    for s, j in [(0, 0), (0, 31), (3, 5), (12, 60), (24, 17)]:
        angle, shift = float(likelihood.angles[j]), tuple(likelihood.places[s].tolist())
        shown = draw(renderer, content, angle, shift).reshape(3, -1)[:, likelihood.support.numpy()]
        energy = np.square(shown).sum(1)
        truth = ((pixels.numpy() * shown).sum(1) - energy / 2) / S2 + float(likelihood.prior[s])
        np.testing.assert_allclose(joint[:, s, j], truth, atol=0.006 * energy.max() / S2)
    prior = likelihood.prior.exp().sum() * len(likelihood.angles)
    assert float(prior) == pytest.approx(1, rel=1e-5)


def test_energy_of_a_column(known):
    # An error of a hundredth would be as large as the noise of a clear image.
    likelihood, renderer = known
    chosen = basis.choose(poses.content_radius(WINDOW, SPACE), BAND)
    y, x = np.mgrid[-18:18:0.25, -18:18:0.25] + 0.125
    inside = np.hypot(x, y) < chosen.radius
    column = np.exp(-((x - 1) ** 2 + y**2) / (2 * 1.8**2))[inside]
    functions = chosen.functions(np.hypot(x, y)[inside], np.arctan2(-y, x)[inside])
    b = torch.from_numpy(column @ functions.T * 0.25**2).to(torch.float32)[None]
    nothing = torch.zeros(1, 25, b.shape[1])
    joint, _ = likelihood.log_joint(nothing, b, 1.0)
    for s, j in [(0, 0), (3, 31), (12, 60), (24, 17)]:
        angle, shift = float(likelihood.angles[j]), tuple(likelihood.places[s].tolist())
        shown = draw(renderer, b, angle, shift).reshape(1, -1)[:, likelihood.support.numpy()]
        found = -2 * float(joint[0, s, j] - likelihood.prior[s, 0])
        assert found == pytest.approx(np.square(shown).sum(), rel=1e-3)


def test_likelihood_of_scales_by_brute_force():
    space = LatentSpace(2, True, True, True)
    chosen = basis.choose(poses.content_radius((15, 15), space), BAND)
    likelihood, renderer = Likelihood((15, 15), space, chosen), Renderer((15, 15), chosen)
    generator = torch.Generator().manual_seed(4)
    b = torch.randn(2, 2 * len(chosen.orders), generator=generator)
    pixels = torch.randn(2, likelihood.size, generator=generator)
    joint, _ = likelihood.log_joint(likelihood.coefficients(pixels), b, S2)
    for s, j in [(0, 0), (3, 31), (60, 5), (124, 17)]:
        x, y, log_scale = likelihood.places[s].tolist()
        place = torch.tensor([[x, y]]).expand(2, 2)
        scale = torch.full((2,), log_scale).exp()
        shown = renderer(b, likelihood.angles[j].expand(2), place, scale)[:, likelihood.support]
        energy = shown.square().sum(1)
        truth = ((pixels * shown).sum(1) - energy / 2) / S2 + likelihood.prior[s]
        np.testing.assert_allclose(joint[:, s, j], truth, atol=0.01 * float(energy.max()) / S2)


def test_enlarging_is_a_matrix(known, content):
    _, renderer = known
    chosen = basis.choose(poses.content_radius(WINDOW, SPACE), BAND)
    generators = torch.from_numpy(basis.generators(chosen)).to(torch.float32)
    smooth = torch.from_numpy(np.tile(np.exp(-(chosen.wave_numbers**2)), 2)).to(torch.float32)
    term = larger = content = content * smooth
    for order in range(1, 6):
        term = -0.05 / order * (term @ generators[2])
        larger = larger + term
    angle, shift = torch.zeros(3), torch.zeros(3, 2)
    truth = renderer(content, angle, shift, torch.full((3,), 0.05).exp())
    off = (renderer(larger, angle, shift) - truth).numpy().reshape(-1, *WINDOW)[:, INNER]
    still = (renderer(content, angle, shift) - truth).numpy().reshape(-1, *WINDOW)[:, INNER]
    assert np.sqrt(np.square(off).mean()) < 0.15 * np.sqrt(np.square(still).mean())


def test_a_pose_with_scale_between_the_grids_points():
    space = LatentSpace(2, True, True, True)
    chosen = basis.choose(poses.content_radius(WINDOW, space), BAND)
    likelihood, renderer = Likelihood(WINDOW, space, chosen), Renderer(WINDOW, chosen)
    b = crystals(chosen)
    angle = torch.tensor([0.4, -2.0, 3.1])
    shift = torch.tensor([[0.3, -1.4], [1.7, 0.2], [0.0, 0.6]])
    log_scale = torch.tensor([0.11, -0.06, 0.03])
    pixels = renderer(b, angle, shift, log_scale.exp())[:, likelihood.support]
    a = likelihood.coefficients(pixels)
    joint, _ = likelihood.log_joint(a, b, S2)
    pose = refinement.find(likelihood, a, b, joint.flatten(1).argmax(1), 1e-3)
    assert apart(pose.angle.numpy(), angle.numpy()).max() < np.deg2rad(0.2)
    np.testing.assert_allclose(pose.place[:, :2], shift, atol=0.02)
    np.testing.assert_allclose(pose.place[:, 2], log_scale, atol=3e-3)


@pytest.mark.parametrize("some", [False, True])
def test_gradient_of_the_evidence_by_autograd(known, content, some):
    likelihood, _ = known
    pixels = torch.randn(3, likelihood.size, generator=torch.Generator().manual_seed(3))
    a, b = likelihood.coefficients(pixels), (0.05 * content).requires_grad_()
    cells = None
    if some:
        cells = poses.neighbours(likelihood.places)[torch.tensor([0, 7, 24])]
        a = a[torch.arange(3)[:, None], cells]
    joint, _ = likelihood.log_joint(a, b, S2, cells)
    log = torch.logsumexp(joint.flatten(1), 1)
    (truth,) = torch.autograd.grad(log.sum(), b)
    with torch.no_grad():
        found = likelihood.evidence(a, b, likelihood.squares(pixels), S2, cells)
    torch.testing.assert_close(found.log, log.detach(), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.gradient / S2, truth, rtol=1e-3, atol=1e-3)


def test_neighbours_of_a_shift(known):
    shifts = known[0].places
    near = poses.neighbours(shifts)
    assert near.shape == (25, 9)
    for k, cells in enumerate(near):
        assert k in cells and len(set(cells.tolist())) == 9
        assert float((shifts[cells] - shifts[k]).abs().max()) <= 2


def test_pose_between_the_grids_points(known, content):
    likelihood, renderer = known
    angle, shift = (
        torch.tensor([0.4, -2.0, 3.1]),
        torch.tensor([[0.3, -1.4], [1.7, 0.2], [0.0, 0.6]]),
    )
    pixels = renderer(content, angle, shift)[:, likelihood.support]
    a = likelihood.coefficients(pixels)
    joint, _ = likelihood.log_joint(a, content, S2)
    pose = refinement.find(likelihood, a, content, joint.flatten(1).argmax(1), 1e-3)
    assert apart(pose.angle.numpy(), angle.numpy()).max() < np.deg2rad(0.2)
    np.testing.assert_allclose(pose.place, shift, atol=0.02)


def test_standard_deviations_cover_the_truth(make):
    dumbbells = make(600, 21, 21, seed=3, shift=1.5)
    model = RVAE(1, epochs=40, seed=0).fit(dumbbells.images)
    values, std = model.transform(dumbbells.images, return_std=True)
    angle = values[:, 0] - dumbbells.angle
    off = apart(angle, np.angle(np.exp(1j * angle).mean()))
    assert 0.55 < np.mean(off < std[:, 0]) < 0.8
    cos, sin = np.cos(values[:, 0]), np.sin(values[:, 0])
    for column, origin in ((0, [cos, sin]), (1, [-sin, cos])):
        error = values[:, 1 + column] - dumbbells.shift[:, column]
        design = np.stack(origin, 1)
        error -= design @ np.linalg.lstsq(design, error, rcond=None)[0]
        assert 0.5 < np.mean(np.abs(error) < std[:, 1 + column]) < 0.85


def test_shifts_of_round_columns():
    # Any angle is right, and neighbours' tails, which stay where they are, must not make the angle
    # take the place of the shift.
    rng = np.random.default_rng(5)
    shift = rng.choice([-0.6, 0.6], (400, 2)) + rng.normal(0, 0.1, (400, 2))
    x, y = shift.T[:, :, None, None]
    images = 0.4 * bell(x, y)
    for corner in ((-8, -8), (8, -8), (-8, 8), (8, 8)):
        images = images + bell(*corner)
    images = (images + rng.normal(0, 0.03, images.shape)).astype(np.float32)
    values = RVAE(1, epochs=40, seed=0).fit_transform(images)
    off = values[:, 1:3] - shift
    assert np.sqrt(np.square(off - off.mean(0)).mean()) < 0.15


def bell(x, y):
    rows, columns = np.mgrid[-5:6, -5:6]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 1.8**2))


def test_pose_of_a_turned_copy(dumbbells):
    model = RVAE(1, epochs=40, seed=0).fit(dumbbells.images)
    before = model.transform(dumbbells.images)[:, 0]
    turned = ndimage.rotate(dumbbells.images, 30, (2, 1), reshape=False, order=3)
    off = apart(model.transform(turned)[:, 0], before + np.deg2rad(30))
    assert np.median(off) < np.deg2rad(3)


def test_one_origin_of_the_angle(dumbbells):
    # The likelihood leaves it free to change with z; training must not.
    model = RVAE(1, epochs=150, seed=0).fit(dumbbells.images)
    values = model.transform(dumbbells.images).astype(float)
    off = np.exp(1j * (values[:, 0] - dumbbells.angle))
    assert np.median(apart(values[:, 0], dumbbells.angle + np.angle(off.mean()))) < np.deg2rad(3)


def test_noise_and_band():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.5, (400, 20, 20))
    smooth = ndimage.gaussian_filter(rng.normal(0, 8, (400, 20, 20)), (0, 2, 2))
    found = spectrum.measure((noise + smooth)[:, None])
    assert found.noise == pytest.approx(0.25, rel=0.1)
    assert found.signal == pytest.approx(smooth.var(), rel=0.1)
    assert 0.8 < found.band < 1.6
    assert spectrum.measure(noise[:, None]).signal < 0.01


def test_threads_are_given_back():
    before = torch.get_num_threads()
    seen = []
    with one_thread(), one_thread():
        assert torch.get_num_threads() == 1
        share(lambda k: seen.append((k, torch.get_num_threads())), [1, 2, 3])
    assert torch.get_num_threads() == before
    assert sorted(seen) == [(1, 1), (2, 1), (3, 1)]


def test_nothing_beyond_the_noise(dumbbells):
    assert NOISE**2 * 0.9 < spectrum.measure(dumbbells.images[:, None]).noise < NOISE**2 * 1.3


def test_windows_too_large():
    with pytest.raises(ValueError, match=r"at most 128 px .* decoder='spatial'"):
        RVAE(epochs=1).fit(np.random.default_rng(0).random((10, 129, 9)))
