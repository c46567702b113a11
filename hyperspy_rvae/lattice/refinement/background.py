"""The intensity between columns: a smooth surface of cubic splines."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.interpolate import BSpline

from hyperspy_rvae.lattice.refinement.compiled import compiled, in_threads

MOST_CELLS = 24  # along an axis
BANDS = 8  # rows are summed in as many parts, however many threads there are


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An image compared with its model.

    Attributes
    ----------
    weighted
        Image less model times the weights, shape ``(height, width)``, float32.
    projected
        The weighted difference on all splines of the background.
    misfit
        Weighted sum of squares.
    """

    weighted: np.ndarray
    projected: np.ndarray
    misfit: float


@dataclasses.dataclass(frozen=True)
class Background:
    """A tensor product of cubic B-splines over an image.

    Attributes
    ----------
    shape
        Height and width of the image in pixels.
    knots
        Knots along y and along x.
    """

    shape: tuple[int, int]
    knots: tuple[np.ndarray, np.ndarray]

    @classmethod
    def over(cls, shape: tuple[int, int], cell: float) -> Background:
        """Choose knots about `cell` pixels apart, at most 24 cells along an axis."""
        return cls(shape, (_knots(shape[0], cell), _knots(shape[1], cell)))

    @property
    def count(self) -> tuple[int, int]:
        """Number of splines along y and x."""
        return len(self.knots[0]) - 4, len(self.knots[1]) - 4

    @cached_property
    def taps(self) -> tuple[sparse.csr_array, sparse.csr_array]:
        """Splines at all rows and at all columns, shapes ``(height, n)`` and ``(width, n)``."""
        down, across = (
            BSpline.design_matrix(np.arange(float(size)), knots, 3)
            for size, knots in zip(self.shape, self.knots, strict=True)
        )
        return sparse.csr_array(down), sparse.csr_array(across)

    @cached_property
    def penalty(self) -> np.ndarray:
        """Bends as a quadratic form of the coefficients, and a trace of the coefficients."""
        ny, nx = self.count
        bent = np.kron(_roughness(ny), np.eye(nx)) + np.kron(np.eye(ny), _roughness(nx))
        return bent + 1e-5 * np.eye(ny * nx)

    def around(self, xy: np.ndarray, half: int) -> tuple[np.ndarray, int]:
        """Find the splines that reach into a square around each position.

        Returns
        -------
        starts
            First of them along y and x, shape ``(n, 2)``.
        many
            How many along an axis reach into any square at most.
        """
        starts, many = [], 1
        for places, taps, size in zip(xy.T[::-1], self.taps, self.shape, strict=True):
            first, _ = _dense(taps)
            low, high = (
                first[np.clip(np.rint(places).astype(np.int64) + side, 0, size - 1)]
                for side in (-half, half)
            )
            many = max(many, int((high - low).max()) + 4)
            starts.append(low)
        many = min(many, *self.count)
        starts = [np.minimum(low, n - many) for low, n in zip(starts, self.count, strict=True)]
        return np.stack(starts, axis=1), many

    def curvature(self, weights: np.ndarray) -> np.ndarray:
        """Weighted products of all splines with each other, shape ``(splines, splines)``."""
        ny, nx = self.count
        near = np.zeros((BANDS, ny, 4, nx, 4))
        in_threads(_curvature_bands, BANDS, self._edges, weights, *self._dense, near, few=1)
        near = near.sum(axis=0)
        products = np.zeros((ny, nx, ny, nx))
        for down in range(4):
            for right in range(4):
                p, n = np.mgrid[: max(0, ny - down), : max(0, nx - right)]
                value = near[: ny - down, down, : nx - right, right] if p.size else 0.0
                for one, two in (((p, n), (p + down, n + right)), ((p, n + right), (p + down, n))):
                    products[(*one, *two)] = value
                    products[(*two, *one)] = value
        return products.reshape(ny * nx, ny * nx)

    def image(self, coefficients: np.ndarray) -> np.ndarray:
        """Draw the background, float32."""
        down, across = self.taps
        rows = down @ coefficients.reshape(self.count)
        return np.ascontiguousarray((across @ rows.T).T, dtype=np.float32)

    def at(self, xy: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Give the background at positions, shape ``(n,)``."""
        across, down = (
            BSpline.design_matrix(np.clip(xy[:, k], 0, self.shape[1 - k] - 1), self.knots[1 - k], 3)
            for k in (0, 1)
        )
        along = across @ coefficients.reshape(self.count).T
        return np.asarray(down.multiply(along).sum(axis=1)).ravel()

    def project(self, images: np.ndarray) -> np.ndarray:
        """Project images, shape ``(n, height, width)``, on all splines: ``(n, splines)``."""
        down, across = self.taps
        return np.array([(across.T @ (down.T @ image).T).T.ravel() for image in images])

    def compare(
        self, image: np.ndarray, columns: np.ndarray, weights: np.ndarray, coefficients: np.ndarray
    ) -> Comparison:
        """Compare an image with its model.

        Parameters
        ----------
        image, columns, weights
            The image, the drawn columns and the weight of each pixel, float32, all of
            :attr:`shape`.
        coefficients
            Of the background.
        """
        grid = np.ascontiguousarray(coefficients.reshape(self.count), dtype=np.float64)
        weighted = np.empty(self.shape, np.float32)
        projected, misfit = np.zeros((BANDS, *self.count)), np.zeros(BANDS)
        given = (self._edges, image, columns, weights, grid, *self._dense)
        in_threads(_compare_bands, BANDS, *given, weighted, projected, misfit, few=1)
        return Comparison(weighted, projected.sum(axis=0).ravel(), float(misfit.sum()))

    @cached_property
    def _dense(self) -> tuple[np.ndarray, ...]:
        """First spline and the four values there, of all rows and of all columns."""
        return tuple(array for taps in self.taps for array in _dense(taps))

    @cached_property
    def _edges(self) -> np.ndarray:
        return np.linspace(0, self.shape[0], BANDS + 1).astype(np.int64)


@compiled
def _curvature_bands(  # type: ignore[no-untyped-def]
    first, last, edges, weights, starts_y, taps_y, starts_x, taps_x, near
):
    onto = np.empty((near.shape[3], 4))
    for band in range(first, last):
        for row in range(edges[band], edges[band + 1]):
            onto[:] = 0.0
            for c in range(weights.shape[1]):
                w = weights[row, c]
                if w == 0:
                    continue
                for a in range(4):
                    t = w * taps_x[c, a]
                    for b in range(a, 4):
                        onto[starts_x[c] + a, b - a] += t * taps_x[c, b]
            for a in range(4):
                for b in range(a, 4):
                    t = taps_y[row, a] * taps_y[row, b]
                    for n in range(len(onto)):
                        for d in range(4):
                            near[band, starts_y[row] + a, b - a, n, d] += t * onto[n, d]


@compiled
def _compare_bands(  # type: ignore[no-untyped-def]
    first,
    last,
    edges,
    image,
    columns,
    weights,
    grid,
    starts_y,
    taps_y,
    starts_x,
    taps_x,
    weighted,
    projected,
    misfit,
):
    width, splines = image.shape[1], grid.shape[1]
    level, onto = np.empty(splines), np.empty(splines)
    for band in range(first, last):
        for row in range(edges[band], edges[band + 1]):
            start = starts_y[row]
            for n in range(splines):
                level[n] = 0.0
                onto[n] = 0.0
                for p in range(4):
                    level[n] += taps_y[row, p] * grid[start + p, n]
            for c in range(width):
                weighted[row, c] = 0.0
                w = weights[row, c]
                if w == 0:
                    continue
                s = starts_x[c]
                t0, t1, t2, t3 = taps_x[c, 0], taps_x[c, 1], taps_x[c, 2], taps_x[c, 3]
                b = t0 * level[s] + t1 * level[s + 1] + t2 * level[s + 2] + t3 * level[s + 3]
                rest = image[row, c] - columns[row, c] - b
                wr = w * rest
                weighted[row, c] = wr
                misfit[band] += wr * rest
                onto[s] += wr * t0
                onto[s + 1] += wr * t1
                onto[s + 2] += wr * t2
                onto[s + 3] += wr * t3
            for p in range(4):
                for n in range(splines):
                    projected[band, start + p, n] += taps_y[row, p] * onto[n]


def _knots(size: int, cell: float) -> np.ndarray:
    cells = int(np.clip(np.rint(size / cell), 1, MOST_CELLS))
    end = size - 1 + 1e-6
    return np.concatenate([[0.0] * 3, np.linspace(0, end, cells + 1), [end] * 3])


def _roughness(count: int) -> np.ndarray:
    bends = np.diff(np.eye(count), 2, axis=0)
    return bends.T @ bends


def _dense(taps: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """First spline and the four values of each row."""
    starts = taps.indices.reshape(-1, 4)[:, 0].astype(np.int64)
    return starts, np.ascontiguousarray(taps.data.reshape(-1, 4))
