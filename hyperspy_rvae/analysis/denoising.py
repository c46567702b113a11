"""Denoise vectors by what they have in common with their neighbours'.

An atom and its neighbours on the lattice make one sample. Few patterns (a domain, a wall at each
place, a slope) make up the samples of a crystal, and noise has no pattern: so a few components of
a decomposition hold the signal. Every atom is then the mean over all the patches that hold it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from hyperspy_rvae.analysis.patches import overlapped_mean, patches
from hyperspy_rvae.analysis.pursuit import pursue_principal_components

Denoising = Literal[
    "pca", "incremental", "kernel", "sparse", "robust", "ica", "nmf", "gaussian", "median"
]
SMOOTHING = ("gaussian", "median")
KERNEL_SAMPLE = 2000  # kernel PCA holds a matrix of samples times samples
GAUSSIAN_WIDTH = 1.0  # lattice steps
SPARE = 3.0  # times the usual price of what is sparse; at 1 a wall counts as sparse and is lost


class PatchDenoiser:
    """Rebuild samples from a few components of theirs.

    Parameters
    ----------
    method
        Name of a decomposition, or a scikit-learn transformer with ``fit_transform`` and
        ``inverse_transform``, which is left as it is.
    components
        A whole number; a share of the variance between 0 and 1; None for cross-validation. A
        transformer brings its own.
    seed
        Of the methods that draw.

    Attributes
    ----------
    count_
        Number of components; None for a transformer.
    model_
        The fitted transformer; None where no component was worth keeping.
    """

    def __init__(
        self,
        method: Denoising | Any = "pca",
        components: int | float | None = None,
        seed: int | None = None,
    ) -> None:
        self.method = method
        self.components = components
        self.seed = seed

    def fit(self, samples: np.ndarray) -> PatchDenoiser:
        """Fit the components to samples, shape ``(n, m, c)``, the atom itself first."""
        from sklearn.base import clone

        flat = self._flat(samples)
        self.mean_ = flat.mean(0)
        self.scale_ = np.sqrt((flat**2).mean()) or 1.0  # regularised models want numbers around 1
        self.count_: int | None = None
        if isinstance(self.method, str):
            self.count_ = count_components(flat.reshape(samples.shape), self.components)
            model = _transformer(self.method, self.count_, flat.shape, self.seed)
        else:
            model = clone(self.method)
        if self.method == "kernel":  # it holds a matrix of samples times samples
            flat = flat[np.random.default_rng(self.seed).permutation(len(flat))[:KERNEL_SAMPLE]]
        self.model_ = None if model is None else model.fit(flat / self.scale_)
        return self

    def restore(self, samples: np.ndarray) -> np.ndarray:
        """Rebuild samples from the components; same shape."""
        if self.model_ is None:
            return np.broadcast_to(self.mean_.reshape(samples.shape[1:]), samples.shape)
        found = self.model_.transform(self._flat(samples) / self.scale_)
        return (self.model_.inverse_transform(found) * self.scale_).reshape(samples.shape)

    def _flat(self, samples: np.ndarray) -> np.ndarray:
        flat = samples.reshape(len(samples), -1)
        if isinstance(self.method, str) and self.method == "robust":
            return flat - pursue_principal_components(flat, spare=SPARE)[1]
        return flat


def denoise_vectors(
    vectors: np.ndarray,
    neighbours: np.ndarray,
    offsets: np.ndarray,
    denoiser: PatchDenoiser | Literal["gaussian", "median"],
) -> np.ndarray:
    """Denoise the vectors of one frame by their neighbours'.

    Parameters
    ----------
    vectors
        Shape ``(n, 2)``, finite.
    neighbours
        Row of the neighbour at each lattice step, shape ``(n, m)``, -1 for none; the atom itself
        first.
    offsets
        The steps, shape ``(m, 2)``.
    denoiser
        Fitted to samples of these vectors, or of more of their kind; or the name of an average.

    Returns
    -------
    denoised
        Shape ``(n, 2)``.
    """
    samples = patches(vectors, neighbours, offsets)
    if isinstance(denoiser, PatchDenoiser):
        return overlapped_mean(denoiser.restore(samples), neighbours)
    return _smooth(samples, neighbours, offsets, denoiser)


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
    if not variance.any():
        return 0  # all samples are alike, and the mean is enough
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


def _transformer(method: str, count: int, shape: tuple[int, ...], seed: int | None) -> Any:
    """Make scikit-learn's transformer of that name; None for no components."""
    from sklearn import decomposition as sk
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    if count == 0:
        return None
    if method == "nmf":
        count = min(2 * count, *shape)  # both signs need their own
        model = sk.NMF(count, init="nndsvda", max_iter=1000, tol=1e-3, random_state=seed)
        return make_pipeline(FunctionTransformer(_parts, _join, check_inverse=False), model)
    if method == "kernel":
        gamma = 0.2 / shape[1]
        return sk.KernelPCA(
            count, kernel="rbf", gamma=gamma, alpha=0.001, fit_inverse_transform=True
        )
    if method == "incremental":
        return sk.IncrementalPCA(count, batch_size=1000)
    if method == "sparse":
        return sk.MiniBatchSparsePCA(count, alpha=0.1, random_state=seed)
    if method == "ica":
        return sk.FastICA(count, whiten="unit-variance", max_iter=1000, random_state=seed)
    return sk.PCA(count, random_state=seed)


def _parts(flat: np.ndarray) -> np.ndarray:
    """Positive and negative parts side by side, which are what is not negative in vectors."""
    return np.concatenate([np.maximum(flat, 0), np.maximum(-flat, 0)], axis=1)


def _join(parts: np.ndarray) -> np.ndarray:
    plus, minus = np.split(parts, 2, axis=1)
    return plus - minus


def _smooth(
    samples: np.ndarray, neighbours: np.ndarray, offsets: np.ndarray, method: str
) -> np.ndarray:
    there = (neighbours >= 0)[..., None]
    if method == "median":
        return np.nanmedian(np.where(there, samples, np.nan), axis=1)
    weights = np.exp(-(offsets**2).sum(1) / (2 * GAUSSIAN_WIDTH**2))[:, None] * there
    return (weights * samples).sum(1) / weights.sum(1)
