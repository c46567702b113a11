import numpy as np

from hyperspy_rvae.lattice.mesh import lattice_indices, lattice_neighbours, square_offsets

VECTORS = np.array([[12.0, 0.8], [-0.9, 13.5]])


def grid(across=9, down=7):
    return np.stack(np.meshgrid(np.arange(across), np.arange(down)), -1).reshape(-1, 2)


def test_offsets_start_with_the_atom_itself():
    offsets = square_offsets(2)
    assert len(offsets) == 25 and not offsets[0].any()
    assert (np.diff((offsets**2).sum(1)) >= 0).all()


def test_neighbours_are_a_step_away_and_back():
    steps = grid()
    shuffled = np.random.default_rng(0).permutation(len(steps))
    steps = steps[shuffled]
    xy = steps @ VECTORS + np.random.default_rng(1).normal(0, 0.5, steps.shape)
    offsets = square_offsets(1)
    found = lattice_neighbours(xy, VECTORS, offsets)
    np.testing.assert_array_equal(found[:, 0], np.arange(len(xy)))
    for column, offset in enumerate(offsets):
        there = found[:, column] >= 0
        np.testing.assert_array_equal(steps[found[there, column]], steps[there] + offset)
        expected = ((steps + offset >= 0) & (steps + offset < [9, 7])).all(axis=1)
        np.testing.assert_array_equal(there, expected)


def test_indices_follow_a_bent_lattice():
    steps = grid(40, 12)
    x, y = (steps @ VECTORS).T
    bent = np.column_stack([x, y + 25 * np.sin(x / 80)])  # by two rows, over the image
    found = lattice_indices(bent, VECTORS)
    origin = steps[(found == 0).all(axis=1)][0]
    np.testing.assert_array_equal(found, steps - origin)


def test_an_island_is_counted_on_from_the_rest():
    steps = grid(12, 5)
    steps = steps[(steps[:, 0] < 5) | (steps[:, 0] > 7)]
    found = lattice_indices(steps @ VECTORS, VECTORS)
    np.testing.assert_array_equal(found - found[0], steps - steps[0])
