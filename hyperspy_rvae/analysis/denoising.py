"""Denoise vectors by what they have in common with their neighbours'.

An atom and its neighbours on the lattice make one sample. Few patterns (a domain, a wall at each
place, a slope) make up the samples of a crystal, and noise has no pattern: so a few components of
a decomposition hold the signal. Every atom is then the mean over all the patches that hold it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from hyperspy_rvae.analysis.patches import overlapped_mean, patches

Denoising = Literal[
    "pca", "incremental", "kernel", "sparse", "robust", "ica", "nmf", "gaussian", "median"
]
SMOOTHING = ("gaussian", "median")
KERNEL_SAMPLE = 2000  # kernel PCA holds a matrix of samples times samples
GAUSSIAN_WIDTH = 1.0  # lattice steps
SPARE = 3.0  # times the usual price of what is sparse; at 1 a wall counts as sparse and is lost


def denoise_vectors(
    vectors: np.ndarray,
    neighbours: np.ndarray,
    offsets: np.ndarray,
    method: Denoising | Any = "pca",
    components: int | float | None = None,
    seed: int | None = None,
) -> tuple[np.ndarray, int | None]:
    """Denoise vectors by their neighbours'.

    Parameters
    ----------
    vectors
        Shape ``(n, 2)``, finite.
    neighbours
        Row of the neighbour at each lattice step, shape ``(n, m)``, -1 for none; the atom itself
        first.
    offsets
        The steps, shape ``(m, 2)``.
    method
        Name, or a scikit-learn transformer with ``fit_transform`` and ``inverse_transform``.
    components
        A whole number; a share of the variance between 0 and 1; None for cross-validation.
    seed
        Of the methods that draw.

    Returns
    -------
    denoised
        Shape ``(n, 2)``.
    components
        Number of components used; None for those that have none.
    """
    samples = patches(vectors, neighbours, offsets)
    if isinstance(method, str) and method in SMOOTHING:
        return _smooth(samples, neighbours, offsets, method), None
    flat = samples.reshape(len(samples), -1)
    if not isinstance(method, str):
        from sklearn.base import clone

        count, restored = None, _there_and_back(clone(method), flat)
    else:
        if method == "robust":
            flat = flat - pursue_principal_components(flat, spare=SPARE)[1]
        count = count_components(flat.reshape(samples.shape), components)
        restored = _decompose(flat, method, count, seed)
    return overlapped_mean(restored.reshape(samples.shape), neighbours), count


def count_components(samples: np.ndarray, components: int | float | None) -> int:
    """Settle the number of components.

    Parameters
    ----------
    samples
        Shape ``(n, m, c)``, the atom itself first.
    components
        A whole number is taken as it is; for a share between 0 and 1, the fewest principal
        components that explain so much of the variance; None for :func:`cross_validate`.
    """
    if components is None:
        errors = (cross_validate(samples) ** 2).sum(-1)
        more = errors - errors[np.argmin(errors.mean(axis=1))]
        return int(np.argmax(more.mean(axis=1) <= more.std(axis=1) / np.sqrt(len(samples))))
    if isinstance(components, (int, np.integer)):
        return int(components)
    flat = samples.reshape(len(samples), -1)
    variance = np.linalg.svd(flat - flat.mean(0), compute_uv=False) ** 2
    return 1 + int(np.searchsorted(np.cumsum(variance) / variance.sum(), components))


def cross_validate(samples: np.ndarray) -> np.ndarray:
    """Predict each atom's vector from its neighbours', with more and more components.

    The atom's own vector is left out of its sample, the rest is fitted by the principal
    components without it, and they predict it. Noise that differs from atom to atom cannot be
    predicted, so that the error is smallest where the components hold the signal and no noise.

    Parameters
    ----------
    samples
        Shape ``(n, m, c)``, the atom itself first.

    Returns
    -------
    errors
        Predicted minus given, shape ``(components, n, c)``; first those of no component, which are
        the errors of the mean.
    """
    count, places, parts = samples.shape
    flat = samples.reshape(count, -1)
    mean = flat.mean(0)
    most = max(1, min(count - 1, (places - 1) * parts) // 2)
    loadings = np.linalg.svd(flat - mean, full_matrices=False)[2][:most].T
    own, others = loadings[:parts], loadings[parts:]
    errors = [(mean - flat)[:, :parts]]
    for number in range(1, most + 1):
        scores = (flat - mean)[:, parts:] @ np.linalg.pinv(others[:, :number]).T
        predicted = scores @ own[:, :number].T + mean[:parts]
        errors.append(predicted - flat[:, :parts])
    return np.array(errors)


def _decompose(flat: np.ndarray, method: str, count: int, seed: int | None) -> np.ndarray:
    """Rebuild the samples from `count` components; shape ``(n, features)``."""
    from sklearn import decomposition as sk

    if count == 0:
        return np.broadcast_to(flat.mean(0), flat.shape)
    if method == "nmf":
        # Vectors have signs: their positive and negative parts are what is not negative.
        parts = np.concatenate([np.maximum(flat, 0), np.maximum(-flat, 0)], axis=1)
        model = sk.NMF(2 * count, init="nndsvda", max_iter=1000, tol=1e-3, random_state=seed)
        plus, minus = np.split(_there_and_back(model, parts), 2, axis=1)
        return plus - minus
    if method == "kernel":
        return _kernel(flat, count, seed)
    models = {
        "pca": lambda: sk.PCA(count, random_state=seed),
        "robust": lambda: sk.PCA(count, random_state=seed),
        "incremental": lambda: sk.IncrementalPCA(count, batch_size=max(count, 1000)),
        "sparse": lambda: sk.MiniBatchSparsePCA(count, alpha=0.1, random_state=seed),
        "ica": lambda: sk.FastICA(count, whiten="unit-variance", random_state=seed, max_iter=1000),
    }
    return _there_and_back(models[method](), flat)


def _there_and_back(model: Any, flat: np.ndarray) -> np.ndarray:
    scale = np.sqrt((flat**2).mean()) or 1.0  # regularised models expect numbers around 1
    return model.inverse_transform(model.fit_transform(flat / scale)) * scale


def _kernel(flat: np.ndarray, count: int, seed: int | None) -> np.ndarray:
    from sklearn.decomposition import KernelPCA

    scale = np.sqrt((flat**2).mean()) or 1.0
    chosen = np.random.default_rng(seed).permutation(len(flat))[:KERNEL_SAMPLE]
    model = KernelPCA(count, kernel="rbf", fit_inverse_transform=True, alpha=0.001)
    model.set_params(gamma=0.2 / flat.shape[1]).fit(flat[chosen] / scale)
    return model.inverse_transform(model.transform(flat / scale)) * scale


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


def _smooth(
    samples: np.ndarray, neighbours: np.ndarray, offsets: np.ndarray, method: str
) -> np.ndarray:
    there = (neighbours >= 0)[..., None]
    if method == "median":
        return np.nanmedian(np.where(there, samples, np.nan), axis=1)
    weights = np.exp(-(offsets**2).sum(1) / (2 * GAUSSIAN_WIDTH**2))[:, None] * there
    return (weights * samples).sum(1) / weights.sum(1)
