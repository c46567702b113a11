"""Which atom is whose neighbour on a lattice, and where each stands in it."""

from __future__ import annotations

from collections import deque

import numpy as np
from scipy.spatial import KDTree

TOLERANCE = 0.35
BESIDE = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])  # the four nearest steps


def square_offsets(radius: int) -> np.ndarray:
    """Lattice steps of a patch of ``(2 radius + 1)**2`` sites around an atom.

    Parameters
    ----------
    radius
        Steps along both lattice vectors, to either side.

    Returns
    -------
    offsets
        Whole numbers of steps along a and b, shape ``(m, 2)``, the atom itself, (0, 0), first,
        then by distance.
    """
    steps = np.arange(-radius, radius + 1)
    offsets = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    return offsets[np.argsort((offsets**2).sum(1), kind="stable")]


def lattice_neighbours(
    positions: np.ndarray, vectors: np.ndarray, offsets: np.ndarray, tolerance: float = TOLERANCE
) -> np.ndarray:
    """Find the atom at each lattice step from each atom.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    vectors
        Rows a and b, x and y in pixels.
    offsets
        Steps along a and b, shape ``(m, 2)``.
    tolerance
        How far an atom may lie from where it is expected, as a fraction of the shorter vector.

    Returns
    -------
    neighbours
        Rows of `positions`, shape ``(n, m)``; -1 where there is none. A step of (0, 0) leads
        back to the atom itself.
    """
    tree = KDTree(positions)
    reach = tolerance * np.hypot(*np.asarray(vectors).T).min()
    expected = np.asarray(positions)[:, None] + np.asarray(offsets) @ vectors
    index = np.asarray(tree.query(expected, distance_upper_bound=reach)[1])
    return np.where(index == len(positions), -1, index)


def lattice_indices(positions: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Count the atoms by their steps along a and b.

    The numbers are handed from neighbour to neighbour, so that a bent or strained lattice is
    counted right. Where a part is not connected to the rest, it is counted on the straight
    lattice that continues the rest.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    vectors
        Rows a and b, x and y in pixels.

    Returns
    -------
    indices
        Whole numbers, shape ``(n, 2)``; (0, 0) is the atom nearest to the middle.
    """
    points = np.asarray(positions, dtype=np.float64)
    steps = square_offsets(1)[1:]
    neighbours = lattice_neighbours(points, vectors, steps)
    start = int(np.argmin(((points - points.mean(0)) ** 2).sum(1)))
    straight = np.rint((points - points[start]) @ np.linalg.inv(vectors)).astype(np.int64)
    indices, known = np.zeros((len(points), 2), dtype=np.int64), np.zeros(len(points), dtype=bool)
    for seed in [start, *range(len(points))]:
        if known[seed]:
            continue
        indices[seed], known[seed] = straight[seed], True
        queue = deque([seed])
        while queue:
            here = queue.popleft()
            for step, there in zip(steps, neighbours[here], strict=True):
                if there >= 0 and not known[there]:
                    indices[there], known[there] = indices[here] + step, True
                    queue.append(int(there))
    return indices
