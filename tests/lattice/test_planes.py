import atomap.api as am
import numpy as np
import pytest

from hyperspy_rvae.lattice.atomap_planes import set_zone_axes
from hyperspy_rvae.lattice.planes import zone_axes


def lattice(a, b, n=14, noise=0.3, vacancies=0.0, motif=((0, 0),), seed=0):
    rng = np.random.default_rng(seed)
    cells = np.stack(np.mgrid[:n, : n + 3], -1).reshape(-1, 2)
    atoms = np.concatenate([(cells + place) @ np.array([a, b], float) for place in motif]) + 60
    atoms = atoms[rng.random(len(atoms)) >= vacancies]
    return atoms + rng.normal(0, noise, atoms.shape)


def made_by(sublattice):
    """Each zone axis with its planes in order, as atoms' numbers."""
    number = {id(atom): k for k, atom in enumerate(sublattice.atom_list)}
    return {
        vector: [frozenset(number[id(atom)] for atom in plane.atom_list) for plane in planes]
        for vector, planes in sublattice.atom_planes_by_zone_vector.items()
    }


@pytest.mark.parametrize(
    "atoms",
    [
        lattice((13, 1), (-1, 13)),
        lattice((13, 1), (-1, 13), vacancies=0.03),
        lattice((20, 0), (0, 13), noise=0.4),
        lattice((20, 0), (10, 17.32), noise=0.4),
        lattice((20, 3), (8, 15), noise=0.4, vacancies=0.02),
        lattice((20, 0), (10, 17.32), motif=((0, 0), (1 / 3, 1 / 3))),
    ],
    ids=["square", "vacancies", "rectangle", "hexagon", "oblique", "honeycomb"],
)
def test_zone_axes_and_planes_are_those_of_atomap(atoms):
    image = np.ones((9, 9))
    ours, theirs = am.Sublattice(atoms, image), am.Sublattice(atoms, image)
    set_zone_axes(ours)
    theirs.construct_zone_axes()
    found, true = made_by(ours), made_by(theirs)
    assert len(found) == len(true) >= 3
    for vector, planes in true.items():
        same = min(found, key=lambda one: np.hypot(one[0] - vector[0], one[1] - vector[1]))
        np.testing.assert_allclose(same, vector, atol=0.02)
        assert found[same] == planes
    assert ours._pixel_separation == pytest.approx(theirs._pixel_separation)
    for mine, yours in zip(ours.atom_list, theirs.atom_list, strict=True):
        places = [
            [(atom.pixel_x, atom.pixel_y) for atom in one.nearest_neighbor_list]
            for one in (mine, yours)
        ]
        assert places[0] == places[1]


def test_atoms_of_a_plane_are_in_order_along_it():
    sublattice = am.Sublattice(lattice((13, 1), (-1, 13)), np.ones((9, 9)))
    set_zone_axes(sublattice)
    for plane in sublattice.atom_plane_list:
        along = np.array([plane.x_position, plane.y_position]).T @ plane.zone_vector
        assert (np.diff(along) > 0).all()
        assert plane.start_atom is plane.atom_list[0] and plane.end_atom is plane.atom_list[-1]


def test_what_needs_zone_axes_gives_what_it_gives_after_atomaps_own():
    ours = am.dummy_data.get_polarization_film_atom_lattice().sublattice_list[0]
    ours = am.Sublattice(ours.atom_positions, ours.image)
    theirs = am.Sublattice(ours.atom_positions, ours.image)
    set_zone_axes(ours)
    theirs.construct_zone_axes()
    for sublattice in (ours, theirs):
        assert sublattice.zones_axis_average_distances[:2] == [(0.0, 20.0), (20.0, 0.0)]
    for call in (
        lambda s, v: s.get_monolayer_distance_list_from_zone_vector(v),
        lambda s, v: s.get_atom_distance_list_from_zone_vector(v),
        lambda s, v: s.find_missing_atoms_from_zone_vector(v),
    ):
        vector = ours.zones_axis_average_distances[1]
        np.testing.assert_allclose(np.sort(call(ours, vector)), np.sort(call(theirs, vector)))


def test_two_seeds_on_one_column_end():
    atoms = lattice((13, 1), (-1, 13), noise=0.1)
    doubled = np.concatenate([atoms, atoms[::9] + 0.4, atoms[:3]])
    found = zone_axes(doubled)
    assert np.hypot(*found.vectors.T).min() > 4
    assert all(len(np.unique(plane)) == len(plane) for planes in found.planes for plane in planes)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_atoms_have_no_zone_axis(n):
    found = zone_axes(np.arange(2.0 * n).reshape(n, 2) * 5)
    assert found.vectors.shape == (0, 2) and found.planes == []


def test_atoms_on_a_line_are_one_plane():
    found = zone_axes(np.stack([np.arange(30) * 9.0, np.zeros(30)], axis=1))
    assert [len(planes) for planes in found.planes] == [1]
    np.testing.assert_array_equal(found.planes[0][0], np.arange(30))


def test_memory_is_linear():
    import tracemalloc

    peaks = []
    for n in (20, 80):
        atoms = lattice((13, 1), (-1, 12), n)
        tracemalloc.start()
        zone_axes(atoms)
        peaks.append(tracemalloc.get_traced_memory()[1] / len(atoms))
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]  # all pairs would be 13 times as much an atom
