"""Which cell of which grain each atom belongs to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.sites import lattice_vectors, nearest, reach_of, whole_cells

_LEAST = 16  # atoms of a grain; fewer fall into place by chance in an amorphous film
_STRAY = 0.6  # of what is allowed, root mean square; 0.71 if all places were equally likely
_FILLED = 0.45  # whole cells an atom; a block of 4 by 4 atoms has 0.56
_CLASH = 2e-3  # share of the atoms on a place that another has
_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1], [0, 0]])


class Cells(NamedTuple):
    """Cells of a structure, atom by atom.

    Attributes
    ----------
    indices
        Shape ``(n, 2)``, int: steps along a and along b from the first cell of the grain, 0
        and up; 0 without a grain.
    grain
        Shape ``(n,)``, int: 0 is the largest grain, -1 says that the atom is in none.
    site
        Shape ``(n,)``, int: place in the cell, where a cell holds several atoms; -1 without a
        grain. Numbers are those of one grain.
    vectors
        Shape ``(grains, 2, 2)``: rows a and b of each grain, x and y in pixels.
    """

    indices: np.ndarray
    grain: np.ndarray
    site: np.ndarray
    vectors: np.ndarray


def index_cells(positions: np.ndarray) -> Cells:
    """Number the cells of all atoms, grain by grain.

    The vectors between neighbours vote for the largest grain's lattice; its whole cells are put
    together from neighbour to neighbour, breadth first, so that strain and bent planes are
    followed; atoms at rims and beside vacancies are joined to the neighbours they have. What is
    left votes again. Time grows linearly with the number of atoms.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.

    Returns
    -------
    cells
        Pieces that do not touch, or whose lattices are turned or shifted, are different grains.

    Raises
    ------
    ValueError
        If there are fewer than four atoms, or no lattice: atoms on a line, an amorphous film.
    """
    points = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
    indices = np.zeros((len(points), 2), dtype=np.int64)
    grain, site = np.full(len(points), -1), np.full(len(points), -1)
    vectors: list[np.ndarray] = []
    least = min(_LEAST, max(4, len(points) // 2))
    free = np.arange(len(points))
    while len(free) >= least or not vectors:
        try:
            found = _largest_grain(points[free], least)
        except ValueError:
            if vectors:
                break
            raise
        inside = found.grain == 0
        indices[free[inside]] = found.indices[inside]
        site[free[inside]] = found.site[inside]
        grain[free[inside]] = len(vectors)
        vectors.append(found.vectors[0])
        free = free[~inside]
    return _largest_first(Cells(indices, grain, site, np.array(vectors)))


def _largest_grain(points: np.ndarray, least: int) -> Cells:
    """Vote for a lattice, fit it to its largest piece, and gather the grain around that."""
    pair = lattice_vectors(points)
    tree = KDTree(points)
    spacing = float(np.median(nearest(tree, points, k=2)[0][:, 1]))
    for _ in range(2):
        reach = reach_of(pair, spacing)
        corners = whole_cells(tree, pair, reach)
        indices, piece = _walk(len(points), corners)
        if len(_doubles(indices, piece)) > _CLASH * len(points):
            # Lattices that touch have been walked as one: keep off the rim, where they do.
            full = np.bincount(corners.ravel(), minlength=len(points)) == 4
            corners = corners[full[corners].all(axis=1)]
            indices, piece = _walk(len(points), corners)
        if not len(corners):
            break
        sizes = np.bincount(piece[corners[:, 0]])
        own = corners[piece[corners[:, 0]] == np.argmax(sizes)]
        steps = points[own[:, 1:3]] - points[own[:, :1]]
        pair = np.mean(steps, axis=0)
    stray = np.sqrt(((steps - pair) ** 2).sum(axis=2).mean(axis=0))
    atoms = np.unique(own)
    if len(atoms) < least or (stray > _STRAY * reach).any() or len(own) < _FILLED * len(atoms):
        raise ValueError(
            f"these {len(points)} atoms form no lattice: where cells adjoin at all, their corners "
            "are scattered. An amorphous region has no cells to number."
        )
    return _gather(tree, pair, reach, indices, piece, least)
def _walk(n: int, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices by steps from cell to adjoining cell, and the piece of each atom, -1 for none."""
    edges = np.concatenate([corners[:, pair] for pair in ([0, 1], [2, 3], [0, 2], [1, 3])])
    code = np.repeat([0, 1], 2 * len(corners))
    edges, first = np.unique(edges, axis=0, return_index=True)
    code = code[first]
    start, end = edges.T
    piece = connected_components(coo_array((code + 1, (start, end)), shape=(n, n)))[1]
    single = np.bincount(piece)[piece] == 1
    # One search from a root beside the atoms, which has an edge to one atom of each piece.
    roots = np.unique(piece, return_index=True)[1]
    graph = coo_array(
        (
            np.concatenate([code + 1, code + 3, np.full(len(roots), 5)]),
            (np.r_[start, end, np.full(len(roots), n)], np.r_[end, start, roots]),
        ),
        shape=(n + 1, n + 1),
    ).tocsr()
    parent = breadth_first_order(graph, n)[1]
    parent[n] = n
    codes = np.append(np.asarray(graph[parent[:n], np.arange(n)]).ravel(), 5)
    indices = _STEPS[codes.astype(int) - 1]
    while (parent != n).any():  # each round doubles the way that the steps have been summed
        indices = indices + np.where(parent[:, None] == n, 0, indices[parent])
        parent = parent[parent]
    return indices[:n], np.where(single, -1, piece)


def _gather(
    tree: KDTree,
    pair: np.ndarray,
    reach: np.ndarray,
    indices: np.ndarray,
    piece: np.ndarray,
    least: int,
) -> Cells:
    """Put the largest piece, its rim and the pieces inside it together as grain 0."""
    points = tree.data
    numbers, sizes = np.unique(piece[piece >= 0], return_counts=True)
    large = numbers[sizes >= least][np.argsort(-sizes[sizes >= least], kind="stable")]
    piece[~np.isin(piece, large)] = -1
    _join_rim(tree, pair, reach, indices, piece)
    piece[_doubles(indices, piece)] = -1
    grain, site = np.full(len(points), -1), np.full(len(points), -1)
    host = np.flatnonzero(piece == large[0])
    grain[host] = site[host] = 0
    for number in large[1:]:
        own = np.flatnonzero(piece == number)
        shift = _shift_into(points, pair, reach, indices, own, host)
        if shift is not None:
            indices[own] += shift
            grain[own], site[own] = 0, site.max() + 1
    return Cells(indices, grain, site, pair[None])


def _join_rim(
    tree: KDTree, pair: np.ndarray, reach: np.ndarray, indices: np.ndarray, piece: np.ndarray
) -> None:
    """Give atoms without a whole cell the index that a neighbour tells, in place."""
    points = tree.data
    for _ in range(3):
        for step in _STEPS[:4]:
            lost = np.flatnonzero(piece < 0)
            known = np.flatnonzero(piece >= 0)
            if not len(lost) or not len(known):
                return
            near = float(np.abs(step) @ reach)
            distance, partner = nearest(
                KDTree(points[known]), points[lost] + step @ pair, distance_upper_bound=near
            )
            told = np.isfinite(distance)
            partner = known[partner[told]]
            indices[lost[told]] = indices[partner] - step
            piece[lost[told]] = piece[partner]


def _doubles(indices: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """Atoms on a place that an earlier one of the same piece has."""
    inside = np.flatnonzero(piece >= 0)
    places = np.column_stack([piece[inside], indices[inside]])
    return np.delete(inside, np.unique(places, axis=0, return_index=True)[1])


def _shift_into(
    points: np.ndarray,
    pair: np.ndarray,
    reach: np.ndarray,
    indices: np.ndarray,
    own: np.ndarray,
    hosts: np.ndarray,
) -> np.ndarray | None:
    """Steps that number a piece as the cells of its host; None if it does not lie inside."""
    tree = KDTree(points[hosts])
    beside = nearest(tree, points[own])[1]
    fraction = (points[own] - points[hosts[beside]]) @ np.linalg.inv(pair)
    corners = np.floor(fraction)[:, None] + [[0, 0], [1, 0], [0, 1], [1, 1]]
    expected = points[hosts[beside], None] + corners @ pair
    near = nearest(tree, expected, distance_upper_bound=float(reach.max()))[0]
    there = np.isfinite(near).sum(axis=1)
    if np.mean(there >= 3) < 0.5:
        return None
    place = np.angle(np.exp(2j * np.pi * fraction).mean(axis=0)) / (2 * np.pi)
    place = np.where(place < -0.25, place + 1, place)  # from the host's atom, -0.25 to 0.75
    shifts = indices[hosts[beside]] + np.rint(fraction - place).astype(int) - indices[own]
    values, counts = np.unique(shifts, axis=0, return_counts=True)
    return values[np.argmax(counts)]


def _largest_first(cells: Cells) -> Cells:
    """Number grains by size and cells from 0."""
    sizes = np.bincount(cells.grain[cells.grain >= 0])
    order = np.argsort(-sizes, kind="stable")
    rank = np.append(np.argsort(order), -1)  # the last one serves -1
    grain = rank[cells.grain]
    indices = cells.indices.copy()
    indices[grain < 0] = 0
    for number in range(len(sizes)):
        own = grain == number
        indices[own] -= indices[own].min(axis=0)
    return Cells(indices, grain, cells.site, cells.vectors[order])
