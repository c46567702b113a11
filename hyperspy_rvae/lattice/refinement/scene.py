"""What is fitted, and where a fit stands: an image, its columns and what they share."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from hyperspy_rvae.lattice.refinement import kernels
from hyperspy_rvae.lattice.refinement.background import Background
from hyperspy_rvae.lattice.refinement.compiled import in_threads
from hyperspy_rvae.lattice.refinement.kernel import Kernel
from hyperspy_rvae.lattice.refinement.weights import UNIFORM, coverage, weigh

CELL = 8.0  # of the background, in distances between neighbours
HELD, LOST = 0.4, 0.1  # shares of a column's light on pixels that count: below, it is held, or lost
TYPICAL_WIDTH = 0.18  # of the distance between neighbours

SHRINKAGE, STIFFNESS = 1e-6, 1e-7  # of the curvature by the data


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is fitted: an image, its mask, and which columns are alike.

    Attributes
    ----------
    image, valid, mask
        Shape ``(height, width)``, float32: the image, 1 where a pixel can be used, and 1 where it
        counts.
    seeds, leash
        Where the columns start, ``(n, 2)``, and how far they may go, ``(n,)``; pixels.
    kinds
        Number of each column's sublattice, shape ``(n,)``.
    spacing
        Distance between neighbouring columns in pixels.
    background
        The splines between the columns.
    loose
        Which heights and positions are fitted, shape ``(n, 2)``, 0 or 1. Columns whose pixels
        hardly count keep their place, or are left out altogether.
    """

    image: np.ndarray
    valid: np.ndarray
    mask: np.ndarray
    seeds: np.ndarray
    leash: np.ndarray
    kinds: np.ndarray
    spacing: float
    background: Background
    loose: np.ndarray

    @classmethod
    def of(
        cls,
        image: np.ndarray,
        valid: np.ndarray,
        mask: np.ndarray,
        seeds: np.ndarray,
        leash: np.ndarray,
        kinds: np.ndarray,
        spacing: float,
    ) -> Scene:
        """Choose the background's cells, and which columns can be fitted."""
        background = Background.over(mask.shape, CELL * spacing)
        typical = Kernel.round(TYPICAL_WIDTH * spacing, int(kinds.max()) + 1)
        light = np.empty((len(seeds), 1, 3))
        in_threads(
            kernels.project, len(seeds), light, mask[None], seeds, kinds, *typical.arguments()
        )
        share = light[:, 0, 0] / typical.volumes[kinds]
        loose = np.stack([share > LOST, share > HELD], axis=1).astype(np.float64)
        return cls(image, valid, mask, seeds, leash, kinds, spacing, background, loose)

    def part(self, many: int) -> tuple[Scene, np.ndarray]:
        """Cut out about as many columns as asked, around the middle one.

        Returns
        -------
        part
            As a scene of its own.
        chosen
            Which columns are in it.
        """
        tree = cKDTree(self.seeds)
        middle = self.seeds[tree.query(np.median(self.seeds, axis=0))[1]]
        near = self.seeds[tree.query(middle, k=many)[1]]
        low = np.floor(near.min(axis=0) - 0.5 * self.spacing).astype(int).clip(0)
        high = np.ceil(near.max(axis=0) + 0.5 * self.spacing).astype(int) + 1
        beyond = (self.seeds > low - self.spacing) & (self.seeds < high + self.spacing)
        chosen = beyond.all(axis=1)
        cut = (slice(low[1], high[1]), slice(low[0], high[0]))
        image, valid, mask = (
            np.ascontiguousarray(pixels[cut]) for pixels in (self.image, self.valid, self.mask)
        )
        seeds, leash, kinds = self.seeds[chosen] - low, self.leash[chosen], self.kinds[chosen]
        return Scene.of(image, valid, mask, seeds, leash, kinds, self.spacing), chosen

    def covering(self, xy: np.ndarray) -> Scene:
        """Let the pixels between the columns count, where these are now."""
        mask = self.valid * coverage(self.mask.shape, xy, self.spacing)
        return dataclasses.replace(self, mask=mask)

    def holding(self, lost: np.ndarray) -> Scene:
        """Hold some columns where they are, heights and positions."""
        return dataclasses.replace(self, loose=np.where(lost[:, None], 0.0, self.loose))

    def sizes(self, heights: np.ndarray) -> np.ndarray:
        """Give what the derivatives at height 1 are multiplied with: ``(n, 3)``."""
        moves = heights * self.loose[:, 1]
        return np.stack([self.loose[:, 0], moves, moves], axis=1)


@dataclasses.dataclass(frozen=True)
class State:
    """Where a fit stands.

    Attributes
    ----------
    xy, heights
        Columns: ``(n, 2)`` pixels and ``(n,)``.
    coefficients
        Of the background.
    kernel
        What the columns share.
    weights
        Of the pixels, shape ``(height, width)``, float32; at first all that count do so alike.
    noise
        As :func:`noise_model` gives it; at first the same for all pixels.
    """

    xy: np.ndarray
    heights: np.ndarray
    coefficients: np.ndarray
    kernel: Kernel
    weights: np.ndarray
    noise: np.ndarray

    @classmethod
    def at_seeds(cls, scene: Scene, kernel: Kernel) -> State:
        """Start with an empty image; the first step then finds heights and background."""
        empty = np.zeros(int(np.prod(scene.background.count)))
        return cls(scene.seeds, np.zeros(len(scene.seeds)), empty, kernel, scene.mask, UNIFORM)

    def penalties(self, scene: Scene) -> tuple[float, float]:
        """Say what the squares of the heights cost, and the bends of the background.

        Some images, above all filtered ones, leave it open whether the columns are high and wide
        over a low background or the reverse. These small costs decide for the lower columns.
        They are a small share of the curvature by the pixels of a column, or of a spline.
        """
        weight = float(self.weights.sum())
        pixels = max(1.0, float((self.weights > 0).sum()))
        column = np.pi * (TYPICAL_WIDTH * scene.spacing) ** 2 * weight / pixels
        return SHRINKAGE * column, STIFFNESS * weight / len(self.coefficients)

    def cost(self, scene: Scene) -> float:
        """Add up these costs."""
        heights, bends = self.penalties(scene)
        bent = self.coefficients @ scene.background.penalty @ self.coefficients
        return float(heights * (self.heights**2).sum() + bends * bent)

    def half_way(self, other: State) -> State:
        """Give the state between this one and another of the same weights."""
        return dataclasses.replace(
            self,
            xy=(self.xy + other.xy) / 2,
            heights=(self.heights + other.heights) / 2,
            coefficients=(self.coefficients + other.coefficients) / 2,
            kernel=self.kernel.half_way(other.kernel),
        )

    def weighed(self, scene: Scene) -> State:
        """Give the same with weights by its noise."""
        return dataclasses.replace(self, weights=weigh(self.noise, model(scene, self), scene.mask))


def model(scene: Scene, state: State) -> np.ndarray:
    """Draw columns and background, float32."""
    return draw(scene, state) + scene.background.image(state.coefficients)


def draw(scene: Scene, state: State) -> np.ndarray:
    """Draw the columns alone, float32."""
    out = np.zeros(scene.image.shape, np.float32)
    rows = len(out)
    columns = (state.xy, state.heights, scene.kinds)
    in_threads(kernels.draw, rows, out, *columns, *state.kernel.arguments())
    return out


def derivatives(scene: Scene, state: State) -> np.ndarray:
    """Draw the derivatives by what the columns share: ``(shared, height, width)``, float32."""
    kernel = state.kernel
    count = 3 + len(kernel.scales) - 1 + len(kernel.shares) - 1
    out = np.zeros((count, *scene.image.shape), np.float32)
    precision, shares, narrow, half = kernel.arguments(widest=True)
    in_threads(
        kernels.draw_derivatives,
        out.shape[1],
        out,
        state.xy,
        state.heights,
        scene.kinds,
        precision,
        kernel.scales,
        shares,
        narrow,
        half,
    )
    return out


def on_columns(scene: Scene, state: State, images: np.ndarray) -> np.ndarray:
    """Project images on height, x and y of each column: ``(3 n, images)``."""
    count = len(state.xy)
    out = np.empty((count, len(images), 3))
    in_threads(
        kernels.project, count, out, images, state.xy, scene.kinds, *state.kernel.arguments()
    )
    out *= scene.sizes(state.heights)[:, None]
    return out.swapaxes(1, 2).reshape(3 * count, len(images))
