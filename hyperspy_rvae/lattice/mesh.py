"""Which atom is whose neighbour on a lattice, and where each stands in it."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import KDTree

TOLERANCE = 0.35
BESIDE = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])  # the four nearest steps
FORWARD = np.array([[1, 0], [0, 1], [1, 1], [1, -1]])  # four of the eight nearest steps


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
    neighbours = lattice_neighbours(points, vectors, FORWARD)
    start, direction = np.nonzero(neighbours >= 0)
    end = neighbours[start, direction]
    indices, piece = walk(len(points), start, end, FORWARD[direction])
    middle = int(np.argmin(((points - points.mean(0)) ** 2).sum(1)))
    indices -= np.where(piece == piece[middle], 1, 0)[:, None] * indices[middle]
    straight = np.rint((points - points[middle]) @ np.linalg.inv(vectors)).astype(np.int64)
    firsts = np.unique(piece, return_index=True)[1]
    firsts[piece[middle]] = middle
    return indices + straight[firsts][piece]


def walk(
    n: int, start: np.ndarray, end: np.ndarray, steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Count atoms by the steps between them, breadth first.

    Parameters
    ----------
    n
        Number of atoms.
    start, end
        Atoms that a step leads from and to, shape ``(m,)`` each. Ways back need not be given; of
        several steps between two atoms the first counts.
    steps
        Whole numbers along a and b, shape ``(m, 2)``.

    Returns
    -------
    indices
        Shape ``(n, 2)``, counted from the first atom of each piece.
    piece
        Shape ``(n,)``: atoms that steps join are one piece; numbered from 0.
    """
    pairs = np.sort(np.column_stack([start, end]), axis=1)
    first = np.unique(pairs @ [n, 1], return_index=True)[1]
    start, end, steps = start[first], end[first], steps[first]
    ones = np.ones(len(start), dtype=bool)
    piece = connected_components(coo_array((ones, (start, end)), shape=(n, n)))[1]
    # One search from a root beside the atoms, which has an edge to the first atom of each piece.
    roots = np.unique(piece, return_index=True)[1]
    steps = np.concatenate([steps, -steps, np.zeros((len(roots), 2), dtype=np.int64)])
    edges = (np.r_[start, end, np.full(len(roots), n)], np.r_[end, start, roots])
    graph = coo_array((np.arange(1, len(steps) + 1), edges), shape=(n + 1, n + 1)).tocsr()
    parent = breadth_first_order(graph, n)[1]
    parent[n] = n
    indices = steps[np.asarray(graph[parent[:n], np.arange(n)]).ravel() - 1]
    indices = np.append(indices, [[0, 0]], axis=0)
    while (parent != n).any():  # each round doubles the way that the steps have been summed
        indices = indices + np.where(parent[:, None] == n, 0, indices[parent])
        parent = parent[parent]
    return indices[:n], piece
