"""Rings of a bond graph: its faces, by networkx's planar embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Face:
    """A face of the bond graph.

    Attributes
    ----------
    atoms
        Indices of the atoms around it, in order. In a face that is no ring an atom may come twice.
    area
        Enclosed, in squared units of the positions; negative for the outside of a piece.
    ring
        Whether it is a ring: bounded, and no atom comes twice.
    """

    atoms: np.ndarray
    area: float
    ring: bool

    @property
    def outer(self) -> bool:
        """Whether this is the outside of a piece."""
        return self.area <= 0


def trace_faces(xy: np.ndarray, bonds: np.ndarray) -> list[Face]:
    """Faces of a bond graph whose bonds do not cross, in linear time.

    Chains that lead nowhere are left out, so that a loose atom inside a ring does not hide it.

    Parameters
    ----------
    xy
        Positions, shape ``(n, 2)``.
    bonds
        Pairs of indices, shape ``(m, 2)``, each once, that do not cross.

    Returns
    -------
    faces
        Every face once, those outside of all pieces included.
    """
    import networkx as nx

    if not len(bonds):
        return []
    half = np.concatenate([bonds, bonds[:, ::-1]])
    along = xy[half[:, 1]] - xy[half[:, 0]]
    half = half[np.lexsort((np.arctan2(along[:, 1], along[:, 0]), half[:, 0]))]
    start = np.flatnonzero(np.diff(half[:, 0], prepend=-1))
    atoms, around = half[start, 0].tolist(), half[:, 1].tolist()
    ends = [*start[1:].tolist(), len(around)]
    embedding = nx.PlanarEmbedding()
    embedding.set_data(
        {atom: around[a:b] for atom, a, b in zip(atoms, start.tolist(), ends, strict=True)}
    )
    seen: set[tuple[int, int]] = set()
    walks = [
        _without_chains(embedding.traverse_face(*bond, mark_half_edges=seen))
        for bond in map(tuple, half.tolist())
        if bond not in seen
    ]
    return [_face(xy, walk) for walk in walks if len(walk) > 2]


def _without_chains(walk: list[int]) -> list[int]:
    """Take out of a walk round a face what goes there and back."""
    if len(set(walk)) == len(walk):
        return walk
    kept: list[int] = []
    for atom in walk:
        if len(kept) > 1 and kept[-2] == atom:
            kept.pop()
        else:
            kept.append(atom)
    first, last = 0, len(kept)
    while last - first > 2 and (kept[first + 1] == kept[last - 1] or kept[first] == kept[last - 2]):
        shift = kept[first + 1] == kept[last - 1]
        first, last = first + shift, last - (1 if shift else 2)
    return kept[first:last]


def _face(xy: np.ndarray, walk: list[int]) -> Face:
    atoms = np.array(walk, dtype=np.int64)
    x, y = xy[atoms].T
    before = atoms[np.arange(-1, len(atoms) - 1)]
    area = float(y @ xy[before, 0] - x @ xy[before, 1]) / 2
    return Face(atoms, area, area > 0 and len(set(walk)) == len(walk))
