"""Ellipses of single columns whose answer is known."""

import hyperspy.api as hs
import numpy as np
import pandas as pd
import pytest

from hyperspy_rvae.lattice.refinement import own_kernels
from hyperspy_rvae.lattice.refinement.columns import fit_gaussians
from hyperspy_rvae.lattice.refinement.compiled import in_threads
from hyperspy_rvae.lattice.refinement.rendering import heights, model_image

LEVEL = 0.2


def turned(size, x, y, sigma_x, sigma_y, rotation):
    """Gaussian of height 1; the rotation is counter-clockwise as displayed."""
    rows, columns = np.indices(size)
    u, v = columns - x, y - rows
    along, across = (
        u * np.cos(rotation) + v * np.sin(rotation),
        v * np.cos(rotation) - u * np.sin(rotation),
    )
    return np.exp(-((along / sigma_x) ** 2) / 2 - (across / sigma_y) ** 2 / 2)


def square(across, spacing, start):
    i, j = np.meshgrid(np.arange(across), np.arange(across))
    return np.stack([i.ravel(), j.ravel()], axis=1) * spacing + start


def ellipses(columns, sigma, spread, rng):
    """Give columns random shapes: sizes vary by the spread, ellipticities by 1.5 times it."""
    count = len(columns)
    size = sigma * np.exp(rng.normal(0, spread, count))
    stretch = np.exp(np.abs(rng.normal(0, 0.75 * spread, count)))
    return columns.assign(
        sigma_x=size * stretch, sigma_y=size / stretch, rotation=rng.uniform(0, np.pi, count)
    )


def image_of(truth, shape, noise, rng):
    image = np.full(shape, LEVEL)
    for row in truth.itertuples():
        given = (row.x, row.y, row.sigma_x, row.sigma_y, row.rotation)
        image += row.peak * turned(shape, *given)
    return image + rng.normal(0, noise, shape)


def isolated(seed, spread=0.1, noise=0.02, sigma=3.0):
    rng = np.random.default_rng(seed)
    xy = square(10, 20.0, 25.0) + rng.normal(0, 0.2, (100, 2))
    truth = pd.DataFrame(xy, columns=["x", "y"]).assign(sublattice="A", peak=1.0)
    truth = ellipses(truth, sigma, spread, rng)
    return image_of(truth, (230, 234), noise, rng), truth


def overlapped(seed, spread=0.02, noise=0.01):
    rng = np.random.default_rng(seed)
    xy = np.concatenate([square(10, 13.1, 22.0), square(9, 13.1, 28.55)])
    kind = np.where(np.arange(181) < 100, "A", "B")
    truth = pd.DataFrame(xy, columns=["x", "y"]).assign(sublattice=kind)
    truth = ellipses(truth.assign(peak=np.where(kind == "A", 1.0, 0.45)), 2.4, spread, rng)
    return image_of(truth, (162, 165), noise, rng), truth


def seeds_of(truth):
    return truth[["x", "y", "sublattice"]].round({"x": 0, "y": 0})


def size_of(table):
    return np.log(table["sigma_x"] * table["sigma_y"]).to_numpy() / 2


def ellipticity_of(table):
    """Logarithm of the ratio of the widths, as a vector that turns twice as fast."""
    stretch = np.log(table["sigma_x"] / table["sigma_y"]).to_numpy()
    return stretch * np.exp(2j * table["rotation"].to_numpy())


def gain(found, true):
    return float((found * true.conj()).real.sum() / (np.abs(true) ** 2).sum())


def test_the_ellipses_of_isolated_columns_are_found_without_bias():
    sizes, errors, gains = [], [], []
    for seed in range(3):
        image, truth = isolated(seed)
        fitted = fit_gaussians(image, seeds_of(truth))
        assert fitted["converged"].all()
        sizes.append(size_of(fitted) - size_of(truth))
        errors.append(ellipticity_of(fitted) - ellipticity_of(truth))
        gains.append(gain(ellipticity_of(fitted), ellipticity_of(truth)))
        np.testing.assert_allclose(heights(fitted).mean(), 1.0, atol=0.003)
        np.testing.assert_allclose(fitted["background"].mean(), LEVEL, atol=0.002)
    assert np.std(sizes) < 0.01 and abs(np.mean(sizes)) < 0.001
    assert np.abs(errors).mean() < 0.015 and abs(np.mean(errors)) < 0.002
    assert np.mean(gains) == pytest.approx(1.0, abs=0.03)


def test_the_scatter_of_the_ellipses_is_what_noise_allows():
    noise, found = 0.02, []
    for seed in range(3):
        image, truth = isolated(seed, spread=0.0, noise=noise)
        found.append(fit_gaussians(image, seeds_of(truth)))
    u, v = np.meshgrid(np.arange(-10.0, 11), np.arange(-10.0, 11))
    near = np.hypot(u, v) <= 10
    u, v = u[near] / 3, v[near] / 3
    bell = np.exp(-(u**2 + v**2) / 2)
    by = np.stack([bell, bell * (u**2 + v**2), np.ones_like(bell)])
    bound = noise * np.sqrt(np.linalg.inv(by @ by.T)[1, 1])  # of the logarithm of the size
    scatter = np.std([size_of(fitted) for fitted in found])
    assert 0.9 * bound < scatter < 1.15 * bound


def test_the_ellipses_of_overlapped_columns_are_found():
    sizes, found, true = {"A": [], "B": []}, [], []
    for seed in range(2):
        image, truth = overlapped(seed)
        fitted = fit_gaussians(image, seeds_of(truth))
        assert fitted["converged"].all()
        for kind, rows in truth.groupby("sublattice").indices.items():
            sizes[kind].append((size_of(fitted) - size_of(truth))[rows])
        found.append(ellipticity_of(fitted))
        true.append(ellipticity_of(truth))
    assert np.std(sizes["A"]) < 0.01 and np.std(sizes["B"]) < 0.02
    assert gain(np.concatenate(found), np.concatenate(true)) == pytest.approx(1.0, abs=0.12)


def test_own_shapes_leave_less_of_the_image():
    for image, truth in (isolated(5), overlapped(5)):
        fitted = fit_gaussians(image, seeds_of(truth))
        shared = fitted.copy()
        for _, rows in truth.groupby("sublattice"):
            one = fitted.loc[rows.index]
            size = np.exp(size_of(one).mean())
            volume = 2 * np.pi * heights(one).mean() * size**2
            shared.loc[rows.index, ["sigma_x", "sigma_y"]] = size
            shared.loc[rows.index, "amplitude"] = volume
        inner = (slice(25, -25), slice(25, -25))
        own, same = (
            (image - model_image(image.shape, table))[inner].std() for table in (fitted, shared)
        )
        assert own < 0.9 * same


def test_atomap_finds_the_same_ellipses():
    """Of narrow columns: it takes the lowest pixel near a column for the level below it."""
    from atomap.api import Sublattice

    image, truth = isolated(7, noise=0.0005, sigma=2.0)
    image, truth = image[:150, :154], truth[(truth[["x", "y"]] < 125).all(axis=1)]
    fitted = fit_gaussians(image, seeds_of(truth))
    sublattice = Sublattice(truth[["x", "y"]].to_numpy(), image)
    sublattice.find_nearest_neighbors()
    sublattice.refine_atom_positions_using_2d_gaussian(percent_to_nn=0.4, show_progressbar=False)
    sigma = np.array([[a.sigma_x, a.sigma_y] for a in sublattice.atom_list])
    turn = np.array([atom.rotation for atom in sublattice.atom_list])
    theirs = pd.DataFrame({"sigma_x": sigma[:, 0], "sigma_y": sigma[:, 1], "rotation": turn})
    np.testing.assert_allclose(size_of(fitted), size_of(theirs), atol=0.02)
    np.testing.assert_allclose(ellipticity_of(fitted), ellipticity_of(theirs), atol=0.02)


@pytest.mark.parametrize("what", ["dumbbell", "vacancy"])
def test_odd_neighbours_do_not_make_an_ellipse_run_off(what):
    image, truth = overlapped(3, noise=0.02)
    if what == "dumbbell":  # a second column in the place of one, and not in the list
        image += 0.8 * turned(image.shape, truth["x"][44] + 3.5, truth["y"][44], 2.4, 2.4, 0.0)
    else:
        image -= truth["peak"][44] * turned(image.shape, *truth.iloc[44][["x", "y"]], 2.4, 2.4, 0.0)
    fitted = fit_gaussians(image, seeds_of(truth))
    usual = fitted["sigma_x"].groupby(truth["sublattice"]).transform("median")
    near = np.hypot(*(truth[["x", "y"]] - truth.loc[44, ["x", "y"]]).astype(float).to_numpy().T)
    others = fitted[(near > 0) & fitted["converged"]]
    assert len(others) > 170
    ratio = fitted[["sigma_x", "sigma_y"]].div(usual, axis=0).loc[others.index]
    assert ratio.min(axis=None) > 0.6 and ratio.max(axis=None) < 1.6
    far = ratio[near[others.index] > 20]
    assert far.min(axis=None) > 0.85 and far.max(axis=None) < 1.15
    own = fitted.loc[44, ["sigma_x", "sigma_y"]].dropna().astype(float) / usual[44]
    assert own.between(0.5, 2.0).all()


def test_faint_columns_keep_the_shape_of_their_sublattice():
    image, truth = isolated(2, spread=0.0, noise=0.02)
    faint = truth.index[::7]
    for row in truth.loc[faint].itertuples():
        given = (row.x, row.y, row.sigma_x, row.sigma_y, row.rotation)
        image -= 0.98 * turned(image.shape, *given)
    fitted = fit_gaussians(image, seeds_of(truth))
    found = fitted.loc[faint].dropna()
    assert len(found) > 3
    np.testing.assert_allclose(found[["sigma_x", "sigma_y"]], 3.0, rtol=0.03)


def test_a_movie_gives_the_same_lazily():
    images = np.stack([isolated(seed)[0] for seed in range(2)]).astype(np.float32)
    table = pd.concat([seeds_of(isolated(seed)[1]).assign(frame=seed) for seed in range(2)])
    tables = []
    for lazy in (False, True):
        s = hs.signals.Signal2D(images)
        s = s.as_lazy() if lazy else s
        s.set_signal_type("atom_lattice")
        s.set_atoms(table)
        s.refine_atoms()
        tables.append(s.atoms)
    pd.testing.assert_frame_equal(*tables)
    assert tables[0]["sigma_x"].nunique() == 200


def test_steps_solve_the_normal_equations():
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.5, 2, (41, 44)).astype(np.float32)
    rest = rng.normal(0, 1, weights.shape).astype(np.float32)
    xy, levels = np.array([[20.3, 17.8], [2.2, 36.1]]), np.array([0.3, -0.2])
    precision = np.array([[0.2, 0.03, 0.16], [0.15, -0.02, 0.2]])
    shares, narrow, half = np.array([0.9, 0.1]), np.array([1.0, 1.6**-2.0]), np.array([6, 5])
    steps, spread = np.empty((2, own_kernels.UNKNOWNS)), np.empty((2, 3))
    given = (rest, weights, xy, levels, 0.0, precision, shares, narrow, half)
    in_threads(own_kernels.own_steps, 2, steps, spread, *given, few=1)
    for n in range(2):
        rows, columns = np.indices(weights.shape)
        near = np.abs(columns - np.rint(xy[n, 0])) <= half[n]
        near &= np.abs(rows - np.rint(xy[n, 1])) <= half[n]
        offset = np.stack([columns[near] - xy[n, 0], rows[near] - xy[n, 1]])
        xx, cross, yy = precision[n]
        p, q = np.linalg.cholesky([[xx, cross], [cross, yy]]).T @ offset
        bells = np.exp(-narrow[:, None] * (p**2 + q**2) / 2)
        k, s = shares @ bells, (shares * narrow) @ bells
        by = np.stack([k, s * p, s * q, -s * p**2 / 2, -s * p * q, -s * q**2 / 2, np.ones_like(k)])
        inverse = np.linalg.inv((by * weights[near]) @ by.T)
        left = by @ (rest[near] - levels[n] * weights[near])
        np.testing.assert_allclose(steps[n], inverse @ left, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(spread[n], np.diag(inverse)[3:6], rtol=1e-3)
