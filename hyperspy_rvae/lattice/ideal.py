"""Ideal places of atoms: from cells, from a fitted lattice, from straight planes, from time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.mesh import TOLERANCE, lattice_indices
from hyperspy_rvae.lattice.sites import cell_sites

OUTLIER = 4.0  # robust standard deviations
FEWEST_IN_PLANE = 4


def cell_places(
    atoms: np.ndarray,
    reference: np.ndarray,
    vectors: np.ndarray,
    position: tuple[float, float] = (0.5, 0.5),
) -> np.ndarray:
    """Places in the cells that the reference atoms span along two zone axes, as atomap has them.

    Parameters
    ----------
    atoms
        Shape ``(n, 2)``, x and y in pixels.
    reference
        Atoms of the reference sublattice, shape ``(m, 2)``.
    vectors
        Its lattice vectors, rows a and b, pixels.
    position
        Place in the cell, along a and along b, each from 0 to 1.

    Returns
    -------
    ideal
        Shape ``(n, 2)``; NaN where no whole cell has its place near the atom.
    """
    sites = cell_sites(reference, vectors, position)
    reach = TOLERANCE * np.hypot(*vectors.T).min()
    index = np.asarray(KDTree(sites).query(atoms, distance_upper_bound=reach)[1])
    return np.vstack([sites, [np.nan, np.nan]])[index]


def fit_lattice(positions: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit an origin and two vectors to numbered atoms, by least squares without outliers.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    indices
        Steps along a and b, shape ``(n, 2)``.

    Returns
    -------
    origin
        Shape ``(2,)``: the place with the indices (0, 0).
    vectors
        Rows a and b.

    Raises
    ------
    ValueError
        If the atoms stand in one row, or are fewer than three.
    """
    steps = np.column_stack([np.ones(len(indices)), indices])
    kept = np.ones(len(positions), dtype=bool)
    for _ in range(3):
        if np.linalg.matrix_rank(steps[kept]) < 3:
            raise ValueError(
                f"{kept.sum()} atoms fix no lattice; at least three that are not in one row are "
                "needed. Take a larger region."
            )
        fitted = np.linalg.lstsq(steps[kept], positions[kept], rcond=None)[0]
        distance = np.hypot(*(positions - steps @ fitted).T)
        # 1.18 is the median length of a two-dimensional normal vector of unit deviation
        kept = distance <= max(OUTLIER * np.median(distance[kept]) / 1.18, 1e-9)
    return fitted[0], fitted[1:]


def indices_in(
    atoms: np.ndarray,
    reference: np.ndarray,
    vectors: np.ndarray,
    position: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Count atoms by the cells of another sublattice.

    Parameters
    ----------
    atoms
        Shape ``(n, 2)``, x and y in pixels.
    reference
        Shape ``(m, 2)``.
    vectors
        Rows a and b of the reference's lattice.
    position
        Place of the atoms in the cell, along a and along b.

    Returns
    -------
    cells
        Whole steps along a and b of the cell that each atom is in, shape ``(n, 2)``; counted from
        the atom's nearest reference atom, so that a strained lattice is counted right.
    indices
        Those of the reference, shape ``(m, 2)``.
    """
    indices = lattice_indices(reference, vectors)
    nearest = np.asarray(KDTree(reference).query(atoms)[1])
    steps = (atoms - reference[nearest]) @ np.linalg.inv(vectors) - np.asarray(position)
    return indices[nearest] + np.rint(steps).astype(np.int64), indices


def lattice_places(
    cells: np.ndarray,
    position: tuple[float, float],
    reference: np.ndarray,
    indices: np.ndarray,
    region: np.ndarray | None = None,
) -> np.ndarray:
    """Places on one ideal lattice, fitted to the reference atoms.

    Parameters
    ----------
    cells, indices
        As :func:`indices_in` gives.
    position
        Place of the atoms in the cell, along a and along b.
    reference
        Shape ``(m, 2)``, x and y in pixels.
    region
        Which reference atoms are fitted, shape ``(m,)``, such as those of the substrate; all if
        None.

    Returns
    -------
    ideal
        Shape ``(n, 2)``.
    """
    chosen = np.ones(len(reference), dtype=bool) if region is None else region
    origin, vectors = fit_lattice(reference[chosen], indices[chosen])
    return origin + (cells + np.asarray(position)) @ vectors


def plane_crossings(
    cells: np.ndarray,
    position: tuple[float, float],
    reference: np.ndarray,
    indices: np.ndarray,
) -> np.ndarray:
    """Places where straight lines through the planes along a cross those along b.

    A line is fitted to each plane of reference atoms: halfway between its two halves, which have
    one slope, as temul's line between the ends of a plane. Between planes it is interpolated to the
    place in the cell; with `position` (0, 0) and the atoms as their own reference, the ideal
    place is on the atom's own two planes.

    Parameters
    ----------
    cells, indices
        As :func:`indices_in` gives.
    position
        Place of the atoms in the cell, along a and along b.
    reference
        Shape ``(m, 2)``, x and y in pixels.

    Returns
    -------
    ideal
        Shape ``(n, 2)``; NaN where a plane has fewer than four atoms.
    """
    along_a = _lines(reference, indices[:, 0], indices[:, 1])
    along_b = _lines(reference, indices[:, 1], indices[:, 0])
    (p, q), (r, s) = (
        _between(along_a, cells[:, 1], position[1]),
        _between(along_b, cells[:, 0], position[0]),
    )
    # p + t q = r + k s: take the cross product with s
    with np.errstate(divide="ignore", invalid="ignore"):
        t = _cross(r - p, s) / _cross(q, s)
    return p + t[:, None] * q


def mean_over_time(
    frames: list[np.ndarray], spacing: float, tracks: list[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Mean place of each atom over the frames of a movie, moved along with the drift.

    Parameters
    ----------
    frames
        Positions in each frame, shape ``(n_f, 2)`` each, x and y in pixels.
    spacing
        Distance between nearest neighbours, pixels.
    tracks
        Which atom each is, whole numbers, -1 or NaN where it is not known. If None, atoms are
        matched from frame to frame by nearness; the drift from one frame to the next must stay
        below half a spacing then.

    Returns
    -------
    ideal
        One array a frame, row for row; NaN for atoms that are seen in one frame only.
    """
    drift = _chained_drift(frames, spacing)
    labels = _matched_sites(frames, drift, spacing) if tracks is None else tracks
    rows, names = pd.factorize(np.concatenate(labels))
    rows[rows < 0] = len(names)  # NaN
    counts = np.bincount(rows, minlength=len(names) + 1)[:, None]
    counts[np.append(names == -1, True)] = 0
    parts = np.split(rows.astype(np.int32), np.cumsum([len(xy) for xy in frames])[:-1])
    del rows, labels
    for _ in range(3):  # the drift is that against the mean places, which need the drift
        sums = np.zeros((len(counts), 2))
        for xy, part, moved in zip(frames, parts, drift, strict=True):
            np.add.at(sums, part, xy - moved)
        sites = np.where(counts > 1, sums / np.maximum(counts, 1), np.nan)
        for k, (xy, part) in enumerate(zip(frames, parts, strict=True)):
            off = xy - sites[part]
            if np.isfinite(off).any():
                drift[k] = np.nanmean(off, axis=0)
    return [sites[part] + moved for part, moved in zip(parts, drift, strict=True)]


def _chained_drift(frames: list[np.ndarray], spacing: float) -> list[np.ndarray]:
    """Drift of each frame against the first, from the medians of the steps between two."""
    drift = [np.zeros(2)]
    for before, after in pairwise(frames):
        distance, match = map(np.asarray, KDTree(before).query(after))
        near = distance < spacing / 2
        step = np.median((after - before[match])[near], axis=0) if near.any() else np.zeros(2)
        drift.append(drift[-1] + step)
    return drift


def _matched_sites(
    frames: list[np.ndarray], drift: list[np.ndarray], spacing: float
) -> list[np.ndarray]:
    """Find the site that each atom is nearest to, once the drift is taken away."""
    sites, labels = frames[0], [np.arange(len(frames[0]))]
    for xy, moved in zip(frames[1:], drift[1:], strict=True):
        distance, match = map(np.array, KDTree(sites).query(xy - moved))
        new = distance > 0.4 * spacing
        match[new] = len(sites) + np.arange(new.sum())
        if new.any():
            sites = np.vstack([sites, (xy - moved)[new]])
        labels.append(match.astype(np.int32))
    return labels


def _lines(positions: np.ndarray, along: np.ndarray, which: np.ndarray) -> dict[int, np.ndarray]:
    """Point and direction of a straight line through each plane, shape ``(2, 2)``.

    Both halves of a plane have one slope and a place each, and the line lies between the two, so
    that a domain wall in the middle moves it to neither side.
    """
    lines = {}
    for plane in np.unique(which):
        here = which == plane
        if here.sum() < FEWEST_IN_PLANE:
            continue
        late = along[here] > np.median(along[here])
        steps = np.column_stack([~late, late, along[here]])
        first, last, slope = np.linalg.lstsq(steps, positions[here], rcond=None)[0]
        lines[int(plane)] = np.array([(first + last) / 2, slope])
    return lines


def _between(
    lines: dict[int, np.ndarray], planes: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    none = np.full((2, 2), np.nan)
    here = np.array([lines.get(int(plane), none) for plane in planes])
    if share:
        there = np.array([lines.get(int(plane) + 1, none) for plane in planes])
        here = (1 - share) * here + share * there
    return here[:, 0], here[:, 1]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
