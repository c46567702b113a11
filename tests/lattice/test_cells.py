import numpy as np
import pytest
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.cells import cells_around, index_cells, sites_in_cells

A, B = np.array([13.0, 1.0]), np.array([-2.0, 12.0])


def crystal(size, degrees=0.0, motif=((0, 0),), noise=0.3, vacancies=0.0, seed=0, part=None):
    """Atoms in shuffled order and their true cells, in a square image with sides `size`."""
    rng = np.random.default_rng(seed)
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    vectors = np.stack([A, B]) @ [[c, s], [-s, c]]
    n = int(size / 10)
    cells = np.stack(np.mgrid[-n : n + 1, -n : n + 1], -1).reshape(-1, 2)
    atoms = np.concatenate([(cells + place) @ vectors + size / 2 for place in motif])
    cells = np.tile(cells, (len(motif), 1))
    inside = ((atoms > 0) & (atoms < size)).all(axis=1)
    if part is not None:
        inside &= part(atoms[:, 0] - 0.2 * atoms[:, 1] - 0.4 * size)
    chosen = rng.permutation(np.flatnonzero(inside))
    chosen = chosen[rng.random(len(chosen)) >= vacancies]
    return atoms[chosen] + rng.normal(0, noise, (len(chosen), 2)), cells[chosen]


def right(found, true):
    """Which indices are right, up to the choice of vectors and the origin."""
    design = np.column_stack([found, np.ones(len(found))])
    step = np.rint(np.linalg.lstsq(design, true, rcond=None)[0][:2]).astype(int)
    assert abs(np.linalg.det(step)) == pytest.approx(1)
    origin = true - found @ step
    values, counts = np.unique(origin, axis=0, return_counts=True)
    return (origin == values[counts.argmax()]).all(axis=1)


@pytest.mark.parametrize("turn", [4, 10, 20, 36, 45])
def test_two_grains_with_vacancies(turn):
    left, left_cells = crystal(900, 3, vacancies=0.02, part=lambda side: side < -5)
    more, more_cells = crystal(900, 3 + turn, vacancies=0.02, part=lambda side: side > 5, seed=1)
    cells = index_cells(np.concatenate([left, more]))
    assert cells.vectors.shape == (2, 2, 2)
    correct = 0
    for own, true in ((np.arange(len(left)), left_cells), (np.arange(len(more)), more_cells)):
        own = own + (len(left) if true is more_cells else 0)
        grain = np.bincount(cells.grain[own] + 1).argmax() - 1
        mine = cells.grain[own] == grain
        correct += right(cells.indices[own[mine]], true[mine]).sum()
    assert correct >= 0.999 * (len(left) + len(more))
    assert np.bincount(cells.grain[cells.grain >= 0])[0] >= len(cells.grain) / 2


@pytest.mark.parametrize("seed", range(4))
def test_vectors_that_two_grains_share_are_no_cell_of_one(seed):
    """A boundary where every second atom of one grain is on the lattice of the other."""
    rng = np.random.default_rng(seed)
    steps = np.stack(np.meshgrid(np.arange(-60, 60), np.arange(-60, 60)), -1).reshape(-1, 2)
    atoms = []
    for vectors, top, bottom in (
        ([[14.3, -19.9], [14.3, 20.5]], 236, 509),
        ([[22.1, 11.6], [-18.1, 16.8]], 3, 224),
    ):
        places = steps @ np.array(vectors) + rng.uniform(0, 15, 2)
        inside = ((places > [3, top]) & (places < [509, bottom])).all(axis=1)
        atoms.append(places[inside] + rng.normal(0, 0.7, (inside.sum(), 2)))
    cells = index_cells(np.concatenate(atoms))
    np.testing.assert_allclose(np.linalg.det(cells.vectors[:2]), 580, rtol=0.05)


@pytest.mark.parametrize("noise", [0.3, 0.6])
def test_one_grain_starts_at_cell_zero(noise):
    atoms, true = crystal(500, 8, noise=noise, vacancies=0.05)
    cells = index_cells(atoms)
    assert (cells.grain == 0).mean() > 0.99
    assert (cells.indices.min(axis=0) == 0).all()
    inside = cells.grain == 0
    assert right(cells.indices[inside], true[inside]).mean() > 0.99


def test_atoms_of_one_cell_have_one_number():
    atoms, true = crystal(400, motif=((0, 0), (0.35, 0.3)), vacancies=0.03)
    cells = index_cells(atoms)
    assert len(cells.vectors) == 1 and cells.site.max() == 1
    assert (cells.site >= 0).mean() > 0.995
    for site in (0, 1):
        own = cells.site == site
        assert right(cells.indices[own], true[own]).all()
    # The two atoms of a cell are nearest neighbours, and so in one cell or in adjoining ones.
    same = KDTree(atoms[cells.site == 0]).query(atoms[cells.site == 1])[1]
    steps = cells.indices[cells.site == 1] - cells.indices[cells.site == 0][same]
    assert np.unique(steps, axis=0).max() <= 1


def test_bent_planes_are_followed():
    atoms, true = crystal(700)
    x, y = atoms.T
    bent = np.stack([x + 2e-4 * (y - 300) ** 2, y + 1.5e-4 * (x - 300) ** 2], axis=1)
    cells = index_cells(bent)
    assert right(cells.indices, true).mean() > 0.999


def test_two_seeds_on_one_column():
    atoms, _ = crystal(300, noise=0.1)
    cells = index_cells(np.concatenate([atoms, atoms[:2] + 0.6]))
    places = np.column_stack([cells.grain, cells.indices])[cells.grain >= 0]
    assert len(np.unique(places, axis=0)) == len(places) == len(atoms)


def amorphous(seed, spacing=11.0, size=600):
    """Points at random, none nearer than a distance to another."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, size, (12000, 2))
    kept, tree = np.ones(len(points), bool), KDTree(points)
    for number, around in enumerate(tree.query_ball_point(points, spacing)):
        if kept[number]:
            kept[around] = False
            kept[number] = True
    return points[kept]


@pytest.mark.parametrize("seed", range(4))
def test_amorphous_atoms_have_no_lattice(seed):
    with pytest.raises(ValueError, match="no lattice"):
        index_cells(amorphous(seed))
    with pytest.raises(ValueError, match="no lattice"):
        index_cells(np.random.default_rng(seed).uniform(0, 500, (900, 2)))


def test_crystal_in_an_amorphous_film():
    film, (atoms, _) = amorphous(1), crystal(300)
    film = film[(film > 312).any(axis=1)]
    cells = index_cells(np.concatenate([film, atoms]))
    assert (cells.grain[len(film) :] == 0).mean() > 0.98
    assert (cells.grain[: len(film)] >= 0).mean() < 0.1


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (np.empty((0, 2)), "at least 4 atoms, got 0"),
        ([[3.0, 4.0]], "at least 4 atoms, got 1"),
        (np.stack([np.arange(30) * 9.0, np.arange(30) * 2.0], 1), "no lattice repeats"),
        (np.zeros((9, 2)), "no lattice"),
    ],
    ids=["none", "one", "line", "one place"],
)
def test_what_has_no_lattice(atoms, message):
    with pytest.raises(ValueError, match=message):
        index_cells(np.asarray(atoms))


def test_other_atoms_get_the_cell_they_lie_in():
    atoms, _ = crystal(300, noise=0)
    cells = index_cells(atoms)
    a, b = cells.vectors[0]
    indices, grain = cells_around(atoms + 0.5 * a + 0.5 * b, atoms, cells)
    np.testing.assert_array_equal(indices, cells.indices)
    assert (grain == 0).all()
    assert (cells_around([[900.0, 900.0]], atoms, cells)[1] == -1).all()


def test_sites_of_two_grains():
    left, _ = crystal(500, 0, noise=0, part=lambda side: side < -5)
    more, _ = crystal(500, 30, noise=0, part=lambda side: side > 5)
    sites = sites_in_cells(np.concatenate([left, more]), (0.5, 0.5))
    for grain in (left, more):
        true = sites_in_cells(grain, (0.5, 0.5))
        assert (KDTree(sites).query(true)[0] < 1e-6).mean() > 0.98  # but for the boundary's
