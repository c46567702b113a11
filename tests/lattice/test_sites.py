import time

import numpy as np
import pytest
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.sites import cell_sites, lattice_vectors

ROWS, COLUMNS = 9, 12


def grid(a, b, motif=((0, 0),), rows=ROWS, columns=COLUMNS, noise=0.2, seed=0):
    """Atoms in shuffled order at ``motif`` in each of rows x columns cells."""
    rng = np.random.default_rng(seed)
    j, i = np.mgrid[:rows, :columns]
    parts = [
        (i[..., None] + f) * np.asarray(a) + (j[..., None] + g) * np.asarray(b) for f, g in motif
    ]
    atoms = np.concatenate([part.reshape(-1, 2) for part in parts]) + np.array([40, 60])
    return rng.permutation(atoms + rng.normal(0, noise, atoms.shape))


def turned(vector, degrees):
    """Turn clockwise as displayed, y being down."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1]])


@pytest.mark.parametrize("degrees", [0, 7, -20, 40, 80])
@pytest.mark.parametrize(
    ("a", "b", "motif"),
    [
        ((13, 0), (0, 13), [(0, 0)]),
        ((20, 0), (0, 13), [(0, 0)]),
        ((20, 0), (10, 17.32), [(0, 0)]),
        ((20, 0), (10, 17.32), [(0, 0), (1 / 3, 1 / 3)]),
        ((30, 0), (0, 26), [(0, 0), (0.3, 0.1)]),
    ],
    ids=["square", "rectangle", "hexagon", "honeycomb", "dumbbell"],
)
def test_vectors_span_the_primitive_cell(a, b, motif, degrees):
    a, b = turned(a, degrees), turned(b, degrees)
    found = lattice_vectors(grid(a, b, motif))
    steps = found @ np.linalg.inv([a, b])
    np.testing.assert_allclose(steps, np.rint(steps), atol=0.02)
    assert abs(np.linalg.det(np.rint(steps))) == pytest.approx(1)
    lengths = np.hypot(*found.T)
    np.testing.assert_allclose(np.sort(lengths), np.sort(np.hypot(*np.array([a, b]).T)), rtol=0.02)
    first, second = found
    assert first[0] > 0 and np.linalg.det(found) > 0
    assert abs(first[1]) / lengths[0] <= abs(second[1]) / lengths[1] + 0.05
    assert abs(first @ second) <= 0.52 * lengths.prod()


def test_vectors_of_a_square_lattice_are_right_and_down():
    np.testing.assert_allclose(
        lattice_vectors(grid((13, 0), (0, 13))), [[13, 0], [0, 13]], atol=0.1
    )


def test_vectors_with_vacancies_and_strays():
    rng = np.random.default_rng(4)
    atoms = grid((13, 1), (-1, 12), noise=0.4)
    atoms = np.concatenate([atoms[rng.random(len(atoms)) > 0.15], rng.uniform(40, 180, (8, 2))])
    np.testing.assert_allclose(lattice_vectors(atoms), [[13, 1], [-1, 12]], atol=0.3)


def test_least_lattice():
    atoms = grid((13, 0), (0, 11), rows=2, columns=2, noise=0)
    np.testing.assert_allclose(lattice_vectors(atoms), [[13, 0], [0, 11]], atol=1e-9)
    np.testing.assert_allclose(cell_sites(atoms, lattice_vectors(atoms)), [[46.5, 65.5]])


@pytest.mark.parametrize("fraction", [(0.5, 0.5), (0.25, 0.6), (1 / 3, 1 / 3)])
def test_sites_lie_at_the_fraction(fraction):
    a, b = np.array([13.0, 2.0]), np.array([-1.0, 11.0])
    sites = cell_sites(grid(a, b, noise=0), [a, b], fraction)
    truth = grid(a, b, [fraction], ROWS - 1, COLUMNS - 1, noise=0)
    assert len(sites) == len(truth)
    assert KDTree(truth).query(sites)[0].max() < 1e-9


def test_edge_sites_need_two_corners_only():
    atoms = grid((13, 0), (0, 11), noise=0)
    assert len(cell_sites(atoms, [(13, 0), (0, 11)], (0.5, 0))) == ROWS * (COLUMNS - 1)
    assert len(cell_sites(atoms, [(13, 0), (0, 11)], (0, 0.5))) == (ROWS - 1) * COLUMNS
    assert len(cell_sites(atoms, [(13, 0), (0, 11)], (0, 0))) == ROWS * COLUMNS


def test_sites_follow_a_bent_and_strained_lattice():
    def bend(points):
        x, y = points.T
        return np.stack([x + 0.0004 * (y - 90) ** 2, y + 0.0006 * (x - 110) ** 2], axis=1)

    a, b = (13, 0), (0, 12)
    atoms, truth = bend(grid(a, b, noise=0)), bend(grid(a, b, [(0.5, 0.5)], 8, 11, noise=0))
    sites = cell_sites(atoms, lattice_vectors(atoms))
    assert len(sites) == len(truth)
    assert KDTree(truth).query(sites)[0].max() < 0.1


def test_vacancy_costs_the_four_cells_around_it():
    atoms = grid((13, 0), (0, 11), noise=0)
    centre = np.argmin(np.hypot(*(atoms - [105, 104]).T))
    sites = cell_sites(np.delete(atoms, centre, axis=0), [(13, 0), (0, 11)])
    assert len(sites) == (ROWS - 1) * (COLUMNS - 1) - 4


def test_no_lattice():
    with pytest.raises(ValueError, match="at least 4 atoms, got 3"):
        lattice_vectors(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="no lattice repeats in these 6 atoms"):
        lattice_vectors(np.stack([np.arange(6.0) * 13, np.zeros(6)], axis=1))
    with pytest.raises(ValueError, match="has its corners among these"):
        cell_sites(grid((13, 0), (0, 11)), [(13, 0), (0, 400)])
    with pytest.raises(ValueError, match="from 0 to 1 along both vectors, got"):
        cell_sites(grid((13, 0), (0, 11)), [(13, 0), (0, 11)], (0.5, 1.5))


def test_time_is_linear():
    atoms = grid((13, 0), (0, 12), rows=200, columns=250)
    start = time.perf_counter()
    sites = cell_sites(atoms, lattice_vectors(atoms))
    assert time.perf_counter() - start < 10  # all pairs would be 2.5e9 vectors
    assert len(sites) == 199 * 249
