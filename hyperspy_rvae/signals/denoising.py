"""From displacements to denoised ones."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from hyperspy_rvae.analysis.denoising import (
    SMOOTHING,
    Denoising,
    PatchDenoiser,
    denoise_vectors,
)
from hyperspy_rvae.analysis.patches import patches
from hyperspy_rvae.lattice.mesh import square_offsets
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import alike, atom_axis, like
from hyperspy_rvae.signals.checks import check_choice
from hyperspy_rvae.signals.neighbourhood import frames_of, neighbours_of
from hyperspy_rvae.signals.vectors import has_vector

if TYPE_CHECKING:
    import pandas as pd
    from hyperspy.signals import Signal1D

    from hyperspy_rvae.signals.displacements import AtomDisplacements

_logger = logging.getLogger(__name__)

MOST_SAMPLES = 50_000  # that components are fitted to: enough, however long the movie
NEEDED = ["frame", "x", "y", "sublattice", "u", "v"]
FEWEST = 10  # vectors of a sublattice: fewer have no pattern in common


def denoise(
    signal: AtomDisplacements,
    method: Denoising | Any,
    components: int | float | None,
    radius: int,
    seed: int | None,
) -> AtomDisplacements:
    """Denoise; the parameters are those of ``AtomDisplacements.denoise``."""
    _check_method(method)
    check_radius(radius)
    _check_components(components, 2 * (2 * radius + 1) ** 2)
    rows = signal.vector_rows()[NEEDED]
    offsets = square_offsets(radius)
    data, used = np.full(signal.data.shape, np.nan), {}
    places, names = np.flatnonzero(has_vector(signal)), rows["sublattice"]
    for name in sorted(names.unique()):
        here = np.flatnonzero((names == name).to_numpy())
        part = rows.iloc[here]
        if len(part) < FEWEST:
            raise ValueError(
                f"sublattice {name!r} has {len(part)} vectors, and at least {FEWEST} are needed "
                "for a pattern that they have in common."
            )
        if components is not None and components >= len(part):
            raise ValueError(
                f"sublattice {name!r} has {len(part)} vectors, too few for {components} components."
            )
        denoiser = method
        if not (isinstance(method, str) and method in SMOOTHING):
            samples = _drawn_patches(part, offsets, seed)
            denoiser = PatchDenoiser(method, components, seed).fit(samples)
            if denoiser.count_ is not None:
                used[str(name)] = denoiser.count_
        vectors = part[["u", "v"]].to_numpy()
        for k, neighbours in frames_of(part, offsets):
            denoised = denoise_vectors(vectors[k], neighbours, offsets, denoiser)
            data[places[here[k]]] = denoised
    _logger.info("denoised with %s, components %s", method, used)
    out = alike(signal, data=data, without=("u_std", "v_std"))
    done = {"method": str(method), "radius": radius, "components": used}
    record.write(out, "displacement", record.read_node(signal, "displacement") | {"denoised": done})
    return out


def _drawn_patches(part: pd.DataFrame, offsets: np.ndarray, seed: int | None) -> np.ndarray:
    """Gather samples of one sublattice, of all its atoms or of so many drawn from every frame."""
    rng = np.random.default_rng(seed)
    share, drawn = min(1.0, MOST_SAMPLES / len(part)), []
    vectors = part[["u", "v"]].to_numpy()
    for rows, neighbours in frames_of(part, offsets):
        samples = patches(vectors[rows], neighbours, offsets)
        many = int(np.ceil(share * len(samples)))
        chosen = slice(None) if share == 1 else rng.permutation(len(samples))[:many]
        drawn.append(samples[chosen])
    return np.concatenate(drawn)


def neighbourhoods(signal: AtomDisplacements, radius: int) -> Signal1D:
    """Vectors of each atom and its neighbours; as ``AtomDisplacements.neighbourhoods``."""
    check_radius(radius)
    rows = signal.vector_rows()
    offsets = square_offsets(radius)
    samples = patches(rows[["u", "v"]].to_numpy(), neighbours_of(rows, offsets), offsets)
    flat = samples.reshape(len(samples), -1)
    axes = [
        atom_axis(rows.index.to_numpy()),
        {"name": "neighbour component", "size": flat.shape[1], "navigate": False},
    ]
    return like(signal, flat, axes, "", {})


def check_radius(radius: object, least: int = 1) -> None:
    """Refuse what is no number of lattice steps."""
    if isinstance(radius, bool) or not isinstance(radius, (int, np.integer)) or radius < least:
        raise ValueError(
            f"radius must be a whole number of lattice steps, at least {least}, got {radius!r}; 2 "
            "takes in 24 neighbours."
        )


def _check_method(method: Any) -> None:
    if isinstance(method, str):
        check_choice(method, get_args(Denoising), "method")
    elif not all(hasattr(method, name) for name in ("fit_transform", "inverse_transform")):
        raise TypeError(
            f"method must be one of {get_args(Denoising)} or a scikit-learn transformer with "
            f"fit_transform and inverse_transform, got {method!r}."
        )


def _check_components(components: Any, features: int) -> None:
    if components is None:
        return
    whole = isinstance(components, (int, np.integer)) and not isinstance(components, bool)
    share = isinstance(components, float) and 0 < components < 1
    if not share and not (whole and 1 <= components < features):
        raise ValueError(
            f"components must be a whole number from 1 to {features - 1}, a share of the variance "
            f"between 0 and 1, or None for cross-validation, got {components!r}."
        )
