"""Clusters of local configurations."""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

Algorithm = Literal["gmm", "kmeans"]
MOST_CLUSTERS = 8
ENOUGH = 5000  # atoms that a model is fitted to
STARTS = 3
FLOOR = 1e-4  # of a feature's variance; spacings are 1


def cluster_configurations(
    moments: np.ndarray,
    n: int | None,
    algorithm: Algorithm,
    invariant: bool,
    seed: int | None,
) -> np.ndarray:
    """Sort atoms by their surroundings.

    Parameters
    ----------
    moments
        Complex, shape ``(atoms, k + 1)``, as :func:`~hyperspy_rvae.lattice.neighbours.moments`
        gives them.
    n
        Number of clusters; None for that from 1 to 8 with the lowest Bayesian information
        criterion.
    algorithm
        "gmm", a Gaussian mixture, or "kmeans", which needs `n`.
    invariant
        Whether surroundings that are turned against each other are the same.
    seed
        Of the models' starts, and of the 5,000 atoms that they are fitted to where there are more.

    Returns
    -------
    labels
        Shape ``(atoms,)``, int; 0 is the most frequent.
    """
    parts = np.abs(moments) if invariant else np.hstack([moments.real, moments.imag[:, 1:]])
    rng = np.random.default_rng(seed)
    sample = parts
    if len(parts) > ENOUGH:
        sample = parts[np.sort(rng.choice(len(parts), ENOUGH, replace=False))]
    start = int(rng.integers(2**31))
    if algorithm == "kmeans":
        labels = KMeans(n, n_init=STARTS, random_state=start).fit(sample).predict(parts)
    else:
        counts = range(1, min(MOST_CLUSTERS, len(sample) - 1) + 1) if n is None else [n]
        models = [
            GaussianMixture(m, n_init=STARTS, reg_covar=FLOOR, random_state=start).fit(sample)
            for m in counts
        ]
        best = min(models, key=lambda model: model.bic(sample)) if n is None else models[0]
        labels = best.predict(parts)
    names, code, count = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(-count, kind="stable")] = np.arange(len(names))
    return rank[code]
