"""What a bond graph is made of, atom by atom: defects, edges, what is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hyperspy_rvae.lattice.rings import Face

if TYPE_CHECKING:
    from networkx import Graph

LOWEST_FIRST = (
    "",
    "border",
    "edge",
    "irregular",
    "boundary",
    "dislocation",
    "hole",
    "stone-wales",
    "divacancy",
    "vacancy",
    "loose",
    "doubled",
)
LARGEST = 9  # atoms in a ring; what is larger is a hole


def regular_size(faces: Sequence[Face]) -> int:
    """Size of the most frequent ring; 0 without rings."""
    sizes = Counter(len(face.atoms) for face in faces if face.ring)
    return sizes.most_common(1)[0][0] if sizes else 0


def name_faces(faces: Sequence[Face], regular: int) -> tuple[list[str], np.ndarray]:
    """Name the defect that each face belongs to.

    Faces other than the regular rings form one defect where they share a bond. Six-membered
    networks have named ones: a Stone-Wales defect is two 7-rings that share a bond and two
    5-rings that share one with both; a dislocation one 5-ring and one 7-ring, several of which
    in a row are a boundary; a vacancy 5-9; a divacancy 5-8-5 or 555-777. In any network a large
    ring is named by how many atoms it lacks: by Pick's theorem a ring of n atoms with m atoms
    missing inside has the area of n / 2 - 1 + m atoms.

    Parameters
    ----------
    faces
        As :func:`~hyperspy_rvae.lattice.rings.trace_faces` gives them.
    regular
        Size of the regular ring.

    Returns
    -------
    names
        One a face: "" for regular rings and the outside, "stone-wales", "vacancy", "divacancy",
        "hole" (three atoms or more), "dislocation", "boundary" or "irregular".
    groups
        Shape ``(faces,)``: number of the defect that a face belongs to, -1 for none.
    """
    import networkx as nx

    names, groups = [""] * len(faces), np.full(len(faces), -1)
    odd = [k for k, face in enumerate(faces) if not face.outer and len(face.atoms) != regular]
    odd += [k for k, face in enumerate(faces) if len(face.atoms) == regular and _folded(face)]
    touching = _touching(faces, odd)
    per_atom = _area_per_atom(faces, regular)
    for number, cluster in enumerate(nx.connected_components(touching)):
        name = _name(faces, sorted(cluster), touching, regular, per_atom)
        for k in cluster:
            names[k], groups[k] = name, number
    return names, groups


def missing_atoms(face: Face, area_per_atom: float) -> float:
    """How many atoms a ring lacks inside, by Pick's theorem; no whole number."""
    return face.area / area_per_atom + 1 - len(face.atoms) / 2


def name_atoms(
    n: int, faces: Sequence[Face], names: Sequence[str], unknown: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Name what each atom is part of.

    Parameters
    ----------
    n
        Number of atoms.
    faces, names
        Faces and their names, as :func:`name_faces` takes and gives them.
    unknown
        Shape ``(n,)``: atoms so near to the image's border that neighbours may lie outside.
    second
        Shape ``(n,)``: atoms that share a column with another.

    Returns
    -------
    defects
        Shape ``(n,)``: the name of a face of the atom, the rarer one where it has two; "edge" or
        "border" where the piece ends, "loose" for atoms in no face at all, "doubled".
    """
    rank = np.full(n, LOWEST_FIRST.index("loose"))
    in_face = np.zeros(n, dtype=bool)
    found = np.zeros(n, dtype=int)
    for face, name in zip(faces, names, strict=True):
        in_face[face.atoms] = True
        if face.outer:
            here = np.where(unknown[face.atoms], LOWEST_FIRST.index("border"), 0)
            here[~unknown[face.atoms]] = LOWEST_FIRST.index("edge")
        else:
            here = np.full(len(face.atoms), LOWEST_FIRST.index(name))
        np.maximum.at(found, face.atoms, here)
    rank[in_face] = found[in_face]
    rank[~in_face & unknown] = LOWEST_FIRST.index("border")
    rank[second] = LOWEST_FIRST.index("doubled")
    return np.array(LOWEST_FIRST, dtype=object)[rank]


def sizes_of_atoms(n: int, faces: Sequence[Face]) -> np.ndarray:
    """Sizes of each atom's rings, such as "5-6-7"; shape ``(n,)``, "" for atoms in none."""
    rings = [face for face in faces if face.ring]
    if not rings:
        return np.full(n, "", dtype=object)
    atom = np.concatenate([face.atoms for face in rings])
    size = np.repeat([len(face.atoms) for face in rings], [len(face.atoms) for face in rings])
    order = np.lexsort((size, atom))
    atom, size = atom[order], size[order].astype(str)
    start = np.flatnonzero(np.diff(atom, prepend=-1))
    text = np.full(n, "", dtype=object)
    text[atom[start]] = ["-".join(group) for group in np.split(size, start[1:])]
    return text


def _folded(face: Face) -> bool:
    return not face.outer and not face.ring


def _touching(faces: Sequence[Face], odd: Sequence[int]) -> Graph:
    """Graph of the odd faces; those that share a bond are joined."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(odd)
    owner: dict[frozenset[int], int] = {}
    for k in odd:
        atoms = faces[k].atoms.tolist()
        for bond in map(frozenset, zip(atoms, atoms[1:] + atoms[:1], strict=True)):
            if bond in owner and owner[bond] != k:
                graph.add_edge(owner[bond], k)
            owner[bond] = k
    return graph


def _area_per_atom(faces: Sequence[Face], regular: int) -> float:
    areas = [face.area for face in faces if face.ring and len(face.atoms) == regular]
    return float(np.median(areas)) / (regular / 2 - 1) if areas else float("nan")


def _name(
    faces: Sequence[Face], cluster: list[int], touching: Graph, regular: int, per_atom: float
) -> str:
    sizes = Counter(len(faces[k].atoms) for k in cluster)
    large = [k for k in cluster if len(faces[k].atoms) > LARGEST or regular < 6]
    lost = sum(round(missing_atoms(faces[k], per_atom)) for k in large)
    if lost >= 1:
        return {1: "vacancy", 2: "divacancy"}.get(lost, "hole")
    if regular != 6:
        return "irregular"
    if sizes == {5: 2, 7: 2} and _is_stone_wales(faces, cluster, touching):
        return "stone-wales"
    if sizes == {5: 1, 9: 1}:
        return "vacancy"
    if sizes == {5: 2, 8: 1} or (sizes == {5: 3, 7: 3} and _sevens_meet(faces, cluster, touching)):
        return "divacancy"
    if sizes == {5: 1, 7: 1}:
        return "dislocation"
    if set(sizes) == {5, 7} and len(cluster) > 2:
        return "boundary"
    return "irregular"


def _is_stone_wales(faces: Sequence[Face], cluster: list[int], touching: Graph) -> bool:
    """Whether both 7-rings share a bond with each other and with both 5-rings."""
    five = [k for k in cluster if len(faces[k].atoms) == 5]
    seven = [k for k in cluster if len(faces[k].atoms) == 7]
    return touching.has_edge(*seven) and all(touching.has_edge(a, b) for a in five for b in seven)


def _sevens_meet(faces: Sequence[Face], cluster: list[int], touching: Graph) -> bool:
    seven = [k for k in cluster if len(faces[k].atoms) == 7]
    return all(touching.has_edge(a, b) for a in seven for b in seven if a < b)
