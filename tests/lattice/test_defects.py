from collections import Counter

import numpy as np
import pytest

from hyperspy_rvae.data import graphene, graphene_boundary
from hyperspy_rvae.lattice.bonds import bond_cut, bond_pairs
from hyperspy_rvae.lattice.defects import (
    missing_atoms,
    name_atoms,
    name_faces,
    regular_size,
    sizes_of_atoms,
)
from hyperspy_rvae.lattice.rings import trace_faces


def look(xy, margin=0.0):
    """Faces, how often each defect occurs farther than `margin` from the rim, name of each atom."""
    faces = trace_faces(xy, bond_pairs(xy, bond_cut([xy])))
    names, groups = name_faces(faces, regular_size(faces))
    whole = {}
    for face, name, group in zip(faces, names, groups, strict=True):
        inside = (
            (xy[face.atoms] > xy.min(0) + margin) & (xy[face.atoms] < xy.max(0) - margin)
        ).all()
        if group >= 0:
            whole[group] = name if inside and whole.get(group, name) else ""
    found = Counter(name for name in whole.values() if name)
    nowhere = np.zeros(len(xy), dtype=bool)
    return faces, found, name_atoms(len(xy), faces, names, nowhere, nowhere)


@pytest.mark.parametrize("seed", range(4))
def test_defects_of_graphene_are_named_right(seed):
    truth = graphene(turn=0.08 * seed - 0.1, jitter=0.03, seed=seed)[1]
    xy = truth[["x", "y"]].to_numpy()
    _, found, atoms = look(xy)
    assert found == {"stone-wales": 1, "vacancy": 1, "divacancy": 2}
    inside = ((xy > 30) & (xy < [481, 389])).all(1)
    np.testing.assert_array_equal(atoms[inside], truth["defect"][inside])


@pytest.mark.parametrize(("misorientation", "seed"), [(0.1, 1), (0.14, 2), (0.2, 3)])
def test_a_small_angle_boundary_is_a_row_of_dislocations(misorientation, seed):
    truth = graphene_boundary(misorientation, jitter=0.03, seed=seed)[1]
    xy = truth[["x", "y"]].to_numpy()
    faces, found, _ = look(xy, margin=12)
    apart = 10 * np.sqrt(3) / misorientation
    assert set(found) == {"dislocation"}
    assert abs(found["dislocation"] - 512 / apart) <= 1
    inside = ((xy > 30) & (xy < [389, 481])).all(1)
    sizes = sizes_of_atoms(len(xy), faces)
    np.testing.assert_array_equal(sizes[inside], truth["rings"][inside])


def test_a_hole():
    truth = graphene(defects=(), edge=False, seed=5)[1]
    xy = truth[["x", "y"]].to_numpy()
    xy = xy[np.hypot(*(xy - [250, 210]).T) > 22]
    assert look(xy)[1] == {"hole": 1}


@pytest.mark.parametrize(("lost", "name"), [([30], "vacancy"), ([30, 31], "divacancy")])
def test_vacancies_of_a_square_lattice(lost, name):
    xy = np.stack(np.meshgrid(np.arange(9.0), np.arange(8.0)), -1).reshape(-1, 2)
    xy += np.random.default_rng(0).normal(0, 0.03, xy.shape)
    assert look(np.delete(xy, lost, axis=0))[1] == {name: 1}


def test_a_vacancy_of_a_triangular_lattice():
    xy = np.stack(np.meshgrid(np.arange(9.0), np.arange(8.0)), -1).reshape(-1, 2)
    xy = xy @ np.array([[1, 0], [0.5, np.sqrt(3) / 2]])
    xy += np.random.default_rng(0).normal(0, 0.03, xy.shape)
    assert look(np.delete(xy, 31, axis=0))[1] == {"vacancy": 1}


def test_missing_atoms_follow_picks_theorem():
    """A hexagon of carbon has the area of two atoms; a 12-ring around a vacancy that of six."""
    truth = graphene(defects=("vacancy",), edge=False, jitter=0.0)[1]
    faces, *_ = look(truth[["x", "y"]].to_numpy())
    ring = next(face for face in faces if face.ring and len(face.atoms) == 12)
    assert missing_atoms(ring, 100 * 3 * np.sqrt(3) / 4) == pytest.approx(1, abs=0.15)


def test_a_boundary_of_adjoining_pairs():
    """5-7-5-7 in a row, made from the middles of its rings: a high-angle boundary."""
    truth = graphene_boundary(0.45, jitter=0.01)[1]
    _, found, _ = look(truth[["x", "y"]].to_numpy(), margin=12)
    assert set(found) <= {"boundary", "dislocation"}
    assert found["boundary"]


def test_atoms_near_the_border_are_not_known():
    xy = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), -1).reshape(-1, 2)
    faces = trace_faces(xy, bond_pairs(xy, 1.2))
    names, _ = name_faces(faces, 4)
    unknown, second = xy[:, 0] < 1, np.zeros(20, dtype=bool)
    second[7] = True
    atoms = name_atoms(20, faces, names, unknown, second).reshape(4, 5)
    assert (atoms[:, 0] == "border").all() and (atoms[:, 4] == "edge").all()
    assert atoms[1, 2] == "doubled" and atoms[2, 2] == ""
