"""An ellipse and a level for each column, once all columns are where they belong."""

from __future__ import annotations

import dataclasses

import numpy as np

from hyperspy_rvae.lattice.refinement import kernels
from hyperspy_rvae.lattice.refinement.background import Comparison
from hyperspy_rvae.lattice.refinement.compiled import in_threads
from hyperspy_rvae.lattice.refinement.own_kernels import UNKNOWNS, own_steps
from hyperspy_rvae.lattice.refinement.scene import Scene, State

FAR, NEAR = 3.0, 2.5  # widths of the pixels around a column that tell its shape, at most, at least
MIDWAY = 0.5  # of the distance between neighbours, where that is in between
MOST_ROUNDS = 12
# Changes of the logarithm of the precision, rms, after which a round is the last. Alone, the next
# would be the square of it; beside others that move too, it is a share of it.
SETTLED = {False: 0.1, True: 0.005}
RESTLESS = 0.25  # such a change of one column; after less, what is still missing is a tenth of it
TIE = 1e30  # holds a level where columns touch, as it could not be told from their flanks
LONGEST_STEP = 0.7  # of that logarithm in one round
LARGEST_CHANGE = 2.0  # of a width, up or down
VAGUE = 0.2  # relative standard deviation of a width
FARTHEST = 0.5  # widths, from where all columns fitted together were found


@dataclasses.dataclass(frozen=True)
class Own:
    """What each column has of its own.

    Attributes
    ----------
    xy
        Positions, shape ``(n, 2)``.
    precision
        Inverse covariance of its core: xx, xy, yy in 1/px², shape ``(n, 3)``.
    heights
        Shape ``(n,)``.
    levels
        What the level under a column is more than the background that all share, ``(n,)``.
    """

    xy: np.ndarray
    precision: np.ndarray
    heights: np.ndarray
    levels: np.ndarray

    @classmethod
    def shared(cls, scene: Scene, state: State) -> Own:
        """Start with the shape of a sublattice for all its columns."""
        precision = (state.kernel.scales[:, None] * state.kernel.precision)[scene.kinds]
        return cls(state.xy, precision, state.heights, np.zeros(len(state.heights)))

    def where(self, chosen: np.ndarray, other: Own) -> Own:
        """Give the chosen of these, and of the other the rest."""
        return Own(
            np.where(chosen[:, None], self.xy, other.xy),
            np.where(chosen[:, None], self.precision, other.precision),
            np.where(chosen, self.heights, other.heights),
            np.where(chosen, self.levels, other.levels),
        )

    def moved(self, step: np.ndarray) -> tuple[Own, np.ndarray]:
        """Take a step, shorter where it is long; say how far the precision's logarithm went."""
        mean, half = (step[:, 3] + step[:, 5]) / 2, (step[:, 3] - step[:, 5]) / 2
        size = np.hypot(half, step[:, 4])
        change = np.abs(mean) + size
        step = step * np.minimum(1.0, LONGEST_STEP / np.maximum(change, 1e-12))[:, None]
        (a, c, d), (pp, pq, qq) = self._factors(), _exponential(step[:, 3:6])
        precision = [a * a * pp, a * (c * pp + d * pq), c * c * pp + 2 * c * d * pq + d * d * qq]
        y = step[:, 2] / d
        x = (step[:, 1] - c * y) / a
        moved = Own(
            self.xy + np.stack([x, y], axis=1),
            np.stack(precision, axis=1),
            self.heights * (1 + step[:, 0]),
            self.levels + step[:, 6] * self.heights,
        )
        return moved, change

    def like(self, other: Own) -> np.ndarray:
        """Say which columns are where the other's are and as wide, to within what is allowed."""
        (xx, xy, yy), (ss, st, tt) = self.precision.T, other.precision.T
        volume = (xx * yy - xy**2) / (ss * tt - st**2)
        mean = (xx * tt - 2 * xy * st + yy * ss) / (ss * tt - st**2) / 2
        apart = np.sqrt(np.maximum(mean**2 - volume, 0.0))
        as_wide = (mean - apart > LARGEST_CHANGE**-2) & (mean + apart < LARGEST_CHANGE**2)
        x, y = (self.xy - other.xy).T
        near = ss * x**2 + 2 * st * x * y + tt * y**2 < FARTHEST**2
        return as_wide & near & (self.heights * other.heights > 0)

    def _factors(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Entries of L in L L' = precision, whose upper right is 0."""
        xx, xy, yy = self.precision.T
        a = np.sqrt(xx)
        return a, xy / a, np.sqrt(yy - xy**2 / xx)


def own_shapes(scene: Scene, state: State, seen: Comparison, *, crowded: bool) -> Own:
    """Fit each column's own ellipse and height, and its level where columns stand alone.

    Each round is one Gauss-Newton step of every column by itself, the others taken off as they
    were the round before. Columns that touch both take up what was left between them; where the
    steps grow for it, later ones go half as far.

    A column whose shape its pixels do not tell or that does not come to rest, or whose widths leave
    those of its sublattice by more than a factor of two, keeps what it shares. Positions are fitted
    along, so that what is wrong with those of columns of one shape does not spoil the ellipses.

    Parameters
    ----------
    scene, state
        What was fitted, and where that ended.
    seen
        The image compared with that.
    crowded
        Whether columns touch.
    """
    shared = own = Own.shared(scene, state)
    half = _half(scene, state)
    pixels = max(1, int((scene.mask > 0).sum()) - 3 * len(half))
    noise = np.sqrt(seen.misfit / pixels) / np.abs(state.heights)
    told = (scene.loose > 0).all(axis=1) & (state.heights != 0)
    part, last = 1.0, np.inf
    for number in range(MOST_ROUNDS):
        rest = seen.weighted if number == 0 else _rest(scene, state, own)
        steps, spread = np.empty((len(half), UNKNOWNS)), np.empty((len(half), 3))
        given = (rest, state.weights, own.xy, own.levels, TIE * crowded, own.precision)
        shape = (*state.kernel.arguments()[1:3], half)
        in_threads(own_steps, len(half), steps, spread, *given, *shape)
        told &= np.sqrt(np.maximum(spread[:, 0], spread[:, 2])) * noise < 2 * VAGUE
        step = np.where(told[:, None], part * steps / own.heights[:, None], 0.0)
        own, change = own.moved(step)
        told &= own.like(shared)
        own = own.where(told, shared)
        now = _rms(change[told]) / part if told.any() else 0.0
        if now < SETTLED[crowded] and change[told].max(initial=0.0) < RESTLESS:
            break
        part, last = part / 2 if now > last else part, now
    return own.where(told & (change < RESTLESS), shared)


def _half(scene: Scene, state: State) -> np.ndarray:
    """Half the side of the square around each column whose pixels tell its shape."""
    long = np.sqrt(np.linalg.eigvalsh(state.kernel.covariances)[:, -1])
    reach = np.clip(MIDWAY * scene.spacing, NEAR * long, FAR * long)
    return np.ceil(reach).astype(np.int64)[scene.kinds]


def _rest(scene: Scene, state: State, own: Own) -> np.ndarray:
    """Draw all columns with their own shapes; give what is left of the image, weighted."""
    rest = np.zeros(scene.image.shape, np.float32)
    kernel = state.kernel
    shape = (own.precision, kernel.shares, kernel.widths**-2.0, kernel.reach(own.precision))
    columns = (own.xy, own.heights, np.arange(len(own.xy)))
    in_threads(kernels.draw, len(rest), rest, *columns, *shape)
    rest += scene.background.image(state.coefficients)
    np.subtract(scene.image, rest, out=rest)
    rest *= state.weights
    return rest


def _exponential(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exponentials of symmetric matrices, ``(n, 3)``: their entries pp, pq, qq."""
    one, cross, two = matrix.T
    mean, half = (one + two) / 2, (one - two) / 2
    size = np.hypot(half, cross)
    even = np.exp(mean) * np.cosh(size)
    odd = np.exp(mean) * np.sinh(size) / np.maximum(size, 1e-12)
    return even + odd * half, odd * cross, even - odd * half


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
