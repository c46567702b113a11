"""Weights of a network as plain arrays and as a file, and back with no trust in what comes back."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hyperspy_rvae.models import checks, torch_files
from hyperspy_rvae.models.inference import AnyNetwork
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.nets import HIDDEN, Network
from hyperspy_rvae.models.steerable.nets import SteerableNetwork

_MOST_NUMBERS = 2**28  # 1 GB; far above any window that a subimage could have
_LOWEST_BAND = 0.1  # radians per pixel
_FILE_KEYS = {"configuration", "weights"}
_MODEL_FILE = "a file that RVAE.save wrote"


def to_arrays(network: AnyNetwork) -> dict[str, np.ndarray]:
    """Weights by name, each of at least one dimension."""
    return {name: value.numpy(force=True).copy() for name, value in network.state_dict().items()}


def from_arrays(
    decoder: str,
    window: tuple[int, int],
    space: LatentSpace,
    condition: int,
    weights: Mapping[str, Any],
) -> AnyNetwork:
    """Network of that decoder, window, latents and width of the condition, with these weights.

    Raises
    ------
    ValueError
        If a weight is missing, too many, of another shape or not finite. What is allocated is of
        the size of the weights, whatever the configuration asks for.
    """
    network: AnyNetwork
    if decoder == "steerable":
        network = _steerable(window, space, condition, weights)
    else:
        _check_sizes(
            {
                "encoder.first.weight": (HIDDEN, math.prod(window)),
                "encoder.second.weight": (HIDDEN, HIDDEN + condition),
                "decoder.content.weight": (HIDDEN, space.content + condition),
            },
            weights,
        )
        network = Network(window, space, condition)
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


def _steerable(
    window: tuple[int, int], space: LatentSpace, condition: int, weights: Mapping[str, Any]
) -> SteerableNetwork:
    _check_sizes(
        {
            "encoder.third.weight": (HIDDEN, HIDDEN + space.classes + condition),
            "decoder.0.weight": (HIDDEN, space.content + space.classes + condition),
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
    return SteerableNetwork(window, space, band, condition)


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


def _is_weight(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _unfit(why: str) -> str:
    return f"the weights don't fit the model's configuration: {why}; save the model again, or refit"
