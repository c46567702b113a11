"""Ideal sites: a lattice's repeats, and places inside its cells."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

_NEIGHBOURS = 24
_SAMPLE = 3000  # atoms that vote: enough, however large the image
_OF_LENGTH = 0.25  # of a vector, between an atom and where its neighbour says it is,
_OF_SPACING = 0.35  # and of the distance between neighbours: a long vector is no excuse


def lattice_vectors(positions: np.ndarray) -> np.ndarray:
    """Find the two shortest vectors by which a lattice repeats.

    The vectors between neighbours vote; a pair must take an atom to three others, so that a
    vector inside the motif (a dumbbell's, a honeycomb's bond) is none. Time grows linearly
    with the number of atoms.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.

    Returns
    -------
    vectors
        Shape ``(2, 2)``: rows a and b, x and y in pixels, 60 to 120 degrees apart (a few more
        in a strained lattice). a is the one nearer to the x axis and points right; b follows
        it clockwise as displayed, so for a square lattice a is right and b is down. Where
        two b are equally long, as in a hexagonal lattice, it is the one nearer to a.

    Raises
    ------
    ValueError
        If there are fewer than four atoms, or they do not repeat.
    """
    points = _checked(positions)
    tree = KDTree(points)
    chosen = np.random.default_rng(0).permutation(len(points))[:_SAMPLE]
    sample = points[chosen]
    distances, neighbours = nearest(tree, sample, k=min(_NEIGHBOURS, len(points) - 1) + 1)
    steps = (points[neighbours[:, 1:]] - sample[:, None]).reshape(-1, 2)
    spacing = float(np.median(distances[:, 1]))
    repeats = _repeats(steps, spacing)
    pairs = [pair for pair in map(_oriented, combinations(repeats, 2)) if _reduced(pair)]
    votes = np.array([len(whole_cells(tree, v, reach_of(v, spacing), chosen)) for v in pairs])
    if not votes.any():
        raise ValueError(
            f"no lattice repeats in these {len(points)} atoms; vectors are found where an atom has "
            "neighbours at a, b and a + b. Check the positions, or give atoms of one sublattice."
        )
    good = [pair for pair, vote in zip(pairs, votes, strict=True) if vote > 0.6 * votes.max()]
    area = min(np.linalg.det(pair) for pair in good)
    primitive = [pair for pair in good if np.linalg.det(pair) < 1.2 * area]
    length = min(np.hypot(*pair.T).sum() for pair in primitive)
    shortest = [pair for pair in primitive if np.hypot(*pair.T).sum() < 1.1 * length]
    return max(shortest, key=_preference)


def cell_sites(
    positions: np.ndarray,
    vectors: np.ndarray,
    fraction: tuple[float, float] = (0.5, 0.5),
    tolerance: float = 0.25,
) -> np.ndarray:
    """Place one site in each cell of a measured lattice.

    The cell's corners are atoms as measured: the partners of an atom at a and at b, and the
    fourth where these two say that it should be. So the sites follow strain, a turn by a few
    degrees and bent planes.

    Parameters
    ----------
    positions
        Atoms of the reference sublattice, shape ``(n, 2)``, x and y in pixels.
    vectors
        Rows a and b, as :func:`lattice_vectors` gives.
    fraction
        Place in the cell, along a and along b, each from 0 to 1.
    tolerance
        How far an atom may lie from where it is expected, as a fraction of the vector's length.

    Returns
    -------
    sites
        Shape ``(m, 2)``: the corners' bilinear interpolation, one per atom that has the
        corners which the fraction needs (two on an edge, else four), in the order of atoms.

    Raises
    ------
    ValueError
        If the fraction lies outside the cell, there are fewer than four atoms, or no cell has
        its corners.
    """
    points = _checked(positions)
    along_a, along_b = fraction
    if not (0 <= along_a <= 1 and 0 <= along_b <= 1):
        raise ValueError(
            f"fraction must lie in the cell, from 0 to 1 along both vectors, got {fraction}"
        )
    shares = np.outer([1 - along_b, along_b], [1 - along_a, along_a]).ravel()
    pair = np.asarray(vectors, float)
    reach = tolerance * np.hypot(*pair.T)
    cells = whole_cells(KDTree(points), pair, reach, needed=shares > 0)
    if not len(cells):
        raise ValueError(
            f"no cell of the lattice with vectors {np.round(vectors, 2).tolist()} px has its "
            f"corners among these {len(points)} atoms; check the vectors and the positions"
        )
    return np.einsum("c,mcx->mx", shares, points[cells])


def _checked(positions: np.ndarray) -> np.ndarray:
    points = np.asarray(positions, float).reshape(-1, 2)
    if len(points) < 4:
        raise ValueError(f"a lattice needs at least 4 atoms, got {len(points)}; find more first")
    return points


def _repeats(steps: np.ndarray, spacing: float) -> np.ndarray:
    """Vectors that many steps share, the shortest dozen, one of each pair of opposites."""
    steps = np.concatenate([steps, -steps])
    bins, width = 60, 0.1 * spacing
    edge = (bins + 0.5) * width
    votes, _, _ = np.histogram2d(
        steps[:, 0], steps[:, 1], bins=2 * bins + 1, range=((-edge, edge), (-edge, edge))
    )
    votes = ndimage.gaussian_filter(votes, 1.0)
    tops = (votes == ndimage.maximum_filter(votes, size=7)) & (votes > 0.2 * votes.max())
    peaks = (np.argwhere(tops) - bins) * width
    peaks = peaks[(peaks[:, 0] > 0) | ((peaks[:, 0] == 0) & (peaks[:, 1] > 0))]
    peaks = peaks[np.argsort(np.hypot(*peaks.T), kind="stable")][:12]
    tree = KDTree(steps)
    for _ in range(2):
        near = tree.query_ball_point(peaks, 2 * width)
        peaks = np.array([np.median(steps[some], axis=0) for some in near]).reshape(-1, 2)
    return peaks


def _oriented(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Order a pair as rows a, b: a nearer to the x axis and rightwards, b clockwise of it."""
    a, b = sorted(pair, key=lambda vector: abs(vector[1]) / np.hypot(*vector))
    a = a if a[0] >= 0 else -a
    return np.array([a, b if a[0] * b[1] - a[1] * b[0] >= 0 else -b])


def _reduced(pair: np.ndarray) -> bool:
    a, b = pair
    return bool(abs(a @ b) <= 0.56 * min(a @ a, b @ b) and np.linalg.det(pair) > 0)


def _preference(pair: np.ndarray) -> tuple[float, float]:
    (a, b), lengths = pair, np.hypot(*pair.T)
    return round(float(a[0] / lengths[0]), 1), float(a @ b / lengths.prod())


def whole_cells(
    tree: KDTree,
    vectors: np.ndarray,
    reach: np.ndarray,
    origins: np.ndarray | None = None,
    needed: np.ndarray | None = None,
) -> np.ndarray:
    """Find the atoms at the corners of each whole cell.

    Parameters
    ----------
    tree
        Of all atoms, n of them.
    vectors
        Rows a and b, pixels.
    reach
        Shape ``(2,)``: how far an atom may lie from where a and b say that it is, pixels.
    origins
        Atoms to start from; all if not given.
    needed
        Shape ``(4,)``, which corners must be there; all if not given.

    Returns
    -------
    cells
        Shape ``(m, 4)``: atoms at 0, a, b and a + b. A corner that need not be there and is not
        is given as the origin.
    """
    points = tree.data
    a, b = vectors
    origin = np.arange(len(points)) if origins is None else origins
    at_a = partners(tree, origin, points[origin] + a, a, reach[0])
    at_b = partners(tree, origin, points[origin] + b, b, reach[1])
    both = (at_a >= 0) & (at_b >= 0)
    at_ab = np.full(len(origin), -1)
    fourth = points[at_a[both]] + points[at_b[both]] - points[origin[both]]
    at_ab[both] = nearest(tree, fourth, distance_upper_bound=reach.min())[1]
    at_ab[at_ab == len(points)] = -1
    cells = np.stack([origin, at_a, at_b, at_ab], axis=1)
    wanted = np.ones(4, bool) if needed is None else needed
    whole = (cells[:, wanted] >= 0).all(axis=1)
    return np.where(cells < 0, origin[:, None], cells)[whole]


def reach_of(vectors: np.ndarray, spacing: float) -> np.ndarray:
    """How far an atom may lie from where each vector says that it is, pixels."""
    return np.minimum(_OF_LENGTH * np.hypot(*vectors.T), _OF_SPACING * spacing)


def partners(
    tree: KDTree, origin: np.ndarray, expected: np.ndarray, step: np.ndarray, reach: float
) -> np.ndarray:
    """Atom nearest to each expected place, -1 for none, no atom twice."""
    distance, partner = nearest(tree, expected, distance_upper_bound=reach)
    found = np.flatnonzero(np.isfinite(distance))
    back = nearest(tree, tree.data[partner[found]] - step)[1]
    chosen = np.full(len(origin), -1)
    mutual = found[back == origin[found]]
    chosen[mutual] = partner[mutual]
    return chosen


def nearest(tree: KDTree, places: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Query a tree, and give arrays whatever the numbers."""
    distance, index = tree.query(places, **options)
    return np.asarray(distance), np.asarray(index)
