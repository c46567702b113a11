import numpy as np
import pytest
from sklearn.cluster import Birch, KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from hyperspy_rvae.analysis.classification import classify_samples, embed
from hyperspy_rvae.analysis.grouping import (
    connected_parts,
    describe_groups,
    features_of,
    find_groups,
)


def directions(angles=(0.0, np.pi / 2, np.pi), each=60, spread=0.15, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(angles)), each)
    angle = np.asarray(angles)[truth] + rng.normal(0, spread, len(truth))
    length = rng.uniform(0.5, 3, len(truth))
    return np.stack([np.cos(angle), -np.sin(angle)], -1) * length[:, None], truth


@pytest.mark.parametrize("algorithm", ["gmm", "kmeans", "dbscan", "hdbscan", "agglomerative"])
def test_groups_of_direction_know_no_seam(algorithm):
    vectors, truth = directions()  # the third lies across the seam at plus and minus pi
    n = 3 if algorithm in ("gmm", "kmeans", "agglomerative") else None
    labels = find_groups(vectors, n, algorithm, seed=0)
    named = labels != -1
    assert named.mean() > 0.8
    assert adjusted_rand_score(truth[named], labels[named]) > 0.95


@pytest.mark.parametrize("algorithm", ["gmm", "kmeans", "agglomerative"])
@pytest.mark.parametrize("groups", [2, 4])
def test_the_number_of_groups_is_estimated(algorithm, groups):
    vectors, truth = directions(np.arange(groups) * 2 * np.pi / groups, each=80, spread=0.1)
    labels = find_groups(vectors, None, algorithm, seed=0)
    assert adjusted_rand_score(truth, labels) > 0.95


def test_one_group_is_one_group():
    vectors, _ = directions((3.0,), each=200, spread=0.3)
    for algorithm, n in (("gmm", None), ("kmeans", 1), ("gmm", 1)):
        assert set(find_groups(vectors, n, algorithm, seed=0)) == {0}
    assert set(find_groups(vectors + [9.0, 0.0], None, "gmm", seed=0)) == {0}


def test_length_counts_where_it_is_asked_for():
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1], 90)
    vectors = rng.normal(0, 0.2, (180, 2)) + np.where(truth[:, None], [0.0, 3.0], [0.0, 0.0])
    labels = find_groups(vectors, 2, "gmm", "vectors", seed=0)
    assert adjusted_rand_score(truth, labels) == 1
    unit = features_of(vectors, "direction")
    np.testing.assert_allclose(np.hypot(*unit.T), 1)
    np.testing.assert_array_equal(features_of(np.zeros((2, 2)), "direction"), 0)


def test_same_seed_same_groups_and_an_estimator_is_left_as_it_is():
    vectors, truth = directions(spread=0.4)
    np.testing.assert_array_equal(
        find_groups(vectors, 3, "gmm", seed=5), find_groups(vectors, 3, "gmm", seed=5)
    )
    for model in (Birch(n_clusters=3), KMeans(3, random_state=0)):
        labels = find_groups(vectors, None, model)
        assert adjusted_rand_score(truth, labels) > 0.7
        assert not hasattr(model, "labels_")


@pytest.mark.parametrize("algorithm", ["gmm", "kmeans", "hdbscan"])
def test_many_vectors_are_grouped_by_some_of_them(algorithm, monkeypatch):
    monkeypatch.setattr("hyperspy_rvae.analysis.grouping.MOST_CLUSTERED", 120)
    vectors, truth = directions(each=300)
    labels = find_groups(vectors, 3 if algorithm != "hdbscan" else None, algorithm, seed=0)
    named = labels != -1
    assert named.mean() > 0.9 and adjusted_rand_score(truth[named], labels[named]) > 0.95


def test_groups_are_numbered_by_size_and_described():
    vectors = np.array([[1.0, 0.0]] * 3 + [[0.0, -2.0]] * 5 + [[9.0, 9.0]])
    labels = find_groups(vectors[:8], 2, "kmeans", "vectors", seed=0)
    np.testing.assert_array_equal(labels, [1] * 3 + [0] * 5)
    table = describe_groups(vectors, np.append(labels, -1), area=2.0)
    assert table.loc[0, "fraction"] == 5 / 8 and np.isnan(table.loc[-1, "fraction"])
    assert table.loc[0, "angle"] == pytest.approx(np.pi / 2)  # v is down: up is counter-clockwise
    assert table.loc[1, "magnitude"] == 1 and table.loc[1, "area"] == 6


def test_domains_are_connected_and_walls_lie_between():
    labels = np.array([0, 0, 1, 1, 0, -1])
    chain = np.stack([np.arange(6) - 1, np.append(np.arange(1, 6), -1)], axis=-1)
    domains, walls = connected_parts(labels, chain)
    assert domains[0] == domains[1] != domains[4] and domains[2] == domains[3]
    assert domains[5] == -1 and len(set(domains[:5])) == 3
    np.testing.assert_array_equal(walls, [False, True, True, True, True, False])


def test_classes_are_learned_from_a_few():
    vectors, truth = directions(spread=0.2)
    given = np.full(len(truth), -1)
    some = np.random.default_rng(2).choice(len(truth), 45, replace=False)
    given[some] = truth[some]
    for estimator in (None, KNeighborsClassifier(3)):
        found, probabilities, scores = classify_samples(vectors, given, estimator, seed=0)
        assert (found == truth).mean() > 0.95
        np.testing.assert_allclose(probabilities.sum(1), 1)
        assert len(scores) == 5 and scores.mean() > 0.9
    assert np.isnan(classify_samples(vectors, given, LinearSVC(), seed=0)[1]).all()


def test_labels_that_teach_nothing_have_no_score_to_show():
    rng = np.random.default_rng(3)
    values, labels = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    assert abs(classify_samples(values, labels, None, seed=0)[2].mean() - 0.5) < 0.15


@pytest.mark.parametrize("labels", [[0, 0, 0, -1], [0, 0, 1, -1], [-1] * 4])
def test_too_few_labels_are_refused(labels):
    with pytest.raises(ValueError, match="two classes with two labelled atoms"):
        classify_samples(np.zeros((4, 2)), np.array(labels))


def test_alike_samples_lie_beside_each_other():
    vectors, truth = directions(each=40, spread=0.05)
    places = embed(features_of(vectors, "direction"), seed=0)
    distance = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    assert (truth[distance.argmin(1)] == truth).mean() > 0.98
