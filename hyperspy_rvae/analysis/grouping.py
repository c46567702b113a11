"""Groups of vectors, found by scikit-learn's clusterings, on the circle or in the plane."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

Algorithm = Literal["gmm", "kmeans", "dbscan", "hdbscan", "agglomerative"]
Features = Literal["direction", "vectors"]
MOST_GROUPS = 8
COUNTED = ("gmm", "kmeans", "agglomerative")
SILHOUETTE_SAMPLE = 5000
MOST_CLUSTERED = 10_000  # agglomerative clustering holds the distances of all pairs
NARROWEST = 0.15  # rad, or of the root mean square: no group is taken to be narrower


def features_of(vectors: np.ndarray, features: Features) -> np.ndarray:
    """Turn vectors into what is clustered, numbers around 1.

    Parameters
    ----------
    vectors
        Shape ``(n, 2)``, u right and v down.
    features
        "direction": cosine and sine of the angle, so that there is no seam at ±pi; "vectors":
        both components, in units of their root mean square, so that length counts too.

    Returns
    -------
    values
        Shape ``(n, 2)``. A vector of length 0 has no direction and gets (0, 0).
    """
    length = np.hypot(*vectors.T)
    if features == "vectors":
        return vectors / (np.sqrt((length**2).mean()) or 1.0)
    return vectors / np.where(length > 0, length, 1.0)[:, None]


def find_groups(
    vectors: np.ndarray,
    n: int | None = None,
    algorithm: Algorithm | Any = "gmm",
    features: Features = "direction",
    seed: int | None = None,
) -> np.ndarray:
    """Cluster vectors.

    Parameters
    ----------
    vectors
        Shape ``(n, 2)``, u right and v down, finite.
    n
        Number of groups. If None, "gmm" takes the number from 1 to 8 with the least Bayesian
        information criterion, "kmeans" and "agglomerative" that from 2 to 8 with the largest mean
        silhouette; the other algorithms find it themselves.
    algorithm
        Name, or a scikit-learn clustering, which is left as it is.
    features
        As in :func:`features_of`. The mixture takes a direction as the angle from where the circle
        is emptiest, in which its Gaussians are groups of directions; all else take cosine and
        sine.
    seed
        Of the start.

    Returns
    -------
    labels
        Shape ``(n,)``, the largest group 0; -1 is noise, where the algorithm knows noise. Of more
        than 10,000 rows so many are drawn for the named algorithms, and the rest are grouped with
        the drawn row that is nearest.
    """
    values = features_of(vectors, features)
    if isinstance(algorithm, str) and algorithm == "gmm" and features == "direction":
        values = _unrolled(values)
    if not isinstance(algorithm, str):
        from sklearn.base import clone

        return by_size(clone(algorithm).fit_predict(values))
    if len(values) <= MOST_CLUSTERED:
        return by_size(_named_clustering(values, n, algorithm, seed))
    drawn = values[np.random.default_rng(seed).permutation(len(values))[:MOST_CLUSTERED]]
    labels = _named_clustering(drawn, n, algorithm, seed)
    return by_size(labels[np.asarray(KDTree(drawn).query(values)[1])])


def describe_groups(
    vectors: np.ndarray, labels: np.ndarray, area: float | None = None
) -> pd.DataFrame:
    """Count, fraction and mean vector of each group.

    Parameters
    ----------
    vectors
        Shape ``(n, 2)``, u right and v down.
    labels
        Shape ``(n,)``.
    area
        Area that belongs to one atom; without it, there is no column ``area``.

    Returns
    -------
    table
        Indexed by label: ``count``, ``fraction`` (of the atoms that have a label other than -1),
        ``u``, ``v`` (mean vector), ``magnitude`` and ``angle`` of it (radians, counter-clockwise as
        displayed), ``u_std`` and ``v_std`` (standard deviation within the group).
    """
    table = pd.DataFrame(vectors, columns=["u", "v"]).groupby(np.asarray(labels))
    out = table.mean()
    out.insert(0, "count", table.size())
    named = out.index != -1
    out.insert(1, "fraction", np.where(named, out["count"] / out["count"][named].sum(), np.nan))
    out["magnitude"] = np.hypot(out["u"], out["v"])
    out["angle"] = np.arctan2(-out["v"], out["u"])
    out[["u_std", "v_std"]] = table.std()
    if area is not None:
        out["area"] = out["count"] * area
    return out


def connected_parts(labels: np.ndarray, neighbours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join neighbours of one label to domains, and mark the walls between them.

    Parameters
    ----------
    labels
        Shape ``(n,)``, -1 for none.
    neighbours
        Rows of the neighbours, shape ``(n, m)``, -1 for none.

    Returns
    -------
    domains
        Shape ``(n,)``, the largest 0; -1 for none.
    walls
        Whether a neighbour has another label, neither being -1.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.nonzero(neighbours >= 0)
    other = neighbours[rows, columns]
    both = (labels[rows] != -1) & (labels[other] != -1)
    same = both & (labels[rows] == labels[other])
    shape = (len(labels), len(labels))
    links = coo_array((np.ones(same.sum()), (rows[same], other[same])), shape=shape)
    parts = connected_components(links, directed=False)[1]
    walls = np.zeros(len(labels), dtype=bool)
    walls[rows[both & ~same]] = True
    return by_size(np.where(labels == -1, -1, parts)), walls


def _named_clustering(
    values: np.ndarray, n: int | None, algorithm: str, seed: int | None
) -> np.ndarray:
    if algorithm not in COUNTED:
        return _density(values, algorithm)
    if n is not None:
        return _model(algorithm, n, seed).fit_predict(values)
    most = min(MOST_GROUPS, len(np.unique(values.round(6), axis=0)))
    if algorithm == "gmm":
        most = max(1, min(most, len(values) // 5))
        models = [_model("gmm", k, seed).fit(values) for k in range(1, most + 1)]
        return min(models, key=lambda model: model.bic(values)).predict(values)
    tries = [_model(algorithm, k, seed).fit_predict(values) for k in range(1, most + 1)]
    return max(tries, key=lambda labels: _silhouette(values, labels))


def _model(algorithm: str, n: int, seed: int | None) -> Any:
    if algorithm == "gmm":
        from sklearn.mixture import GaussianMixture

        return GaussianMixture(n, n_init=5, reg_covar=NARROWEST**2, random_state=seed)
    from sklearn import cluster

    if algorithm == "kmeans":
        return cluster.KMeans(n, n_init=10, random_state=seed)
    return cluster.AgglomerativeClustering(n)


def _unrolled(values: np.ndarray) -> np.ndarray:
    """Measure the angle from where the circle is emptiest, shape ``(n, 1)``.

    So no group meets the seam. Gaussians of cosine and sine would follow the bend of an arc of
    directions by splitting it.
    """
    angle = np.arctan2(values[:, 1], values[:, 0])
    edges = np.linspace(-np.pi, np.pi, 361)
    counts = np.histogram(angle, edges)[0]
    crowd = np.fft.fft(np.exp(20 * (np.cos(edges[:-1] - edges[0]) - 1)))
    density = np.fft.ifft(np.fft.fft(counts) * crowd).real
    seam = edges[np.argmin(density)]
    return np.mod(angle - seam, 2 * np.pi)[:, None]


def _density(values: np.ndarray, algorithm: str) -> np.ndarray:
    """DBSCAN and HDBSCAN, with a scale taken from the data."""
    from sklearn import cluster
    from sklearn.neighbors import NearestNeighbors

    least = max(5, len(values) // 20)
    if algorithm == "hdbscan":
        return cluster.HDBSCAN(min_cluster_size=least, copy=True).fit_predict(values)
    crowd = min(least, len(values))
    distances = NearestNeighbors(n_neighbors=crowd).fit(values).kneighbors()[0][:, -1]
    reach = max(float(np.quantile(distances, 0.9)), np.finfo(np.float64).tiny)
    return cluster.DBSCAN(eps=reach, min_samples=crowd).fit_predict(values)


def _silhouette(values: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score

    if len(np.unique(labels)) < 2:
        return -1.0
    size = min(SILHOUETTE_SAMPLE, len(values))
    return float(silhouette_score(values, labels, sample_size=size, random_state=0))


def by_size(labels: np.ndarray) -> np.ndarray:
    """Renumber labels ``(n,)`` by how many have them, the most 0; -1 stays."""
    labels = np.asarray(labels)
    names, counts = np.unique(labels[labels != -1], return_counts=True)
    numbers = np.empty(len(names), dtype=np.int64)
    numbers[np.argsort(-counts, kind="stable")] = np.arange(len(names))
    out = np.full(len(labels), -1, dtype=np.int64)
    out[labels != -1] = numbers[np.searchsorted(names, labels[labels != -1])]
    return out
