"""Fits of columns whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.lattice.refinement.columns import FIT_COLUMNS, fit_gaussians
from hyperspy_rvae.lattice.refinement.rendering import heights, model_image

LATTICE, SIGMA = 13.0, 2.4
BACKGROUND = 0.2


def draw(xy, peaks, sigma=SIGMA, *, shape, tail=0.0, times=2.0, stretch=1.0):
    """Sum of columns, wider along x by `stretch` and narrower along y."""
    image = np.zeros(shape)
    rows, columns = np.indices(shape)
    for (x, y), peak in zip(xy, np.broadcast_to(peaks, len(xy)), strict=True):
        square = ((columns - x) / stretch) ** 2 + ((rows - y) * stretch) ** 2
        square /= sigma**2
        image += peak * ((1 - tail) * np.exp(-square / 2) + tail * np.exp(-square / 2 / times**2))
    return image


def grid(across, down, spacing, start):
    i, j = np.meshgrid(np.arange(across), np.arange(down))
    return np.stack([i.ravel(), j.ravel()], axis=1) * spacing + start


def seeds_of(xy, sublattice="A"):
    return pd.DataFrame(np.rint(xy), columns=["x", "y"]).assign(sublattice=sublattice)


@pytest.fixture
def isolated():
    """Poisson noise on 9 x 8 columns of 100 counts with jitter."""
    rng = np.random.default_rng(8)
    xy = grid(9, 8, 20.0, 30.0) + rng.normal(0, 0.5, (72, 2))
    mean = 5 + draw(xy, 100.0, 4.0, shape=(200, 220))
    return rng.poisson(mean), xy


def perovskite(seed=0, noise=0.02, ratio=0.4, sigma_b=SIGMA, cells=11, **profile):
    """A on the corners and faint B displaced inside the cells; the displacements alternate."""
    rng = np.random.default_rng(seed)
    a = grid(cells, cells, LATTICE, 25.0)
    centres = grid(cells - 1, cells - 1, LATTICE, 25.0 + LATTICE / 2)
    shift = np.where(np.arange(len(centres)) % 2, 0.5, -0.5)[:, None] * np.array([1.0, -0.7])
    shape = (int(50 + (cells - 1) * LATTICE), int(54 + (cells - 1) * LATTICE))
    image = BACKGROUND + draw(a, 1.0, shape=shape, **profile)
    image += draw(centres + shift, ratio, sigma_b, shape=shape, **profile)
    seeds = pd.concat([seeds_of(a, "A"), seeds_of(centres, "B")], ignore_index=True)
    return image + rng.normal(0, noise, shape), seeds, np.concatenate([a, centres + shift]), shift


def gain(found, seeds, truth, shift):
    b = (seeds["sublattice"] == "B").to_numpy()
    moved = found.loc[b, ["x", "y"]].to_numpy() - (truth[b] - shift)
    return float((moved * shift).sum() / (shift**2).sum())


def test_isolated_columns_reach_the_bound_of_what_can_be_known(isolated):
    image, xy = isolated
    fitted = fit_gaussians(image, seeds_of(xy))
    assert fitted["converged"].all() and list(fitted) == ["x", "y", *FIT_COLUMNS, "converged"]
    u, v = np.meshgrid(np.arange(-9, 10), np.arange(-9, 10))
    inside = np.hypot(u, v) <= 9
    u, v = u[inside], v[inside]
    bell = np.exp(-(u**2 + v**2) / 32)
    by = np.stack([bell, 100 * bell * u / 16, 100 * bell * v / 16, np.ones_like(bell)])
    bound = np.sqrt(np.linalg.inv((by / (5 + 100 * bell)) @ by.T)[1, 1])
    error = fitted[["x", "y"]].to_numpy() - xy
    assert np.sqrt((error**2).mean()) < 1.15 * bound  # a tenth is the scatter of 144 numbers
    sigma = np.sqrt(fitted["sigma_x"] * fitted["sigma_y"])
    np.testing.assert_allclose(sigma, 4.0, rtol=0.1)
    np.testing.assert_allclose(sigma.mean(), 4.0, rtol=0.01)
    np.testing.assert_allclose(heights(fitted).mean(), 100, rtol=0.03)
    np.testing.assert_allclose(fitted["background"].mean(), 5, atol=1.0)


def test_standard_deviations_are_the_scatter(isolated):
    _, xy = isolated
    mean = 5 + draw(xy, 100.0, 4.0, shape=(200, 220))
    z = []
    for seed in range(6):
        fitted = fit_gaussians(np.random.default_rng(seed).poisson(mean), seeds_of(xy))
        z.append((fitted[["x", "y"]].to_numpy() - xy) / fitted[["x_std", "y_std"]].to_numpy())
    assert 0.85 < np.std(z) < 1.15


def test_standard_deviations_of_overlapped_columns_are_the_scatter():
    z = []
    for seed in range(3):
        image, seeds, truth, _ = perovskite(seed, noise=0.04)
        fitted = fit_gaussians(image, seeds)
        z.append((fitted[["x", "y"]].to_numpy() - truth) / fitted[["x_std", "y_std"]].to_numpy())
    assert 0.85 < np.std(z) < 1.15


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"sigma_b": 2.0},
        {"tail": 0.1, "times": 2.0},
        {"stretch": 1.12},
        {"stretch": 1.1, "tail": 0.08, "times": 1.8},
    ],
    ids=["gaussian", "narrower", "tailed", "elliptical", "both"],
)
def test_faint_overlapped_columns_are_found_in_full(profile):
    gains = []
    for seed in range(2):
        image, seeds, truth, shift = perovskite(seed, cells=13, **profile)
        fitted = fit_gaussians(image, seeds)
        assert fitted["converged"].all()
        gains.append(gain(fitted, seeds, truth, shift))
    assert np.mean(gains) == pytest.approx(1.0, abs=0.03)


def test_a_turned_ellipse_has_its_direction():
    turn = 0.5  # counter-clockwise as displayed
    xy = grid(6, 5, 24.0, 20.3)
    rows, columns = np.indices((140, 165))
    image = np.zeros(rows.shape)
    for x, y in xy:
        along = (columns - x) * np.cos(turn) - (rows - y) * np.sin(turn)
        across = (columns - x) * np.sin(turn) + (rows - y) * np.cos(turn)
        image += 50 * np.exp(-((along / 3.6) ** 2) / 2 - (across / 2.4) ** 2 / 2)
    fitted = fit_gaussians(image + 7, seeds_of(xy))
    np.testing.assert_allclose(fitted[["x", "y"]], xy, atol=1e-3)
    np.testing.assert_allclose(fitted["sigma_x"], 3.6, rtol=1e-3)
    np.testing.assert_allclose(fitted["sigma_y"], 2.4, rtol=1e-3)
    np.testing.assert_allclose(fitted["rotation"], turn, atol=1e-3)
    np.testing.assert_allclose(fitted["amplitude"], 50 * 2 * np.pi * 3.6 * 2.4, rtol=1e-3)
    np.testing.assert_allclose(fitted["background"], 7, atol=0.05)


def test_the_start_does_not_matter():
    image, seeds, _, _ = perovskite(noise=0.03)
    found = fit_gaussians(image, seeds)
    rough = seeds.copy()
    rough[["x", "y"]] += np.random.default_rng(2).uniform(-0.5, 0.5, (len(seeds), 2))
    again = fit_gaussians(image, rough)
    apart = (again[["x", "y"]] - found[["x", "y"]]).to_numpy()
    assert np.sqrt((apart**2).mean()) < 0.1 * found[["x_std", "y_std"]].to_numpy().mean()


def test_columns_beyond_the_list_draw_nothing():
    """Two rows on each side are not in the list; their neighbours are found all the same."""
    image, seeds, truth, _ = perovskite(cells=13)
    inside = ((truth > 45) & (truth < 160)).all(axis=1)
    fitted = fit_gaussians(image, seeds[inside])
    assert fitted["converged"].all()
    error = fitted[["x", "y"]].to_numpy() - truth[inside]
    assert np.sqrt((error**2).mean()) < 0.08


def test_dark_columns(isolated):
    _, xy = isolated
    image = draw(xy, 100.0, 4.0, shape=(200, 220))
    image += np.random.default_rng(4).normal(0, 3, image.shape)
    bright = fit_gaussians(image, seeds_of(xy))
    dark = fit_gaussians(1000 - image, seeds_of(xy), dark=True)
    np.testing.assert_allclose(dark[["x", "y"]], bright[["x", "y"]], atol=0.01)
    np.testing.assert_allclose(dark["amplitude"], -bright["amplitude"], rtol=0.02)
    np.testing.assert_allclose(dark["background"], 1000 - bright["background"], atol=0.5)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float16", "float64"])
def test_dtypes_and_negative_pixels(isolated, dtype):
    image, xy = isolated
    shifted = image - 60 if np.dtype(dtype).kind != "u" else image
    fitted = fit_gaussians(shifted.astype(dtype), seeds_of(xy))
    np.testing.assert_allclose(
        fitted[["x", "y"]], fit_gaussians(image, seeds_of(xy))[["x", "y"]], atol=1e-3
    )


def test_units_of_the_image_do_not_matter(isolated):
    image, xy = isolated
    fitted = fit_gaussians(image, seeds_of(xy))
    scaled = fit_gaussians(image * 1e9 - 4e12, seeds_of(xy))
    np.testing.assert_allclose(scaled[["x", "y"]], fitted[["x", "y"]], atol=1e-3)
    np.testing.assert_allclose(scaled["amplitude"], fitted["amplitude"] * 1e9, rtol=1e-3)


def failed(fitted):
    lost = ~fitted["converged"]
    assert fitted.loc[lost, FIT_COLUMNS].isna().all(axis=None)
    assert fitted.loc[~lost, FIT_COLUMNS].notna().all(axis=None)
    return list(np.flatnonzero(lost))


def test_what_cannot_be_fitted_is_marked_and_keeps_its_seed(isolated):
    image, xy = isolated
    image = image.copy()
    image[20:40, 20:40] = 5  # nothing where the first column was
    seeds = seeds_of(xy)
    seeds.loc[72] = [*np.rint(xy[5]) + [1.0, 1.0], "A"]  # a second seed on one column
    seeds.loc[73] = [1.0, 120.0, "A"]  # on the border, where nothing is
    fitted = fit_gaussians(image, seeds)
    assert failed(fitted) == [0, 5, 72, 73]
    lost = [0, 5, 72, 73]
    np.testing.assert_array_equal(fitted.loc[lost, ["x", "y"]], seeds.loc[lost, ["x", "y"]])
    good = np.setdiff1d(np.arange(72), lost)
    assert np.abs(fitted.loc[good, ["x", "y"]].to_numpy() - xy[good]).max() < 0.3


def test_frames_of_zeros_and_noise_are_marked(isolated):
    _, xy = isolated
    assert failed(fit_gaussians(np.zeros((200, 220)), seeds_of(xy))) == list(range(72))
    noise = np.random.default_rng(1).normal(0, 1, (200, 220))
    fitted = fit_gaussians(noise, seeds_of(xy))
    assert len(failed(fitted)) > 50
    assert np.abs(fitted[["x", "y"]].to_numpy() - xy).max() < 11


@pytest.mark.parametrize("seed", range(8))
def test_images_without_columns_are_no_error(seed):
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((45, 58))
    image = [
        (rng.random(rows.shape) > 0.9) * 1.0,
        1.0 * (rows * 58 + columns == 700),
        rows.astype(float),
        np.sin(columns / 3) * np.cos(rows / 3),
    ][seed % 4]
    xy = rng.uniform(-0.4, 44.4, (30, 2))
    seeds = pd.DataFrame(xy, columns=["x", "y"]).assign(sublattice=rng.choice(["A", "B"], 30))
    fitted = fit_gaussians(image, seeds)
    lost = failed(fitted)
    np.testing.assert_array_equal(fitted.loc[lost, ["x", "y"]], xy[lost])


@pytest.mark.parametrize("seed", range(3))
def test_a_sublattice_that_is_not_there_is_marked_and_costs_no_other(seed):
    image, seeds, truth, _ = perovskite(seed=seed, ratio=0.0)
    found = fit_gaussians(image, seeds)
    b = (seeds["sublattice"] == "B").to_numpy()
    assert found.loc[b, "converged"].mean() < 0.1
    assert found.loc[~b, "converged"].all()
    off = found.loc[~b, ["x", "y"]].to_numpy() - truth[~b]
    assert np.sqrt((off**2).mean()) < 0.06


@pytest.mark.parametrize("known", [0, 2])
def test_pixels_that_fix_no_model_are_marked(known):
    image = np.full((40, 44), np.nan)
    image[:known, :3] = np.arange(3)
    seeds = seeds_of(grid(3, 3, 11.0, 8.0))
    found = fit_gaussians(image, seeds)
    assert not found["converged"].any()
    np.testing.assert_array_equal(found[["x", "y"]], seeds[["x", "y"]])


def test_pixels_that_are_not_finite_do_not_count(isolated):
    image, xy = isolated
    spoiled = image.astype(float)
    spoiled[60:64, 70:75] = np.nan
    spoiled[100, 100] = np.inf
    fitted = fit_gaussians(spoiled, seeds_of(xy))
    assert fitted["converged"].all()
    assert np.abs(fitted[["x", "y"]].to_numpy() - xy).max() < 0.3


def test_saturated_columns_are_found_by_their_flanks(isolated):
    image, xy = isolated
    fitted = fit_gaussians(np.minimum(image, 70), seeds_of(xy))
    assert np.abs(fitted[["x", "y"]].to_numpy() - xy).max() < 0.4
    sigma = np.sqrt(fitted["sigma_x"] * fitted["sigma_y"])
    np.testing.assert_allclose(sigma.mean(), 4.0, rtol=0.1)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_columns(count):
    xy = np.array([[31.3, 25.2], [60.7, 24.6], [30.4, 55.9], [62.2, 58.3], [90.0, 40.5]])[:count]
    noise = np.random.default_rng(0).normal(0, 0.5, (80, 120))
    image = draw(xy, 50.0, 3.0, shape=(80, 120)) + 5 + noise
    fitted = fit_gaussians(image, seeds_of(xy))
    assert fitted["converged"].all()
    np.testing.assert_allclose(fitted[["x", "y"]], xy, atol=0.08)
    np.testing.assert_allclose(fitted["sigma_x"], 3.0, rtol=0.1)


def test_no_columns():
    nothing = pd.DataFrame({"x": [], "y": [], "sublattice": []})
    assert len(fit_gaussians(np.ones((20, 30)), nothing)) == 0


def test_the_model_is_drawn_from_the_table():
    image, seeds, truth, _ = perovskite(noise=0.02, tail=0.1)
    fitted = fit_gaussians(image, seeds)
    rest = image - model_image(image.shape, fitted)
    low, high = truth.min(0).astype(int) + 8, truth.max(0).astype(int) - 8
    inner = rest[low[1] : high[1], low[0] : high[0]]
    assert 0.9 * 0.02 < inner.std() < 1.1 * 0.02
    partly = fitted.copy()
    partly.loc[60, FIT_COLUMNS] = np.nan
    x, y = np.rint(truth[60]).astype(int)
    missing = image - model_image(image.shape, partly)
    assert missing[y, x] > 0.8


def test_a_model_needs_a_fit():
    bare = seeds_of(np.array([[5.0, 6.0]]))
    with pytest.raises(ValueError, match=r"no column sigma_x: .* refine_atoms\(\)"):
        model_image((20, 30), bare)
    with pytest.raises(ValueError, match="a fit of no atom"):
        model_image((20, 30), bare.assign(**dict.fromkeys(FIT_COLUMNS, np.nan)))
