import numpy as np
from sklearn.neighbors import NearestNeighbors

from hyperspy_rvae.lattice.neighbours import moments, nearest_neighbours, within_reach


def test_the_same_neighbours_as_scikit_learns():
    xy = np.random.default_rng(0).random((70, 2))
    index, vectors = nearest_neighbours(xy, xy, 5, np.arange(70))
    distance, theirs = NearestNeighbors(n_neighbors=5).fit(xy).kneighbors()
    np.testing.assert_array_equal(index, theirs)
    np.testing.assert_allclose(np.hypot(*np.moveaxis(vectors, -1, 0)), distance)
    np.testing.assert_allclose(vectors, xy[theirs] - xy[:, None])


def test_neighbours_of_another_kind():
    rng = np.random.default_rng(1)
    atoms, others = rng.random((20, 2)), rng.random((30, 2))
    index, _ = nearest_neighbours(atoms, others, 4)
    theirs = NearestNeighbors(n_neighbors=4).fit(others).kneighbors(atoms)[1]
    np.testing.assert_array_equal(index, theirs)


def test_too_few_neighbours():
    xy = np.array([[0.0, 0.0], [3.0, 4.0]])
    index, vectors = nearest_neighbours(xy, xy, 3, np.arange(2))
    np.testing.assert_array_equal(index, [[1, -1, -1], [0, -1, -1]])
    np.testing.assert_array_equal(vectors[:, 0], [[3, 4], [-3, -4]])
    assert np.isnan(vectors[:, 1:]).all()
    index, vectors = nearest_neighbours(xy, np.empty((0, 2)), 3)
    assert (index == -1).all() and np.isnan(vectors).all()


def test_counts_within_reach():
    xy = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0)), -1).reshape(-1, 2)
    count = within_reach(xy, xy, 1.2, itself=True).reshape(3, 4)
    np.testing.assert_array_equal(count[1], [3, 4, 4, 3])
    np.testing.assert_array_equal(within_reach(xy, np.empty((0, 2)), 1.2), 0)


def test_moments_forget_the_order_and_turn_with_the_surroundings():
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(9, 4, 2))
    np.testing.assert_allclose(moments(vectors), moments(vectors[:, ::-1]))
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = moments(vectors @ turn)  # counter-clockwise as displayed, v being down
    np.testing.assert_allclose(turned, moments(vectors) * np.exp(1j * angle * np.arange(5)))
