"""The profile that columns share: an elliptical Gaussian, with tails where columns touch."""

from __future__ import annotations

import dataclasses

import numpy as np

TAIL_COLUMNS = ["tail_1", "tail_2"]
TAILS = (1.6, 2.4)  # widths of the tails, in widths of the core
REACHES = (4.0, 5.6, 7.5)  # of core and tails in widths of the core: as far as they are drawn
LARGEST_STEP = 0.3  # of a relative change of the precision in one iteration
LARGEST_SHARE = 0.7
LARGEST_HALF = 500  # pixels
NARROWEST_PX = 0.4  # sigma; what is narrower falls between the pixels


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What the columns of all sublattices share.

    Attributes
    ----------
    precision
        Inverse covariance of the core in the first sublattice: xx, xy, yy in 1/px².
    scales
        What it is multiplied with in each sublattice, 1 for the first.
    shares
        Shares of core and tails in the height, sum 1.
    """

    precision: np.ndarray
    scales: np.ndarray
    shares: np.ndarray

    @classmethod
    def round(cls, sigma: float, sublattices: int) -> Kernel:
        """Start from round Gaussians of one width, in pixels."""
        return cls(np.array([1.0, 0.0, 1.0]) / sigma**2, np.ones(sublattices), np.ones(1))

    def with_tails(self) -> Kernel:
        """Allow for tails, which have no share yet."""
        return dataclasses.replace(self, shares=np.array([1.0, *np.zeros(len(TAILS))]))

    @property
    def widths(self) -> np.ndarray:
        """Widths of core and tails, in those of the core."""
        return np.array([1.0, *TAILS])[: len(self.shares)]

    @property
    def covariances(self) -> np.ndarray:
        """Covariance of the core in each sublattice, shape ``(sublattices, 2, 2)``, px²."""
        xx, xy, yy = self.precision
        return np.linalg.inv([[xx, xy], [xy, yy]]) / self.scales[:, None, None]

    @property
    def volumes(self) -> np.ndarray:
        """Volume under a column of height 1 in each sublattice, px²."""
        area = 2 * np.pi * np.sqrt(np.linalg.det(self.covariances))
        return area * (self.shares @ self.widths**2)

    def arguments(self, *, widest: bool = False) -> tuple[np.ndarray, ...]:
        """Precision, shares, narrow and half, as the compiled passes take them.

        Tails are drawn as far as they reach if they have a share, or all the same if `widest`.
        """
        precision = self.scales[:, None] * self.precision
        half = self.reach(precision, widest=widest)
        return precision, self.shares, self.widths**-2.0, half

    def reach(self, precision: np.ndarray, *, widest: bool = False) -> np.ndarray:
        """Half the sides of the squares that columns of a precision, ``(n, 3)``, are drawn on."""
        there = (self.shares > 0) | widest
        reach = max(far for far, drawn in zip(REACHES, there, strict=False) if drawn)
        xx, xy, yy = precision.T
        least = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
        return np.ceil(np.minimum(reach / np.sqrt(least), LARGEST_HALF)).astype(np.int64)

    def moved(self, step: np.ndarray, part: float = 1.0) -> Kernel:
        """Take a step in precision, logarithms of the scales and shares of the tails.

        No width gets below 0.4 px, as that of a sublattice that is not there would.
        """
        ends = np.cumsum([3, len(self.scales) - 1])
        precision, scales, tails = np.split(np.asarray(step) * part, ends)
        shares = np.clip(self.shares[1:] + tails, 0.0, LARGEST_SHARE)
        xx, xy, yy = precision = self.precision + precision
        sharpest = float(np.linalg.eigvalsh([[xx, xy], [xy, yy]])[-1]) * NARROWEST_PX**2
        scales = self.scales * np.exp(np.concatenate([[0.0], scales]))
        scales = np.minimum(scales, 1 / sharpest)
        return Kernel(
            precision * scales[0],
            scales / scales[0],
            np.concatenate([[1.0 - shares.sum()], shares]),
        )

    def safe_part(self, step: np.ndarray) -> float:
        """Part of a step that changes no width by much and keeps the ellipse an ellipse."""
        (xx, xy, yy), (dxx, dxy, dyy) = self.precision, step[:3]
        change = np.linalg.solve([[xx, xy], [xy, yy]], [[dxx, dxy], [dxy, dyy]])
        largest = float(np.abs(np.linalg.eigvals(change)).max())
        largest = max(largest, float(np.abs(step[3:]).max(initial=0.0)))
        return min(1.0, LARGEST_STEP / max(largest, 1e-12))

    def relative(self, step: np.ndarray) -> float:
        """Largest change by a step, relative to the precision or to all of the height."""
        precision = np.abs(step[:3]).max() / np.abs(self.precision[[0, 2]]).mean()
        return float(max(precision, np.abs(step[3:]).max(initial=0.0)))

    def half_way(self, other: Kernel) -> Kernel:
        """Give the kernel between this one and another."""
        return Kernel(
            (self.precision + other.precision) / 2,
            np.sqrt(self.scales * other.scales),
            (self.shares + other.shares) / 2,
        )
