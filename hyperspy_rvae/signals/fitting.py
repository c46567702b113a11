"""Fitting and encoding: from subimages to latents, in memory or block by block."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.diagnostics import ProgressBar
from tqdm.auto import tqdm

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import atom_axis, like
from hyperspy_rvae.signals.frames import wants_progress

if TYPE_CHECKING:
    from hyperspy_rvae.models import RVAE
    from hyperspy_rvae.signals.latents import AtomLatents
    from hyperspy_rvae.signals.subimages import AtomSubimages

# One forward pass at a time: torch uses all cores for it, and dask's threads would fight for them.
_forward = threading.Lock()


def fit_and_encode(
    subimages: AtomSubimages,
    parameters: dict[str, Any],
    max_subimages: int | None,
    show_progressbar: bool | None,
) -> AtomLatents:
    """Fit a model with the given parameters to (a share of) the subimages and encode all."""
    from hyperspy_rvae.models import RVAE
    from hyperspy_rvae.models.checks import check_parameters

    show = wants_progress(show_progressbar)
    model = RVAE(**parameters)
    check_parameters(model.get_params(deep=False))
    windows = windows_of(subimages)
    check_count(len(windows), max_subimages)
    windows = training_share(windows, max_subimages, model.seed, show)
    with tqdm(
        total=parameters.get("epochs"), desc="training", unit="epoch", disable=not show
    ) as bar:

        def advance(epoch: int, record: dict[str, float]) -> None:
            bar.set_postfix({"loss": f"{record['loss']:.2f}"}, refresh=False)
            bar.update()

        model.fit(windows, callback=advance)
    return encode(subimages, model)


def encode(subimages: AtomSubimages, model: RVAE) -> AtomLatents:
    """Latents of all subimages; as ``AtomSubimages.encode``."""
    from hyperspy_rvae.models import RVAE

    if not isinstance(model, RVAE):
        raise TypeError(
            f"model must be a fitted hyperspy_rvae.models.RVAE, got {type(model).__name__}."
        )
    windows = windows_of(subimages)
    described = {"configuration": model.configuration(), "weights": model.weights()}
    if windows.shape[1:] != tuple(model.window_shape_):
        raise ValueError(
            f"the subimages are {windows.shape[2]} x {windows.shape[1]} pixels and the model was "
            f"fitted to {model.window_shape_[1]} x {model.window_shape_[0]} (x, y); cut windows "
            "of that size."
        )
    names = latent_columns(model)
    return like(
        subimages,
        encode_blocks(model, windows),
        [
            atom_axis(record.atom_ids(subimages)),
            {"name": "latent", "size": len(names), "navigate": False},
        ],
        "atom_latents",
        {"model": described, "latents": names},
    )


def latent_columns(model: RVAE) -> list[str]:
    """Names of the latents, then of their standard deviations."""
    return [*model.latent_names_, *(f"{name}_std" for name in model.latent_names_)]


def encode_blocks(model: RVAE, windows: np.ndarray | da.Array) -> np.ndarray | da.Array:
    """Latents and their standard deviations, shape ``(n, 2 * latents)``, float32."""
    if not isinstance(windows, da.Array):
        return encode_block(windows, model)
    return windows.rechunk({1: -1, 2: -1}).map_blocks(
        encode_block,
        model,
        drop_axis=(1, 2),
        new_axis=1,
        chunks=(windows.chunks[0], (len(latent_columns(model)),)),
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )


def encode_block(windows: np.ndarray, model: RVAE) -> np.ndarray:
    """Latents and their standard deviations of windows in memory."""
    if not len(windows):
        return np.empty((0, len(latent_columns(model))), np.float32)
    with _forward:
        return np.concatenate(model.transform(windows, return_std=True), axis=1).astype(np.float32)


def windows_of(subimages: AtomSubimages) -> np.ndarray | da.Array:
    """Give the windows as ``(n, height, width)``."""
    record.atom_ids(subimages)
    return subimages.data


def check_count(there: int, most: int | None) -> None:
    """Refuse too few subimages before any of them is cut."""
    from hyperspy_rvae.models.checks import FEWEST_SUBIMAGES

    whole = isinstance(most, (int, np.integer)) and not isinstance(most, bool)
    if most is not None and not (whole and most >= FEWEST_SUBIMAGES):
        raise ValueError(
            f"max_subimages must be a whole number, at least {FEWEST_SUBIMAGES}, got {most!r}."
        )
    if there < FEWEST_SUBIMAGES:
        raise ValueError(
            f"at least {FEWEST_SUBIMAGES} subimages are needed to learn from, got {there}; "
            "hundreds are better: take more atoms or frames."
        )


def training_share(
    windows: np.ndarray | da.Array, most: int | None, seed: int | None, show_progress: bool
) -> np.ndarray:
    """Windows to train on, in memory: all, or `most` of them drawn without replacement."""
    if most is not None and most < len(windows):
        drawn = np.random.default_rng(seed).choice(len(windows), most, replace=False)
        windows = windows[np.sort(drawn)]
    if not isinstance(windows, da.Array):
        return windows
    with ProgressBar() if show_progress else contextlib.nullcontext():
        return windows.compute()
