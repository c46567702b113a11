"""Rings of a bond graph: its faces, by networkx's planar embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Face:
    """A face of the bond graph.

    Attributes
    ----------
    atoms
        Indices of the atoms around it, in order. In a face that is no ring an atom may come twice.
    area
        Enclosed, in squared units of the positions; negative for the outside of a piece.
    """

    atoms: np.ndarray
    area: float

    @property
    def outer(self) -> bool:
        """Whether this is the outside of a piece."""
        return self.area <= 0

    @property
    def ring(self) -> bool:
        """Whether it is a ring: bounded, and no atom comes twice."""
        return not self.outer and len(np.unique(self.atoms)) == len(self.atoms)


def trace_faces(xy: np.ndarray, bonds: np.ndarray) -> list[Face]:
    """Faces of a bond graph whose bonds do not cross, in linear time.

    Chains that lead nowhere are left out first, so that a loose atom inside a ring does not hide
    it.

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

    graph = nx.Graph(bonds.tolist())
    graph = nx.k_core(graph, 2) if len(graph) else graph
    if not len(graph):
        return []
    half = np.array(list(graph.edges), dtype=np.int64)
    half = np.concatenate([half, half[:, ::-1]])
    along = xy[half[:, 1]] - xy[half[:, 0]]
    half = half[np.lexsort((np.arctan2(along[:, 1], along[:, 0]), half[:, 0]))]
    start = np.flatnonzero(np.diff(half[:, 0], prepend=-1))
    around = np.split(half[:, 1], start[1:])
    embedding = nx.PlanarEmbedding()
    embedding.set_data(
        {int(atom): near.tolist() for atom, near in zip(half[start, 0], around, strict=True)}
    )
    seen: set[tuple[int, int]] = set()
    return [
        _face(xy, embedding.traverse_face(*bond, mark_half_edges=seen))
        for bond in map(tuple, half.tolist())
        if bond not in seen
    ]


def _face(xy: np.ndarray, atoms: list[int]) -> Face:
    index = np.array(atoms, dtype=np.int64)
    x, y = xy[index].T
    return Face(index, float(y @ np.roll(x, 1) - x @ np.roll(y, 1)) / 2)
