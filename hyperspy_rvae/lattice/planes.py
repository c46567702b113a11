"""Zone axes and atom planes, in atomap's sense, without its step over all pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

_NEIGHBOURS = 14  # that atomap's planes may step to
_REACH = 3.5  # distances between neighbours within which zone axes are looked for
_CLUSTER = 0.1  # of the spread of all vectors: how near two of a zone axis lie
_VOTES = 10  # vectors that make a zone axis
_PARALLEL = 1 / 3  # of the distance between neighbours, between vectors that are multiples
_TOLERANCE = 0.25  # of the distance between neighbours, between an atom and its expected place
_PAIRS = 0.6  # share of planes of two atoms above which a zone axis is none
_SAMPLE = 3000  # atoms that vote


class ZoneAxes(NamedTuple):
    """Zone axes and the planes of atoms along them.

    Attributes
    ----------
    vectors
        Shape ``(m, 2)``: step from atom to atom along each zone axis, x and y in pixels, to a
        hundredth, shortest first.
    planes
        For each zone axis its planes in order across it, each an array of atoms along it.
    neighbours
        Shape ``(n, k)``: each atom's nearest neighbours, nearest first, 14 where there are so many.
    separation
        Half the median distance between nearest neighbours, pixels.
    """

    vectors: np.ndarray
    planes: list[list[np.ndarray]]
    neighbours: np.ndarray
    separation: float


def zone_axes(positions: np.ndarray) -> ZoneAxes:
    """Find the zone axes of one sublattice, and its atom planes.

    What atomap's ``construct_zone_axes`` finds with its defaults, by neighbours in a tree, in time
    and memory linear in the number of atoms. Planes are steps along a zone axis to one of the 14
    nearest neighbours; axes along which most planes are pairs of atoms are left out.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.

    Returns
    -------
    zone_axes
        Without any zone axis where fewer than three atoms, or none that repeat, are given.
    """
    points = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
    if len(points) < 3:
        return ZoneAxes(np.empty((0, 2)), [], np.empty((len(points), 0), int), 0.0)
    tree = KDTree(points, leafsize=100)  # as atomap's, so that equal distances fall alike
    k = min(_NEIGHBOURS, len(points) - 1) + 1
    distances, around = map(np.asarray, tree.query(points, k=k))
    spacing = float(np.median(distances[:, 1]))
    # Where two atoms share a place, either may come first.
    own = around == np.arange(len(points))[:, None]
    own[~own.any(axis=1), -1] = True
    neighbours = around[~own].reshape(len(points), -1)
    vectors, planes = [], []
    for vector in _without_multiples(_repeated_vectors(tree, spacing), spacing * _PARALLEL):
        found = _planes(points, neighbours, vector, spacing * _TOLERANCE)
        pairs = sum(len(plane) == 2 for plane in found)
        if found and pairs <= _PAIRS * len(found):
            vectors.append(vector)
            planes.append(found)
    return ZoneAxes(np.reshape(vectors, (-1, 2)), planes, neighbours, spacing / 2)


def _repeated_vectors(tree: KDTree, spacing: float) -> np.ndarray:
    """Centres of the clusters that the vectors between near atoms form."""
    points = tree.data
    chosen = np.random.default_rng(0).permutation(len(points))[:_SAMPLE]
    near = tree.query_ball_point(points[chosen], _REACH * spacing)
    start = np.repeat(chosen, [len(some) for some in near])
    end = np.concatenate(near).astype(int)
    steps = (points[end] - points[start])[end != start]
    if not len(steps):
        return np.empty((0, 2))
    width = _CLUSTER * steps.std()
    cell = np.floor(steps / width).astype(int)
    cell -= cell.min(axis=0) - 1
    votes = np.zeros(cell.max(axis=0) + 2)
    np.add.at(votes, tuple(cell.T), 1)
    around = ndimage.uniform_filter(votes, 3, mode="constant") * 9
    labels, count = ndimage.label((votes > 0) & (around > _VOTES - 0.5), np.ones((3, 3)))
    label = labels[tuple(cell.T)]
    x, y, votes = (np.bincount(label, w, count + 1)[1:] for w in (*steps.T, np.ones(len(steps))))
    return np.round(np.column_stack([x / votes, y / votes]), 2)


def _without_multiples(vectors: np.ndarray, near: float) -> list[np.ndarray]:
    """One of each direction, the shortest, its larger component positive; shortest first."""
    larger = np.argmax(np.abs(vectors), axis=1)
    forward = np.take_along_axis(vectors, larger[:, None], 1)[:, 0] > 0
    # A shorter vector joins two seeds on one column, and a walk along it would not end.
    vectors = vectors[forward & (np.hypot(*vectors.T) > near)]
    kept: list[np.ndarray] = []
    for vector in vectors[np.argsort(np.hypot(*vectors.T), kind="stable")]:
        multiples = [n * shorter for shorter in kept for n in (-4, -3, -2, -1, 1, 2, 3, 4)]
        if all(np.hypot(*(vector - multiple)) >= near for multiple in multiples):
            kept.append(vector)
    return kept


def _planes(
    points: np.ndarray, neighbours: np.ndarray, vector: np.ndarray, reach: float
) -> list[np.ndarray]:
    """Atoms met on the way forwards and back from each atom that is in no plane yet."""
    steps = points[neighbours] - points[:, None]
    ahead = _partner(steps - vector, neighbours, reach)
    behind = _partner(steps + vector, neighbours, reach)
    seen = [False] * len(points)
    planes = []
    for atom in range(len(points)):
        if not seen[atom]:
            plane = [*reversed(_way(atom, behind)), atom, *_way(atom, ahead)]
            for member in plane:
                seen[member] = True
            if len(plane) > 1:
                planes.append(np.array(plane))
    across = points @ [-vector[1], vector[0]]
    return sorted(planes, key=lambda atoms: across[atoms].min())


def _partner(off: np.ndarray, neighbours: np.ndarray, reach: float) -> list[int]:
    """Neighbour that is least off its expected place, -1 where none is within reach."""
    distance = np.hypot(off[..., 0], off[..., 1])
    nearest = np.argmin(distance, axis=1)[:, None]
    near = np.take_along_axis(distance, nearest, 1) < reach
    return np.where(near, np.take_along_axis(neighbours, nearest, 1), -1)[:, 0].tolist()


def _way(atom: int, partner: list[int]) -> list[int]:
    way: list[int] = []
    while (atom := partner[atom]) >= 0:
        way.append(atom)
    return way
