"""How sure a displacement is: from the fit of the positions, and from its neighbours."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

NORMAL_MAD = 1.4826  # standard deviation of a normal law over its median absolute deviation


def centre_variances(
    atoms: np.ndarray, reference: np.ndarray, variances: np.ndarray, neighbours: int
) -> np.ndarray:
    """Give the variances of the mean place of the nearest reference atoms.

    Parameters
    ----------
    atoms
        Shape ``(n, 2)``, pixels.
    reference
        Shape ``(m, 2)``, pixels.
    variances
        Of the reference positions, shape ``(m, 2)``, pixels squared.
    neighbours
        How many reference atoms the mean runs over.

    Returns
    -------
    variances
        Shape ``(n, 2)``: the sum of theirs over the square of their number.
    """
    if len(reference) < neighbours:
        return np.full((len(atoms), 2), np.nan)
    index = np.asarray(KDTree(reference).query(atoms, k=neighbours)[1]).reshape(len(atoms), -1)
    return variances[index].sum(axis=1) / neighbours**2


def neighbour_noise(vectors: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Estimate the standard deviation of what differs from one atom to the next.

    The deviation of a vector from the mean of its n neighbours has (n + 1) / n times the
    variance of independent noise. The median absolute deviation is taken, so that walls count
    little; a slope of the field counts as nothing where neighbours lie on all sides.

    Parameters
    ----------
    vectors
        Shape ``(n, 2)``, finite.
    neighbours
        Rows of the neighbours, without the atom itself, shape ``(n, m)``; -1 for none. Atoms
        that lack one are left out.

    Returns
    -------
    noise
        Shape ``(2,)``, of u and v; NaN if no atom has all neighbours.
    """
    whole = (neighbours >= 0).all(axis=1)
    if not whole.any():
        return np.full(2, np.nan)
    off = vectors[whole] - vectors[neighbours[whole]].mean(axis=1)
    count = neighbours.shape[1]
    return NORMAL_MAD * np.median(np.abs(off), axis=0) * np.sqrt(count / (count + 1))
