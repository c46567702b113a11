"""The compiled passes against plain NumPy."""

import numpy as np
import pytest

from hyperspy_rvae.lattice.refinement import kernels
from hyperspy_rvae.lattice.refinement.background import Background
from hyperspy_rvae.lattice.refinement.compiled import in_threads
from hyperspy_rvae.lattice.refinement.kernel import Kernel

SHAPE = (47, 61)
KERNEL = Kernel(np.array([0.2, 0.03, 0.16]), np.array([1.0, 1.3]), np.array([0.9, 0.07, 0.03]))


@pytest.fixture
def columns():
    rng = np.random.default_rng(3)
    xy = rng.uniform(2, 44, (7, 2))
    return xy, rng.uniform(1, 3, 7), np.array([0, 1, 0, 1, 1, 0, 0])


@pytest.fixture
def weights():
    return np.random.default_rng(4).uniform(0.5, 2, SHAPE).astype(np.float32)


def profile(place, kind, kernel=KERNEL):
    """Kernel of one column at a place, cut off where the compiled passes cut it off."""
    precision, shares, narrow, half = kernel.arguments()
    rows, across = np.indices(SHAPE)
    u, v = across - place[0], rows - place[1]
    xx, xy, yy = precision[kind]
    square = xx * u**2 + 2 * xy * u * v + yy * v**2
    value = sum(s * np.exp(-n * square / 2) for s, n in zip(shares, narrow, strict=True))
    x, y = np.rint(place)
    near = (np.abs(across - x) <= half[kind]) & (np.abs(rows - y) <= half[kind])
    return np.where(near, value, 0.0)


def slopes(place, kind, step=1e-5):
    by = [profile(place, kind)]
    for shift in np.eye(2) * step:
        by.append((profile(place + shift, kind) - profile(place - shift, kind)) / (2 * step))
    return np.stack(by)


def test_columns_are_drawn(columns):
    xy, heights, kinds = columns
    drawn = np.zeros(SHAPE, np.float32)
    in_threads(kernels.draw, SHAPE[0], drawn, xy, heights, kinds, *KERNEL.arguments(), few=5)
    parts = [h * profile(p, k) for p, h, k in zip(xy, heights, kinds, strict=True)]
    np.testing.assert_allclose(drawn, sum(parts), atol=2e-6)


def test_derivatives_by_what_is_shared(columns):
    xy, heights, kinds = columns
    precision, shares, narrow, half = KERNEL.arguments()
    out = np.zeros((6, *SHAPE), np.float32)
    given = (xy, heights, kinds, precision, KERNEL.scales, shares, narrow, half)
    kernels.draw_derivatives(0, SHAPE[0], out, *given)
    for number, step in enumerate(np.diag([1e-5, 1e-5, 1e-5, 1e-4, 1e-4, 1e-4])):
        sides = [KERNEL.moved(step), KERNEL.moved(-step)]
        ahead, behind = (
            sum(h * profile(p, k, kernel) for p, h, k in zip(xy, heights, kinds, strict=True))
            for kernel in sides
        )
        np.testing.assert_allclose(out[number], (ahead - behind) / (2 * step.max()), atol=2e-3)


def test_projections_and_curvatures(columns, weights):
    xy, _, kinds = columns
    shape = KERNEL.arguments()
    background = Background.over(SHAPE, 20.0)
    starts, many = background.around(xy, int(shape[-1].max()))
    own, mixed = np.empty((7, 3, 3)), np.empty((7, 3, many, many))
    splines = [np.ascontiguousarray(taps.toarray().T) for taps in background.taps]
    kernels.curvature(0, 7, own, mixed, starts, *splines, weights, xy, kinds, *shape)
    onto = np.empty((7, 1, 3))
    kernels.project(0, 7, onto, weights[None], xy, kinds, *shape)
    pairs = np.array([[0, 3], [2, 5]])
    links = np.empty((2, 3, 3))
    kernels.couplings(0, 2, links, pairs, weights, xy, kinds, *shape)
    by = [slopes(p, k) for p, k in zip(xy, kinds, strict=True)]
    for i in range(7):
        np.testing.assert_allclose(onto[i, 0], (by[i] * weights).sum((1, 2)), atol=1e-3)
        wanted = np.einsum("ayx,byx,yx->ab", by[i], by[i], weights)
        np.testing.assert_allclose(own[i], wanted, atol=1e-3)
        y, x = starts[i]
        around = [splines[0][y : y + many], splines[1][x : x + many]]
        wanted = np.einsum("ayx,my,nx,yx->amn", by[i], *around, weights)
        np.testing.assert_allclose(mixed[i], wanted, atol=1e-3)
    for link, (i, j) in zip(links, pairs, strict=True):
        np.testing.assert_allclose(
            link, np.einsum("ayx,byx,yx->ab", by[i], by[j], weights), atol=1e-3
        )


def test_background_is_a_sum_of_splines(weights):
    background = Background.over(SHAPE, 20.0)
    down, across = (taps.toarray() for taps in background.taps)
    every = np.einsum("yp,xn->pnyx", down, across).reshape(-1, *SHAPE)
    coefficients = np.random.default_rng(5).normal(0, 1, len(every))
    surface = np.tensordot(coefficients, every, 1)
    np.testing.assert_allclose(background.image(coefficients), surface, atol=1e-5)
    xy = np.array([[3.0, 7.0], [60.0, 46.0], [20.0, 0.0]])
    y, x = xy.T[::-1].astype(int)
    np.testing.assert_allclose(background.at(xy, coefficients), surface[y, x], atol=1e-6)
    wanted = np.einsum("ayx,byx,yx->ab", every, every, weights)
    np.testing.assert_allclose(background.curvature(weights), wanted, atol=1e-4)
    image = np.random.default_rng(6).normal(0, 1, SHAPE).astype(np.float32)
    seen = background.compare(image, np.zeros_like(image), weights, coefficients)
    rest = image - surface
    np.testing.assert_allclose(seen.weighted, weights * rest, atol=1e-5)
    np.testing.assert_allclose(seen.projected, (every * weights * rest).sum((1, 2)), atol=1e-3)
    assert seen.misfit == pytest.approx((weights * rest**2).sum(), rel=1e-6)
