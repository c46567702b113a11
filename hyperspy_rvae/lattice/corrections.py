"""Fields that tilt and scan put into displacements, for subtraction."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.spatial import KDTree

Field = Literal["mean", "plane", "smooth"]


def background_field(
    positions: np.ndarray,
    vectors: np.ndarray,
    field: Field,
    region: np.ndarray | None = None,
    width: float | None = None,
) -> np.ndarray:
    """Field that varies slowly, at each atom.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    vectors
        Shape ``(n, 2)``, finite.
    field
        "mean": one vector; "plane": linear in x and y; "smooth": the mean of the vectors around,
        weighted by a Gaussian of the distance.
    region
        Atoms that it is taken from, shape ``(n,)``; all if None. The mean and the plane go on
        outside.
    width
        Standard deviation of the Gaussian in pixels.

    Returns
    -------
    field
        Shape ``(n, 2)``.
    """
    chosen = np.ones(len(positions), dtype=bool) if region is None else region
    if field == "mean":
        return np.broadcast_to(vectors[chosen].mean(0), vectors.shape)
    if field == "plane":
        middle = positions[chosen].mean(0)
        terms = np.column_stack([np.ones(len(positions)), positions - middle])
        return terms @ np.linalg.lstsq(terms[chosen], vectors[chosen], rcond=None)[0]
    return _gaussian_mean(positions, positions[chosen], vectors[chosen], float(width or 0))


def _gaussian_mean(
    places: np.ndarray, positions: np.ndarray, vectors: np.ndarray, width: float
) -> np.ndarray:
    tree, out = KDTree(positions), np.full(places.shape, np.nan)
    for row, near in enumerate(tree.query_ball_point(places, 3 * width)):
        if near:
            weights = np.exp(-((positions[near] - places[row]) ** 2).sum(1) / (2 * width**2))
            out[row] = weights @ vectors[near] / weights.sum()
    return out
