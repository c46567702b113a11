"""Which cell of which grain each atom belongs to."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.mesh import walk
from hyperspy_rvae.lattice.sites import cell_sites, lattice_vectors, nearest, reach_of, whole_cells

_LEAST = 16  # atoms of a grain; fewer fall into place by chance in an amorphous film
_STRAY = 0.6  # of what is allowed, root mean square; 0.71 if all places were equally likely
_FILLED = 0.45  # whole cells an atom; a block of 4 by 4 atoms has 0.56
_RAREST = 0.02  # atoms of a place in the cell, as a share of the cells; fewer are strays
_BINS = 32  # along each vector, in which places in the cell are told apart
_SMALLER = 0.75  # of the area of a cell, at most, for another to be smaller
_CLASH = 2e-3  # share of the atoms on a place that another has
_NO_LATTICE = (
    "these {} atoms form no lattice: where cells adjoin at all, their corners are scattered. "
    "An amorphous region has no cells to number."
)
_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])


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
    """Find the cell of every atom, grain by grain.

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


def cells_around(
    positions: np.ndarray, reference: np.ndarray, cells: Cells
) -> tuple[np.ndarray, np.ndarray]:
    """Find the cell of a reference lattice that each atom lies in.

    Parameters
    ----------
    positions
        Shape ``(m, 2)``, x and y in pixels.
    reference
        Atoms whose cells are known, shape ``(n, 2)``.
    cells
        Of the reference atoms.

    Returns
    -------
    indices
        Shape ``(m, 2)``. A cell reaches from a quarter before its atom to three quarters after
        it, so that atoms at 0, a third, a half and two thirds of a vector are well inside.
    grain
        Shape ``(m,)``, -1 for atoms farther from a reference atom than a cell is long.
    """
    points = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
    indices, grain = np.zeros((len(points), 2), dtype=np.int64), np.full(len(points), -1)
    inside = np.flatnonzero(cells.grain >= 0)
    distance, host = nearest(KDTree(reference[inside]), points)
    host = inside[host]
    vectors = cells.vectors[cells.grain[host]]
    near = distance < np.linalg.norm(vectors, axis=2).max(axis=1)
    offset = (points - reference[host])[:, None]
    steps = np.floor((offset @ np.linalg.inv(vectors))[:, 0] + 0.25).astype(int)
    indices[near] = cells.indices[host[near]] + steps[near]
    grain[near] = cells.grain[host[near]]
    return indices, grain


def sites_in_cells(positions: np.ndarray, fraction: tuple[float, float]) -> np.ndarray:
    """Place one site in each cell of every grain.

    Parameters
    ----------
    positions
        Atoms of the reference sublattice, shape ``(n, 2)``, x and y in pixels.
    fraction
        Place in the cell, along a and along b, each from 0 to 1.

    Returns
    -------
    sites
        Shape ``(m, 2)``, as :func:`~hyperspy_rvae.lattice.sites.cell_sites` gives them.

    Raises
    ------
    ValueError
        If there is no lattice, or no cell has its corners.
    """
    points = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
    cells = index_cells(points)
    return np.concatenate(
        [
            cell_sites(points[cells.grain == grain], vectors, fraction)
            for grain, vectors in enumerate(cells.vectors)
        ]
    )


def _largest_grain(points: np.ndarray, least: int) -> Cells:
    """Vote for a lattice, and gather its grain; vote again there for a smaller cell."""
    tree = KDTree(points)
    pair = lattice_vectors(points)
    found = _grown(tree, pair, least)
    if found.site.max() > 0:
        # Vectors of another grain may have hidden the shortest ones of this.
        with contextlib.suppress(ValueError):
            alone = lattice_vectors(points[found.grain == 0])
            if np.linalg.det(alone) < _SMALLER * np.linalg.det(pair):
                return _grown(tree, alone, least)
    return found


def _grown(tree: KDTree, pair: np.ndarray, least: int) -> Cells:
    """Fit a lattice to its largest piece, and gather the grain around that."""
    points = tree.data
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
            raise ValueError(_NO_LATTICE.format(len(points)))
        sizes = np.bincount(piece[corners[:, 0]])
        own = corners[piece[corners[:, 0]] == np.argmax(sizes)]
        steps = points[own[:, 1:3]] - points[own[:, :1]]
        pair = np.mean(steps, axis=0)
    stray = np.sqrt(((steps - pair) ** 2).sum(axis=2).mean(axis=0))
    atoms = np.unique(own)
    filled = _FILLED if len(atoms) >= _LEAST else 0.0
    if len(atoms) < least or (stray > _STRAY * reach).any() or len(own) < filled * len(atoms):
        raise ValueError(_NO_LATTICE.format(len(points)))
    return _gather(tree, pair, reach, indices, piece)


def _walk(n: int, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step from cell to adjoining cell; indices, and the piece of each atom, -1 for none."""
    edges = np.concatenate([corners[:, pair] for pair in ([0, 1], [2, 3], [0, 2], [1, 3])])
    steps = np.repeat(_STEPS[:2], 2 * len(corners), axis=0)
    indices, piece = walk(n, edges[:, 0], edges[:, 1], steps)
    return indices, np.where(np.bincount(piece)[piece] == 1, -1, piece)


def _gather(
    tree: KDTree,
    pair: np.ndarray,
    reach: np.ndarray,
    indices: np.ndarray,
    piece: np.ndarray,
) -> Cells:
    """Put the largest piece, its rim and the atoms inside its cells together as grain 0."""
    points = tree.data
    sizes = np.bincount(piece[piece >= 0])
    loose = (piece < 0) | (
        sizes[piece] < _LEAST
    )  # the others will be grains or places of their own
    piece = np.where(piece == np.argmax(sizes), 0, -1)
    _join_rim(tree, pair, reach, indices, piece, loose, rounds=2)
    piece[_doubles(indices, piece)] = -1
    site, hosts = piece.copy(), np.flatnonzero(piece == 0)
    others = np.flatnonzero(piece < 0)
    host, fraction, corners = _inside(points[others], points[hosts], pair, reach)
    found = _clusters(np.mod(fraction, 1), corners, pair, float(reach.max()), len(hosts))
    for number, (place, near) in enumerate(found, start=1):
        own = others[near]
        cell = np.rint(fraction[near] - place).astype(int)
        indices[own] = indices[hosts[host[near]]] + cell
        site[own] = number
    _join_rim(tree, pair, reach, indices, site, loose, rounds=1)
    site[_doubles(indices, site)] = -1
    return Cells(indices, np.where(site >= 0, 0, -1), site, pair[None])


def _join_rim(
    tree: KDTree,
    pair: np.ndarray,
    reach: np.ndarray,
    indices: np.ndarray,
    piece: np.ndarray,
    loose: np.ndarray,
    rounds: int,
) -> None:
    """Give loose atoms the index that a neighbour in a piece tells, in place."""
    points = tree.data
    for _ in range(rounds):
        for step in _STEPS:
            lost = np.flatnonzero(loose & (piece < 0))
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
    places = np.column_stack([piece[inside], indices[inside] - indices.min(axis=0)])
    sides = places.max(axis=0, initial=0) + 1
    first = np.unique(np.ravel_multi_index(tuple(places.T), tuple(sides)), return_index=True)[1]
    return np.delete(inside, first)


def _inside(
    points: np.ndarray, hosts: np.ndarray, pair: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest host of each point, fraction of the cell from there, and corners of that cell."""
    tree = KDTree(hosts)
    host = nearest(tree, points)[1]
    fraction = (points - hosts[host]) @ np.linalg.inv(pair)
    corners = np.floor(fraction)[:, None] + [[0, 0], [1, 0], [0, 1], [1, 1]]
    expected = hosts[host, None] + corners @ pair
    near = nearest(tree, expected, distance_upper_bound=float(reach.max()))[0]
    return host, fraction, np.isfinite(near).sum(axis=1)


def _clusters(
    fraction: np.ndarray, corners: np.ndarray, pair: np.ndarray, reach: float, hosts: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places in the cell that many atoms share, and which atoms they are.

    Atoms inside whole cells tell the places; those at the rim may join them.
    """
    free = corners >= 2
    least = max(_LEAST, _RAREST * hosts)
    found = []
    while np.count_nonzero(free & (corners == 4)) >= least:
        seen = fraction[free & (corners == 4)]
        votes = np.histogram2d(seen[:, 0], seen[:, 1], bins=_BINS, range=((0, 1), (0, 1)))[0]
        top = np.argmax(ndimage.gaussian_filter(votes, 1.0, mode="wrap"))
        place = (np.array(np.unravel_index(top, votes.shape)) + 0.5) / _BINS
        for _ in range(3):
            off = fraction - place
            off -= np.rint(off)
            near = free & (np.hypot(*(off @ pair).T) < reach)
            place = place + off[near].mean(axis=0)
        if np.count_nonzero(near) < least:
            break
        found.append((place, np.flatnonzero(near)))
        free &= ~near
    return found


def _largest_first(cells: Cells) -> Cells:
    """Sort grains by size, and let their cells start at 0."""
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
