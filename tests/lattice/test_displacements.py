import numpy as np
import pytest

from hyperspy_rvae.lattice.displacements import (
    check_centred,
    coordination,
    displacements,
    neighbour_centres,
)


@pytest.fixture(params=[0.0, 0.7], ids=["straight", "turned"])
def cells(request):
    """A 7 x 5 rectangular lattice, its cell centres, and their known displacements."""
    cos, sin = np.cos(request.param), np.sin(request.param)
    turn = np.array([[cos, sin], [-sin, cos]])
    corners = np.stack(np.meshgrid(np.arange(8), np.arange(6)), -1).reshape(-1, 2) * [12.0, 13.5]
    centres = (np.stack(np.meshgrid(np.arange(7), np.arange(5)), -1).reshape(-1, 2) + 0.5) * [
        12.0,
        13.5,
    ]
    shifts = np.random.default_rng(2).normal(0, 0.8, centres.shape)
    return corners @ turn, (centres + shifts) @ turn, shifts @ turn


def test_displacements_are_atom_minus_ideal(cells):
    corners, atoms, shifts = cells
    neighbours, reach = coordination(atoms, corners)
    assert neighbours == 4
    assert 9 < reach < 20
    found = displacements(atoms, neighbour_centres(atoms, corners, neighbours, reach))
    np.testing.assert_allclose(found, shifts, atol=1e-9)
    check_centred(found, reach)


def test_a_vacancy_takes_its_neighbours_ideal_sites(cells):
    corners, atoms, _ = cells
    missing = 20
    distance = np.hypot(*(atoms - corners[missing]).T)
    centres = neighbour_centres(atoms, np.delete(corners, missing, axis=0), 4, 14.0)
    beside = np.argsort(distance)[:4]
    assert set(np.flatnonzero(np.isnan(centres).any(1))) == set(beside)


def test_atoms_outside_the_reference_have_no_ideal_site():
    corners = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    centres = neighbour_centres(np.array([[5.0, 5.0], [15.0, 5.0]]), corners, 4, 12.0)
    np.testing.assert_allclose(centres[0], [5.0, 5.0])
    assert np.isnan(centres[1]).all()
    assert np.isnan(neighbour_centres(np.ones((1, 2)), corners[:3], 4, 12.0)).all()


def test_a_dumbbell_has_no_centre():
    partners = np.stack(np.meshgrid(np.arange(8), np.arange(6)), -1).reshape(-1, 2) * 20.0
    atoms = partners + [5.0, 0.0]
    neighbours, reach = coordination(atoms, partners)
    vectors = displacements(atoms, neighbour_centres(atoms, partners, neighbours, reach))
    with pytest.raises(ValueError, match="do not sit between"):
        check_centred(vectors, reach)


def test_too_little_to_measure_is_refused():
    with pytest.raises(ValueError, match="has 2 atoms"):
        coordination(np.ones((1, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="no atom has all its reference neighbours"):
        check_centred(np.full((3, 2), np.nan), 5.0)
