"""Local crystallography: the nearest neighbours of each atom."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def nearest_neighbours(
    atoms: np.ndarray, others: np.ndarray, k: int, itself: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k nearest of the others around each atom.

    Parameters
    ----------
    atoms
        Positions, shape ``(n, 2)``.
    others
        Positions, shape ``(m, 2)``.
    k
        Number of neighbours.
    itself
        Shape ``(n,)``: which of the others an atom itself is, so that it is left out; -1 for none.

    Returns
    -------
    index
        Of the others, shape ``(n, k)``, nearest first; -1 where there are too few.
    vectors
        From the atom to its neighbours, shape ``(n, k, 2)``; NaN where there are too few.
    """
    index = np.full((len(atoms), k), -1)
    vectors = np.full((len(atoms), k, 2), np.nan)
    if len(atoms) and len(others):
        itself = np.full(len(atoms), -1) if itself is None else itself
        found = np.asarray(cKDTree(others).query(atoms, k=np.arange(1, k + 2))[1])
        found[found == len(others)] = -1  # what the tree gives where there are too few
        own = (found == itself[:, None]) & (found >= 0)
        last = np.argsort(own | (found < 0), axis=1, kind="stable")
        found = np.where(own, -1, found)
        index = np.take_along_axis(found, last, axis=1)[:, :k]
        there = index >= 0
        vectors[there] = others[index[there]] - atoms[np.nonzero(there)[0]]
    return index, vectors


def within_reach(
    atoms: np.ndarray, others: np.ndarray, reach: float, itself: bool = False
) -> np.ndarray:
    """Count the others within a distance of each atom, shape ``(n,)``; `itself` is not counted."""
    if not len(atoms) or not len(others):
        return np.zeros(len(atoms), dtype=np.int64)
    count = cKDTree(others).query_ball_point(atoms, reach, return_length=True)
    return np.asarray(count, dtype=np.int64) - int(itself)


def moments(vectors: np.ndarray) -> np.ndarray:
    """Describe each atom's surroundings, whatever the order of its neighbours.

    With neighbours at distance r (over the usual one) and angle phi, counter-clockwise as
    displayed, these are the means of r exp(i m phi) for m = 0 to k. They change smoothly as the
    neighbours move, and a turn by alpha turns the m-th by m alpha.

    Parameters
    ----------
    vectors
        Shape ``(n, k, 2)``: u right, v down, all finite.

    Returns
    -------
    moments
        Complex, shape ``(n, k + 1)``.
    """
    k = vectors.shape[1]
    place = vectors[..., 0] - 1j * vectors[..., 1]
    radius = np.abs(place)
    usual = float(np.median(radius)) or 1.0
    turn = place / np.where(radius > 0, radius, 1.0)
    return np.stack([(radius / usual * turn**m).mean(1) for m in range(k + 1)], axis=1)
