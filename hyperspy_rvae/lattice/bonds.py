"""Bonds: pairs of atoms within the first shell of one another."""

from __future__ import annotations

import numpy as np
from scipy.spatial import Delaunay, QhullError, cKDTree

_SHELL = (1.1, 1.6)  # where the first shell may end, in distances to the nearest neighbour
_STEP = 0.01
_BLUR = 4.0  # steps
_NO_GAP = 0.4  # of the first shell's density; more between the shells is no lattice
_FEW = 30  # atoms; fewer show no shells
_TYPICAL = 1.35
_DOUBLED = 0.5


def bond_cut(frames: list[np.ndarray]) -> float:
    """Distance up to which two atoms are bonded.

    The density of pairs over their distance has a peak for the first shell, and falls off before
    the second. The cut is in the middle of where it is lowest.

    Parameters
    ----------
    frames
        Positions of each frame, shape ``(n, 2)`` each.

    Returns
    -------
    cut
        In the positions' units. With fewer than 30 atoms, 1.35 distances to the nearest
        neighbour.

    Raises
    ------
    ValueError
        If no frame has two atoms, or there is no gap between first and second shell.
    """
    usable = [xy for xy in frames if len(xy) > 1]
    if not usable:
        raise ValueError("no frame has two atoms, so there are no bonds; find more atoms.")
    nearest = np.concatenate([nearest_distances(xy) for xy in usable])
    spacing = float(np.median(nearest))
    if len(nearest) < _FEW:
        return _TYPICAL * spacing
    edges = np.arange(0.5, 2.0, _STEP)
    density = np.sum([_pairs_by_distance(xy / spacing, edges) for xy in usable], axis=0)
    middle = (edges[:-1] + edges[1:]) / 2
    peak = density[middle < _SHELL[0]].max()
    between = (middle > _SHELL[0]) & (middle < _SHELL[1])
    lowest = density[between].min()
    if lowest > _NO_GAP * peak:
        raise ValueError(
            "there is no gap between nearest neighbours and those further out (pairs are "
            f"{lowest / peak:.0%} as dense there), so the atoms form no lattice and bonds are a "
            "matter of definition; look at the atoms with plot_atoms(), or give cut in pixels."
        )
    low = middle[between][density[between] <= lowest + 0.02 * peak]
    return spacing * float(low.min() + low.max()) / 2


def bond_pairs(xy: np.ndarray, cut: float) -> np.ndarray:
    """Pairs of bonded atoms; no two bonds cross.

    Parameters
    ----------
    xy
        Positions of one frame, shape ``(n, 2)``.
    cut
        Largest length of a bond.

    Returns
    -------
    pairs
        Indices, the smaller first, shape ``(m, 2)``: pairs within the cut that are also
        neighbours in the Delaunay triangulation.
    """
    if len(xy) < 2:
        return np.empty((0, 2), dtype=np.int64)
    try:
        corners = Delaunay(xy).simplices if len(xy) > 2 else np.empty((0, 3), dtype=np.int64)
    except QhullError:  # all on one line
        corners = np.empty((0, 3), dtype=np.int64)
    if not len(corners):
        along = np.argsort(xy @ (xy[np.argmax(np.hypot(*(xy - xy[0]).T))] - xy[0]))
        pairs = np.sort(np.stack([along[:-1], along[1:]], 1), axis=1)
    else:
        sides = corners[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64)
        pairs = np.unique(np.sort(sides, axis=1), axis=0)
    return pairs[np.hypot(*(xy[pairs[:, 0]] - xy[pairs[:, 1]]).T) <= cut]


def doubled(xy: np.ndarray, spacing: float) -> np.ndarray:
    """Atoms that share a column with one before them.

    Parameters
    ----------
    xy
        Positions of one frame, shape ``(n, 2)``.
    spacing
        Usual distance to the nearest neighbour.

    Returns
    -------
    doubled
        Shape ``(n,)``: whether an atom of smaller index lies within half the spacing.
    """
    second = np.zeros(len(xy), dtype=bool)
    if len(xy) > 1:
        close = cKDTree(xy).query_pairs(_DOUBLED * spacing, output_type="ndarray")
        second[close[:, 1]] = True
    return second


def nearest_distances(xy: np.ndarray) -> np.ndarray:
    """Distance of each of two or more atoms to its nearest neighbour, shape ``(n,)``."""
    return np.asarray(cKDTree(xy).query(xy, k=2)[0])[:, 1]


def _pairs_by_distance(xy: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Count pairs over the area of each ring of distances, smoothed."""
    from scipy.ndimage import gaussian_filter1d

    pairs = cKDTree(xy).query_pairs(edges[-1], output_type="ndarray")
    distance = np.hypot(*(xy[pairs[:, 0]] - xy[pairs[:, 1]]).T)
    counts = np.histogram(distance, edges)[0] / (edges[:-1] + edges[1:])
    return gaussian_filter1d(counts.astype(np.float64), _BLUR, mode="nearest")
