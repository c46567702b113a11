"""Rotation of the shell of atoms around others, such as of oxygen octahedra."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree


def shell_tilts(
    centres: np.ndarray,
    shell: np.ndarray,
    neighbours: int,
    reach: float,
    parity: np.ndarray,
) -> np.ndarray:
    """Angle by which each shell is turned against the mean shell.

    The mean shell is taken over both parities with equal weight, so that a tilt whose sign
    alternates leaves it straight. Each shell's angle is that of the least-squares rotation
    of the mean shell onto it.

    Parameters
    ----------
    centres
        Atoms in the middle, shape ``(n, 2)``, x and y in pixels.
    shell
        Atoms around them, shape ``(m, 2)``.
    neighbours
        How many make a shell.
    reach
        Distance in pixels within which all of them must lie.
    parity
        0 or 1 for each centre, as on a chessboard.

    Returns
    -------
    tilts
        Radians, counter-clockwise as displayed, shape ``(n,)``; NaN where a neighbour is missing.
    """
    tilts = np.full(len(centres), np.nan)
    if len(shell) < neighbours:
        return tilts
    distance, index = map(np.asarray, KDTree(shell).query(centres, k=neighbours))
    bonds = shell[index] - centres[:, None]
    angle = np.arctan2(-bonds[..., 1], bonds[..., 0])
    # where the shell's n bonds point: the phase of their n-th harmonic
    whole = distance[:, -1] < reach
    phase = np.angle(np.exp(1j * neighbours * angle[whole]).sum()) / neighbours
    place = np.rint((angle - phase) * neighbours / (2 * np.pi)).astype(int) % neighbours
    whole &= (np.sort(place, axis=1) == np.arange(neighbours)).all(axis=1)
    if not whole.any():
        return tilts
    bonds = np.take_along_axis(bonds, np.argsort(place, axis=1)[..., None], 1)[whole]
    sides = [bonds[parity[whole] == side] for side in (0, 1)]
    mean = np.mean([side.mean(0) for side in sides if len(side)], axis=0)
    across = mean[:, 0] * bonds[..., 1] - mean[:, 1] * bonds[..., 0]
    tilts[whole] = np.arctan2(-across.sum(1), (mean * bonds).sum((1, 2)))
    return tilts
