"""Displacements of one sublattice from the centres of another's atoms."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

MOST_NEIGHBOURS = 12
OFF_CENTRE = 0.2


def displacements(atoms: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    """Vectors from ideal sites to measured atoms.

    Parameters
    ----------
    atoms
        Measured positions, shape ``(n, 2)``, x and y in pixels.
    ideal
        Ideal sites, same shape and order.

    Returns
    -------
    vectors
        Shape ``(n, 2)``: u right, v down, pixels; atom minus ideal.
    """
    return np.asarray(atoms, dtype=np.float64) - ideal


def coordination(atoms: np.ndarray, reference: np.ndarray) -> tuple[int, float]:
    """How many reference atoms surround an atom, and within which distance they lie.

    The medians of the distances to the first, second, ... reference atom rise in steps, one a
    shell; the first shell ends at the largest relative step.

    Parameters
    ----------
    atoms
        Positions, shape ``(n, 2)``, pixels.
    reference
        Positions of the reference sublattice, shape ``(m, 2)``.

    Returns
    -------
    neighbours
        Atoms in the first shell, at least 2.
    reach
        Distance between the first shell and the second, pixels.

    Raises
    ------
    ValueError
        If there are fewer than three reference atoms.
    """
    if len(reference) < 3:
        raise ValueError(
            f"the reference sublattice has {len(reference)} atoms; at least 3 are needed to tell "
            "which of them surround an atom."
        )
    many = min(MOST_NEIGHBOURS, len(reference))
    shells = np.median(cKDTree(reference).query(atoms, k=many)[0], axis=0)
    last = 1 + int(np.argmax(shells[2:] / shells[1:-1]))
    return last + 1, float(shells[last : last + 2].mean())


def neighbour_centres(
    atoms: np.ndarray, reference: np.ndarray, neighbours: int, reach: float
) -> np.ndarray:
    """Mean position of the reference atoms around each atom.

    Parameters
    ----------
    atoms
        Positions, shape ``(n, 2)``, pixels.
    reference
        Positions of the reference sublattice, shape ``(m, 2)``.
    neighbours
        Reference atoms that surround an atom.
    reach
        Distance in pixels within which all of them must lie.

    Returns
    -------
    centres
        Shape ``(n, 2)``; NaN where a neighbour is missing, as at the rim and beside a vacancy.
    """
    centres = np.full((len(atoms), 2), np.nan)
    if len(reference) < neighbours or not len(atoms):
        return centres
    distance, index = map(np.asarray, cKDTree(reference).query(atoms, k=neighbours))
    whole = distance[:, -1] < reach
    centres[whole] = reference[index[whole]].mean(axis=1)
    return centres


def check_centred(vectors: np.ndarray, reach: float) -> None:
    """Refuse sublattices that do not sit at the centre of each other's neighbours.

    Raises
    ------
    ValueError
        If no atom has all its neighbours, or the atoms lie far from their centres throughout, so
        that the centre is no ideal site.
    """
    finite = np.isfinite(vectors).all(1)
    if not finite.any():
        raise ValueError(
            "no atom has all its reference neighbours around it, so there is no displacement to "
            "measure; look at both sublattices with plot_atoms()."
        )
    off = float(np.median(np.hypot(*vectors[finite].T)))
    if off > OFF_CENTRE * reach:
        raise ValueError(
            f"the atoms lie {off:.2f} px from the centre of their reference neighbours "
            f"throughout, which are within {reach:.2f} px: they do not sit between these, so "
            "their centre is no ideal site. Choose as reference the sublattice whose atoms "
            "surround them."
        )
