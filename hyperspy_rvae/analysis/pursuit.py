"""Robust principal components."""

from __future__ import annotations

import numpy as np


def pursue_principal_components(
    data: np.ndarray, *, spare: float = 1.0, most: int = 200, tolerance: float = 1e-5
) -> tuple[np.ndarray, np.ndarray]:
    """Split a matrix into a part of low rank and a sparse one: robust PCA.

    Principal component pursuit of Candès, Li, Ma and Wright, J. ACM 58, 11 (2011), by the
    alternating directions of their section 5: the smallest ``|L|_* + lambda |S|_1`` with L + S the
    data, lambda = spare / sqrt(max(n, m)).

    Parameters
    ----------
    data
        Shape ``(n, m)``.
    spare
        1 is what they prove to be right for exact data; larger leaves smaller deviations, such as
        noise, to the low rank.
    most
        Rounds at most.
    tolerance
        Residual, relative to the data, at which to stop.

    Returns
    -------
    low_rank, sparse
        Shape ``(n, m)`` each.
    """
    norm = np.linalg.norm(data)
    sparse, dual = np.zeros_like(data), np.zeros_like(data)
    if norm == 0:
        return sparse, sparse
    penalty = spare / np.sqrt(max(data.shape))
    step = data.size / (4 * np.abs(data).sum())
    for _ in range(most):
        left, singular, right = np.linalg.svd(data - sparse + dual / step, full_matrices=False)
        low_rank = (left * np.maximum(singular - 1 / step, 0)) @ right
        rest = data - low_rank + dual / step
        sparse = np.sign(rest) * np.maximum(np.abs(rest) - penalty / step, 0)
        residual = data - low_rank - sparse
        dual += step * residual
        if np.linalg.norm(residual) < tolerance * norm:
            break
    return low_rank, sparse
