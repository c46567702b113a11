"""Classes of atoms, learned from some that were named, by a scikit-learn classifier."""

from __future__ import annotations

from typing import Any

import numpy as np

FOLDS = 5


def classify_samples(
    values: np.ndarray,
    labels: np.ndarray,
    estimator: Any = None,
    seed: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Learn classes from labelled rows and give them to all rows.

    Parameters
    ----------
    values
        Shape ``(n, features)``, finite.
    labels
        Shape ``(n,)``: whole numbers, -1 where none is known.
    estimator
        A scikit-learn classifier, left as it is; a random forest if None.
    seed
        Of the forest and of the folds.

    Returns
    -------
    classes
        Shape ``(n,)``.
    probabilities
        Shape ``(n, classes)``, in the order of the labels; NaN if the classifier has none.
    scores
        Balanced accuracy on each fold of a stratified cross-validation over the labelled rows.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or a class has fewer than two rows.
    """
    from sklearn.base import clone
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    known = labels != -1
    names, counts = np.unique(labels[known], return_counts=True)
    if len(names) < 2 or counts.min() < 2:
        raise ValueError(
            f"at least two classes with two labelled atoms each are needed to learn from, got "
            f"{dict(zip(names.tolist(), counts.tolist(), strict=True))} (class: atoms); label more."
        )
    model = RandomForestClassifier(random_state=seed) if estimator is None else clone(estimator)
    folds = StratifiedKFold(min(FOLDS, int(counts.min())), shuffle=True, random_state=seed)
    scores = cross_val_score(
        model, values[known], labels[known], cv=folds, scoring="balanced_accuracy"
    )
    model.fit(values[known], labels[known])
    probabilities = (
        model.predict_proba(values)
        if hasattr(model, "predict_proba")
        else np.full((len(values), len(names)), np.nan)
    )
    return model.predict(values), probabilities, scores


def embed(values: np.ndarray, perplexity: float = 30.0, seed: int | None = None) -> np.ndarray:
    """Lay samples out in a plane by t-SNE, alike ones beside each other.

    Parameters
    ----------
    values
        Shape ``(n, features)``, finite.
    perplexity
        About how many neighbours a sample has; less than n.
    seed
        Of the start.

    Returns
    -------
    places
        Shape ``(n, 2)``, without units.
    """
    from sklearn.manifold import TSNE

    model = TSNE(perplexity=min(perplexity, (len(values) - 1) / 3), init="pca", random_state=seed)
    return model.fit_transform(values)
