import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from hyperspy_rvae.analysis.configurations import cluster_configurations
from hyperspy_rvae.lattice.neighbours import moments


def surroundings(n=300, seed=0):
    """Two sublattices of graphene, in the shares 2 : 1."""
    rng = np.random.default_rng(seed)
    kind = np.r_[np.zeros(6 * n), np.ones(3 * n)].astype(int)[rng.permutation(9 * n)]
    angles = 2 * np.pi * np.arange(3) / 3 + np.pi * kind[:, None]
    vectors = np.stack([np.cos(angles), np.sin(angles)], -1)
    return kind, vectors + rng.normal(0, 0.05, vectors.shape)


@pytest.mark.parametrize("algorithm", ["gmm", "kmeans"])
def test_two_sublattices_of_graphene(algorithm):
    kind, vectors = surroundings()
    labels = cluster_configurations(moments(vectors), 2, algorithm, False, 0)
    assert adjusted_rand_score(kind, labels) > 0.99
    np.testing.assert_array_equal(np.bincount(labels), [1800, 900])


def test_the_number_is_estimated():
    kind, vectors = surroundings()
    labels = cluster_configurations(moments(vectors), None, "gmm", False, 0)
    assert adjusted_rand_score(kind, labels) > 0.99


def test_turned_surroundings_are_the_same_if_asked():
    kind, vectors = surroundings()
    kind[:40], vectors[:40] = 2, vectors[:40] * 1.2
    labels = cluster_configurations(moments(vectors), 2, "gmm", True, 0)
    assert adjusted_rand_score(kind == 2, labels) > 0.99


def test_the_same_seed_gives_the_same_clusters():
    described = moments(surroundings(800)[1])
    first, again = (cluster_configurations(described, 3, "gmm", False, 4) for _ in range(2))
    np.testing.assert_array_equal(first, again)
