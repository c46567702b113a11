"""Fitting and encoding: from subimages to latents, in memory or block by block."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from tqdm.auto import tqdm

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import atom_axis, like
from hyperspy_rvae.signals.computing import compute
from hyperspy_rvae.signals.conditions import (
    check_told,
    condition_of,
    count_labels,
    keep,
    known_condition,
    labels_of,
)
from hyperspy_rvae.signals.frames import wants_progress
from hyperspy_rvae.signals.reading import movies_of_windows, naming_frames
from hyperspy_rvae.subimages.stack import take

if TYPE_CHECKING:
    from hyperspy_rvae.models import RVAE
    from hyperspy_rvae.signals.latents import AtomLatents
    from hyperspy_rvae.signals.subimages import AtomSubimages


CLASS = ("class", "class_probability")  # latents that are no numbers with an error


def fit_and_encode(
    subimages: AtomSubimages,
    parameters: dict[str, Any],
    max_subimages: int | None,
    show_progressbar: bool | None,
    condition: Any = None,
    labels: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> AtomLatents:
    """Fit a model with the given parameters to (a share of) the subimages and encode all."""
    from hyperspy_rvae.models import RVAE
    from hyperspy_rvae.models.blocks import draw_beside, drawn
    from hyperspy_rvae.models.checkpoint import settle_seed
    from hyperspy_rvae.models.checks import check_parameters

    show = wants_progress(show_progressbar)
    condition, labels = condition_of(subimages, condition), labels_of(subimages, labels)
    if labels is not None:
        parameters.setdefault("discrete_classes", count_labels(labels))
    model = RVAE(**parameters, max_subimages=max_subimages)
    check_parameters(model.get_params(deep=False))
    model.seed = settle_seed(model.seed, checkpoint)  # the share belongs to it, too
    windows = windows_of(subimages)
    check_count(len(windows))
    share = windows, max_subimages, model.seed
    known, y = draw_beside("condition", condition, *share), draw_beside("labels", labels, *share)
    check_told(condition, known, labels, y, model.discrete_classes)
    rows = drawn(len(windows), max_subimages, model.seed)
    windows = windows if rows is None else take(windows, rows)
    if isinstance(windows, da.Array) and model.buffer_subimages is None:
        with naming_frames(*movies_of_windows(windows)):
            windows = compute([windows], show=show)[0]
    total = None if model.epochs is None else model.epochs * model.n_models
    done: dict[float, int] = {}  # epochs of each model; one that goes on has some behind it
    with tqdm(total=total, desc="training", unit="epoch", disable=not show) as bar:

        def advance(epoch: int, record: dict[str, float]) -> None:
            done[record.get("model", 0)] = epoch + 1
            bar.set_postfix({"loss": f"{record['loss']:.2f}"}, refresh=False)
            bar.update(sum(done.values()) - bar.n)

        with naming_frames(*movies_of_windows(windows)):
            model.fit(windows, y, condition=known, callback=advance, checkpoint=checkpoint)
    latents = encode(subimages, model, condition)
    keep(latents, labels)
    return latents


def encode(subimages: AtomSubimages, model: RVAE, condition: Any = None) -> AtomLatents:
    """Latents of all subimages; as ``AtomSubimages.encode``."""
    from hyperspy_rvae.models import RVAE

    if not isinstance(model, RVAE):
        raise TypeError(
            f"model must be a fitted hyperspy_rvae.models.RVAE, got {type(model).__name__}."
        )
    windows = windows_of(subimages)
    described = {"configuration": model.configuration(), "weights": model.weights()}
    if windows.shape[-2:] != tuple(model.window_shape_):
        raise ValueError(
            f"the subimages are {windows.shape[-1]} x {windows.shape[-2]} pixels and the model was "
            f"fitted to {model.window_shape_[1]} x {model.window_shape_[0]} (x, y); cut windows "
            "of that size."
        )
    channels = windows.shape[1] if windows.ndim == 4 else 1
    if channels != model.n_channels_:
        raise ValueError(
            f"the subimages have {channels} channels and the model was fitted to "
            f"{model.n_channels_}; cut them from as many images by extract_subimages(channels=...)."
        )
    numbers = [name not in CLASS for name in model.latent_names_]
    with_std = [name for name in model.latent_names_ if name not in CLASS]
    names = [*model.latent_names_, *(f"{name}_std" for name in with_std)]
    condition = known_condition(subimages, model, condition)
    values, std = model.transform(windows, return_std=True, condition=condition)
    latents = like(
        subimages,
        _both(values, std[:, numbers]),
        [
            atom_axis(record.atom_ids(subimages)),
            {"name": "latent", "size": len(names), "navigate": False},
        ],
        "atom_latents",
        {"model": described, "latents": names} | _named(model),
    )
    keep(latents, condition)
    return latents


def _named(model: RVAE) -> dict[str, list[str] | list[int]]:
    return {"classes": model.classes_.tolist()} if len(model.classes_) else {}


def _both(values: np.ndarray | da.Array, std: np.ndarray | da.Array) -> np.ndarray | da.Array:
    if isinstance(values, da.Array):
        return da.concatenate([values, std], axis=1).rechunk({1: -1})
    return np.concatenate([values, std], axis=1)


def windows_of(subimages: AtomSubimages) -> np.ndarray | da.Array:
    """Give the windows as ``(n, height, width)``, or ``(n, channels, height, width)``."""
    record.atom_ids(subimages)
    if subimages.data.ndim < 4:
        return subimages.data
    (atom,) = record.navigation_of(subimages)
    place = atom.index_in_array
    return np.moveaxis(subimages.data, place, 0) if place else subimages.data


def check_count(there: int) -> None:
    """Refuse too few subimages before any of them is cut."""
    from hyperspy_rvae.models.checks import FEWEST_SUBIMAGES

    if there < FEWEST_SUBIMAGES:
        raise ValueError(
            f"at least {FEWEST_SUBIMAGES} subimages are needed to learn from, got {there}; "
            "hundreds are better: take more atoms or frames."
        )
