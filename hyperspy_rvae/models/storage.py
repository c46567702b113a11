"""Weights of a network as plain arrays and as a file, and back with no trust in what comes back."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hyperspy_rvae.models import checks
from hyperspy_rvae.models.ensemble import Others
from hyperspy_rvae.models.gauge import Gauge
from hyperspy_rvae.models.inference import AnyNetwork
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.nets import HIDDEN, Network
from hyperspy_rvae.models.steerable.nets import SteerableNetwork

_MOST_NUMBERS = 2**28  # 1 GB; far above any window that a subimage could have
_LOWEST_BAND = 0.1  # radians per pixel
_MOST_CELLS = 1000
_FILE_KEYS = {"configuration", "weights"}


def to_arrays(network: AnyNetwork) -> dict[str, np.ndarray]:
    """Weights by name, each of at least one dimension."""
    return {name: value.numpy(force=True).copy() for name, value in network.state_dict().items()}


def ensemble_to_arrays(first: AnyNetwork, others: Others) -> dict[str, np.ndarray]:
    """Weights of all models by name; those of all but the first start with ``models.1.`` etc."""
    named = to_arrays(first)
    for k, (network, gauge) in enumerate(others, 1):
        named |= {f"models.{k}.{name}": value for name, value in to_arrays(network).items()}
        named |= {f"models.{k}.gauge.{name}": value for name, value in gauge._asdict().items()}
    return named


def ensemble_from_arrays(
    build: Callable[[Mapping[str, Any]], AnyNetwork], count: int, weights: Mapping[str, Any]
) -> tuple[AnyNetwork, Others]:
    """Networks that `build` makes of their weights, as many as there should be.

    Raises
    ------
    ValueError
        As for `from_arrays`, or if the gauges don't fit.
    """
    first = build({name: value for name, value in weights.items() if not _models(name, 1, count)})
    others: Others = []
    for k in range(1, count):
        start = f"models.{k}."
        own = {name[len(start) :]: weights[name] for name in weights if _models(name, k, k + 1)}
        gauge = {name[6:]: own.pop(name) for name in list(own) if name.startswith("gauge.")}
        others.append((build(own), _gauge(gauge, first.space.content)))
    return first, others


def from_arrays(
    decoder: str,
    window: tuple[int, int],
    channels: int,
    space: LatentSpace,
    weights: Mapping[str, Any],
) -> AnyNetwork:
    """Network of that decoder, window, channels and latents, with these weights.

    Raises
    ------
    ValueError
        If a weight is missing, too many, of another shape or not finite. What is allocated is of
        the size of the weights, whatever the configuration asks for.
    """
    network: AnyNetwork
    if decoder == "steerable":
        network = _steerable(window, channels, space, weights)
    else:
        _check_sizes(
            {
                "encoder.first.weight": (HIDDEN, channels * math.prod(window)),
                "decoder.content.weight": (HIDDEN, space.content),
            },
            weights,
        )
        network = Network(window, space, channels)
    expected = network.state_dict()
    if set(weights) != set(expected):
        odd = sorted(map(str, set(weights) ^ set(expected)))
        raise ValueError(_unfit(f"missing or unknown weights: {', '.join(odd[:5])}"))
    state = {name: _tensor(name, weights[name], like) for name, like in expected.items()}
    for name in {"scale", "noise_variance", "gain", "inflation"} & set(state):
        if not bool((state[name] > 0).all()):
            raise ValueError(_unfit(f"{name} must be positive, got {state[name].tolist()}"))
    network.load_state_dict(state)
    return network.eval()


def write_file(
    path: str | os.PathLike[str],
    configuration: str,
    weights: Mapping[str, np.ndarray],
    overwrite: bool,
) -> None:
    """Write a model that ``torch.load(path, weights_only=True)`` reads.

    It is written beside `path` first, so that a full disk leaves an older model whole.
    """
    if Path(path).exists() and not overwrite:
        raise FileExistsError(
            f"{os.fspath(path)!r} is there already; set overwrite=True or name another"
        )
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    beside = Path(f"{os.fspath(path)}.part")
    try:
        with beside.open("wb") as file:
            torch.save({"configuration": configuration, "weights": tensors}, file)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_file(path: str | os.PathLike[str]) -> tuple[str, dict[str, np.ndarray]]:
    """Read configuration and weights; no code in the file is run."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no model file at {os.fspath(path)!r}")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file fails in any way
        raise ValueError(_foreign(path, f"torch can't read it ({type(error).__name__})")) from error
    if not isinstance(found, dict) or set(found) != _FILE_KEYS:
        raise ValueError(_foreign(path, "it holds something else"))
    tensors = found["weights"]
    if not isinstance(tensors, dict) or not all(map(_is_plain, tensors.values())):
        raise ValueError(_foreign(path, "its weights are no plain tensors"))
    return found["configuration"], {name: value.numpy() for name, value in tensors.items()}


def _steerable(
    window: tuple[int, int], channels: int, space: LatentSpace, weights: Mapping[str, Any]
) -> SteerableNetwork:
    _check_sizes({"decoder.0.weight": (HIDDEN, space.content), "gain": (channels,)}, weights)
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
    return SteerableNetwork(window, space, band, channels)


def _models(name: Any, first: int, end: int) -> bool:
    # Whether a weight belongs to one of these models.
    start, _, rest = str(name).removeprefix("models.").partition(".")
    number = int(start) if start.isdecimal() and len(start) < 9 else -1
    return str(name) == f"models.{number}.{rest}" and first <= number < end


def _gauge(given: Mapping[str, Any], content: int) -> Gauge:
    if set(given) != set(Gauge._fields):
        raise ValueError(_unfit(f"a gauge has {Gauge._fields}, got {sorted(given)}"))
    cells, centres = (math.prod(_shape(given[name])[:1]) for name in ("cells", "centres"))
    if not 1 <= min(cells, centres) <= max(cells, centres) <= _MOST_CELLS:
        raise ValueError(_unfit(f"a gauge has 1 to {_MOST_CELLS} cells, got {cells}, {centres}"))
    shapes = {
        "cells": (cells, content),
        "turn": (cells,),
        "move": (cells, 2),
        "centres": (centres, content),
        "width": (1,),
        "weights": (centres + content + 1, content),
    }
    arrays = {
        name: _tensor(name, given[name], torch.zeros(shape, dtype=torch.float64)).numpy()
        for name, shape in shapes.items()
    }
    if not arrays["width"] > 0:
        raise ValueError(_unfit(f"width must be positive, got {arrays['width'][0]}"))
    return Gauge(**arrays)


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
    tensor = torch.from_numpy(array.astype(np.float64)).to(like.dtype)
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(_unfit(f"{name} must hold finite numbers"))
    return tensor


def _is_plain(value: Any) -> bool:
    # A view can claim any size, so only what fills its own storage passes.
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and value.dtype in (torch.float32, torch.float64)
        and value.is_contiguous()
    )


def _unfit(why: str) -> str:
    return f"the weights don't fit the model's configuration: {why}; save the model again, or refit"


def _foreign(path: str | os.PathLike[str], why: str) -> str:
    return f"{os.fspath(path)!r} must be a file that RVAE.save wrote, and {why}; refit or find it"
