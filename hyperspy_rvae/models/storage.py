"""Weights of a network as plain arrays and as a file, and back with no trust in what comes back."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hyperspy_rvae.models import checks, torch_files
from hyperspy_rvae.models.alignment import Alignment
from hyperspy_rvae.models.convolutional import WIDTHS, left_over
from hyperspy_rvae.models.ensemble import Others
from hyperspy_rvae.models.inference import AnyNetwork
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.nets import HIDDEN, Network
from hyperspy_rvae.models.steerable.nets import SteerableNetwork

_MOST_NUMBERS = 2**26  # 256 MB; far above any window that a subimage could have
_LOWEST_BAND = 0.1  # radians per pixel
_MOST_CELLS = 1000
_FILE_KEYS = {"configuration", "weights"}
_MODEL_FILE = "a file that RVAE.save wrote"


def to_arrays(network: AnyNetwork) -> dict[str, np.ndarray]:
    """Weights by name, each of at least one dimension."""
    return {name: value.numpy(force=True).copy() for name, value in network.state_dict().items()}


def ensemble_to_arrays(first: AnyNetwork, others: Others) -> dict[str, np.ndarray]:
    """Weights of all models by name; those of all but the first start with ``models.1.`` etc."""
    named = to_arrays(first)
    for k, (network, alignment) in enumerate(others, 1):
        named |= {f"models.{k}.{name}": value for name, value in to_arrays(network).items()}
        aligning = alignment._asdict().items()
        named |= {f"models.{k}.alignment.{name}": value for name, value in aligning}
    return named


def ensemble_from_arrays(
    build: Callable[[Mapping[str, Any]], AnyNetwork], count: int, weights: Mapping[str, Any]
) -> tuple[AnyNetwork, Others]:
    """Networks that `build` makes of their weights, as many as there should be.

    Raises
    ------
    ValueError
        As for `from_arrays`, or if the alignments don't fit.
    """
    if not isinstance(weights, Mapping):
        raise ValueError(_unfit(f"they must be arrays by name, got {weights!r:.40}"))
    first = build({name: value for name, value in weights.items() if not _models(name, 1, count)})
    others: Others = []
    for k in range(1, count):
        start = f"models.{k}."
        own = {name[len(start) :]: weights[name] for name in weights if _models(name, k, k + 1)}
        aligning = {
            name.removeprefix("alignment."): own.pop(name)
            for name in list(own)
            if name.startswith("alignment.")
        }
        others.append((build(own), _alignment(aligning, first)))
    return first, others


def from_arrays(
    decoder: str,
    encoder: str,
    window: tuple[int, int],
    space: LatentSpace,
    context: int,
    channels: int,
    weights: Mapping[str, Any],
) -> AnyNetwork:
    """Network of that kind, window, latents, context's width and channels, with these weights.

    Raises
    ------
    ValueError
        If a weight is missing, too many, of another shape or not finite. What is allocated is of
        the size of the weights, whatever the configuration asks for.
    """
    network: AnyNetwork
    if decoder == "steerable":
        network = _steerable(window, space, context, channels, weights)
    else:
        network = _spatial(encoder, window, space, context, channels, weights)
    expected = network.state_dict()
    if set(weights) != set(expected):
        odd = sorted(map(str, set(weights) ^ set(expected)))
        raise ValueError(_unfit(f"missing or unknown weights: {', '.join(odd[:5])}"))
    state = {name: _tensor(name, weights[name], like) for name, like in expected.items()}
    for name in {"scale", "noise_variance", "gain", "inflation", "unit"} & set(state):
        if not bool((state[name] > 0).all()):
            raise ValueError(_unfit(f"{name} must be positive, got {state[name].tolist()}"))
    for name in ("location", "scale"):
        if float(state[name].abs().max()) > checks.LARGEST_PIXEL:
            raise ValueError(
                _unfit(f"{name} must be at most {checks.LARGEST_PIXEL:g}, as pixels are")
            )
    network.load_state_dict(state)
    return network.eval()


def write_file(
    path: str | os.PathLike[str],
    configuration: str,
    weights: Mapping[str, np.ndarray],
    overwrite: bool,
) -> None:
    """Write a model that ``torch.load(path, weights_only=True)`` reads, whole or not at all."""
    if Path(path).exists() and not overwrite:
        raise FileExistsError(
            f"{os.fspath(path)!r} is there already; set overwrite=True or name another"
        )
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    torch_files.write(path, {"configuration": configuration, "weights": tensors})


def read_file(path: str | os.PathLike[str]) -> tuple[str, dict[str, np.ndarray]]:
    """Read configuration and weights; no code in the file is run."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no model file at {os.fspath(path)!r}")
    found = torch_files.read(path, _MODEL_FILE)
    if set(found) != _FILE_KEYS:
        raise ValueError(torch_files.foreign(path, _MODEL_FILE, "it holds something else"))
    tensors = found["weights"]
    if not isinstance(tensors, dict) or not all(map(_is_weight, tensors.values())):
        raise ValueError(torch_files.foreign(path, _MODEL_FILE, "its weights are no plain tensors"))
    return found["configuration"], {name: value.numpy() for name, value in tensors.items()}


def _spatial(
    encoder: str,
    window: tuple[int, int],
    space: LatentSpace,
    context: int,
    channels: int,
    weights: Mapping[str, Any],
) -> Network:
    pixels = channels * math.prod(window)
    if HIDDEN * pixels > _MOST_NUMBERS:  # not all weights grow with them, but what is read does
        most = _MOST_NUMBERS // HIDDEN
        raise ValueError(_unfit(f"a window must have at most {most} pixels, got {pixels}"))
    first: dict[str, tuple[int, ...]] = {"encoder.first.weight": (HIDDEN, pixels)}
    if encoder == "conv":
        first = {
            "encoder.first.layers.0.weight": (WIDTHS[0], channels, 3, 3),
            "encoder.first.dense.weight": (HIDDEN, left_over(*window)),
        }
    others = {
        "encoder.second.weight": (HIDDEN, HIDDEN + context),
        "decoder.content.weight": (HIDDEN, space.content + context),
    }
    _check_sizes(first | others | _level(context, space), weights)
    return Network(window, space, context, channels, encoder)


def _steerable(
    window: tuple[int, int],
    space: LatentSpace,
    condition: int,
    channels: int,
    weights: Mapping[str, Any],
) -> SteerableNetwork:
    _check_sizes(
        {
            "encoder.third.weight": (HIDDEN, HIDDEN + space.classes + condition),
            "decoder.0.weight": (HIDDEN, space.content + space.classes + condition),
            "gain": (channels,),
            **_level(space.classes + condition, space),
        },
        weights,
    )
    try:
        checks.check_decoder("steerable", window)
    except ValueError as error:
        raise ValueError(_unfit(str(error))) from error
    band = float(_tensor("band", weights.get("band"), torch.zeros(1, dtype=torch.float64)))
    sides = _tensor("sides", weights.get("sides"), torch.zeros(2))
    if tuple(sides.tolist()) != window:
        raise ValueError(_unfit(f"sides must be {window}, got {sides.tolist()}"))
    if not _LOWEST_BAND <= band <= math.pi:
        raise ValueError(_unfit(f"band must be between {_LOWEST_BAND} and pi, got {band}"))
    return SteerableNetwork(window, space, band, condition, channels)


def _level(context: int, space: LatentSpace) -> dict[str, tuple[int, ...]]:
    return {"level.location": (context, space.content)} if context else {}


def _models(name: Any, first: int, end: int) -> bool:
    # Whether a weight belongs to one of these models.
    start, _, rest = str(name).removeprefix("models.").partition(".")
    number = int(start) if start.isdecimal() and len(start) < 9 else -1
    return str(name) == f"models.{number}.{rest}" and first <= number < end


def _alignment(given: Mapping[str, Any], first: AnyNetwork) -> Alignment:
    content = first.space.content
    told = content + first.context
    if set(given) != set(Alignment._fields):
        raise ValueError(_unfit(f"an alignment has {Alignment._fields}, got {sorted(given)}"))
    cells, centres = (math.prod(_shape(given[name])[:1]) for name in ("cells", "centres"))
    if not 1 <= min(cells, centres) <= max(cells, centres) <= _MOST_CELLS:
        raise ValueError(
            _unfit(f"an alignment has 1 to {_MOST_CELLS} cells, got {cells}, {centres}")
        )
    shapes = {
        "cells": (cells, told),
        "turn": (cells,),
        "growth": (cells,),
        "move": (cells, 2),
        "centres": (centres, told),
        "width": (1,),
        "weights": (centres + told + 1, content),
    }
    arrays = {
        name: _tensor(name, given[name], torch.zeros(shape, dtype=torch.float64)).numpy()
        for name, shape in shapes.items()
    }
    if not arrays["width"] > 0:
        raise ValueError(_unfit(f"width must be positive, got {arrays['width'][0]}"))
    return Alignment(**arrays)


def _check_sizes(needed: dict[str, tuple[int, ...]], weights: Mapping[str, Any]) -> None:
    # These grow with what the configuration says; the rest of a network does not.
    for name, shape in needed.items():
        given = _shape(weights.get(name))
        if given != shape:
            raise ValueError(_unfit(f"{name} must be of shape {shape}, got {given}"))
        if math.prod(shape) > _MOST_NUMBERS:
            raise ValueError(_unfit(f"{name} must hold at most {_MOST_NUMBERS} numbers"))


def _shape(values: Any) -> tuple[int, ...]:
    return tuple(getattr(values, "shape", ()))


def _tensor(name: str, values: Any, like: torch.Tensor) -> torch.Tensor:
    if _shape(values) != like.shape:
        raise ValueError(
            _unfit(f"{name} must be of shape {tuple(like.shape)}, got {_shape(values)}")
        )
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise ValueError(_unfit(f"{name} must hold real numbers, got {array.dtype}"))
    with np.errstate(over="ignore"):
        tensor = torch.from_numpy(array.astype(like.numpy(force=True).dtype))
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(_unfit(f"{name} must hold finite numbers"))
    return tensor


def _is_weight(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _unfit(why: str) -> str:
    return f"the weights don't fit the model's configuration: {why}; save the model again, or refit"
