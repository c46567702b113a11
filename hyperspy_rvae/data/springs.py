"""Sheets of three bonds an atom, relaxed as networks of springs."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import coo_array

SECOND = 0.25  # stiffness between second neighbours, that of bonds being 1


def relaxed(places: np.ndarray, bonds: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Let atoms settle between springs along bonds and between second neighbours.

    Parameters
    ----------
    places
        Shape ``(n, 2)``, in bonds.
    bonds
        Pairs of atoms, shape ``(m, 2)``; their springs are 1 long, those between two neighbours of
        one atom the square root of 3.
    free
        Shape ``(n,)``: which atoms may move.

    Returns
    -------
    places
        Shape ``(n, 2)``.
    """
    springs = ((bonds, 1.0, 1.0), (_seconds(bonds, len(places)), np.sqrt(3), SECOND))

    def energy(moved: np.ndarray) -> tuple[float, np.ndarray]:
        at = places.copy()
        at[free] = moved.reshape(-1, 2)
        total, force = 0.0, np.zeros_like(at)
        for ends, length, stiffness in springs:
            along = at[ends[:, 1]] - at[ends[:, 0]]
            distance = np.hypot(*along.T)
            stretch = stiffness * (distance - length)
            total += float((stretch * (distance - length)).sum())
            pull = 2 * (stretch / distance)[:, None] * along
            for side, sign in ((1, 1.0), (0, -1.0)):
                for k in range(2):
                    force[:, k] += sign * np.bincount(ends[:, side], pull[:, k], len(at))
        return total, force[free].ravel()

    settled = places.copy()
    found = minimize(
        energy, places[free].ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 3000}
    )
    settled[free] = found.x.reshape(-1, 2)
    return settled


def _seconds(bonds: np.ndarray, n: int) -> np.ndarray:
    """Pairs of atoms that share a neighbour."""
    ones = np.ones(2 * len(bonds))
    ends = np.concatenate([bonds, bonds[:, ::-1]]).T
    bonded = coo_array((ones, tuple(ends)), shape=(n, n)).tocsr()
    pairs = np.stack((bonded @ bonded).nonzero(), 1)
    return pairs[pairs[:, 0] < pairs[:, 1]]
