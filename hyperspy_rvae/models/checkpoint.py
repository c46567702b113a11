"""The state of a training on disk, from which it goes on after it was stopped."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Generator
from torch.optim import Adam

import hyperspy_rvae
from hyperspy_rvae.models import torch_files

_KEYS = {"training", "state"}
_LEAST_WAIT = 20  # times as long as writing took, so that a twentieth of the time goes there


class Stateful(Protocol):
    """What changes in a training, as a dict of plain values and tensors and back."""

    def state_dict(self) -> dict[str, Any]:
        """Give the state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take a state that `state_dict` gave."""


class Checkpoint:
    """One training's file.

    It is written beside itself and then renamed, so that it is whole at any time.

    Parameters
    ----------
    path
        Of the file, which need not be there.
    training
        What tells this training from others, plain values by name.
    """

    def __init__(self, path: str | os.PathLike[str], training: Mapping[str, Any]) -> None:
        self.path, self.training = Path(path), dict(training)
        self._due = 0.0

    def following(self) -> Checkpoint:
        """Give a training that follows this one a file of its own, the same name and ``.next``.

        Raises
        ------
        ValueError
            If there is such a file, and it is of another training.
        """
        after = Checkpoint(f"{self.path}.next", {**self.training, "follows": "another"})
        if after.path.exists():
            after._check_same(_read(after.path)["training"])
        return after

    def resume(self, parts: Mapping[str, Stateful | Generator]) -> bool:
        """Bring every part to where the file has it; False where there is no file.

        Raises
        ------
        ValueError
            If the file is of another training; it says what differs.
        """
        if not self.path.exists():
            return False
        found = _read(self.path)
        self._check_same(found["training"])
        try:
            for name, part in parts.items():
                _put(part, found["state"][name])
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ValueError(
                f"the checkpoint {str(self.path)!r} is damaged ({error}); delete it and start anew"
            ) from error
        return True

    def keep(self, parts: Mapping[str, Stateful | Generator], now: bool = False) -> None:
        """Write the state of every part, if it is time to, or `now`."""
        start = time.monotonic()
        if start < self._due and not now:
            return
        state = {name: _take(part) for name, part in parts.items()}
        torch_files.write(self.path, {"training": self.training, "state": state})
        end = time.monotonic()
        self._due = end + _LEAST_WAIT * (end - start)

    def _check_same(self, found: dict[str, Any]) -> None:
        names = [*self.training, *(name for name in found if name not in self.training)]
        differing = [
            f"{name} (there {found.get(name)!r:.60}, here {self.training.get(name)!r:.60})"
            for name in names
            if found.get(name) != self.training.get(name)
        ]
        if differing:
            raise ValueError(
                f"the checkpoint {str(self.path)!r} is of another training; these differ: "
                f"{', '.join(differing)}. Go on with the same data and parameters, name another "
                "file, or delete this one to start anew"
            )


def open_checkpoint(
    path: str | os.PathLike[str] | None,
    parameters: Mapping[str, Any],
    seed: int,
    window: tuple[int, int],
    data: Mapping[str, np.ndarray],
) -> Checkpoint | None:
    """Checkpoint of a training with these parameters on these data; None without a path.

    Parameters
    ----------
    path
        Of the file.
    parameters
        Of the estimator. On which device it trains is not compared.
    seed
        That is used.
    window
        Height and width.
    data
        Arrays that are learned from, by name; their digests are compared.
    """
    if path is None:
        return None
    described = {name: _plain(value) for name, value in parameters.items() if name != "device"}
    return Checkpoint(
        path,
        {
            "hyperspy_rvae": hyperspy_rvae.__version__,
            **described,
            "seed": seed,
            "window": list(window),
            **{name: _digest(values) for name, values in data.items()},
        },
    )


def settle_seed(seed: int | None, path: str | os.PathLike[str] | None) -> int:
    """Seed as given, or else the one of the training on disk, or else a new one.

    Raises
    ------
    ValueError
        If the path is a file, but no checkpoint.
    FileNotFoundError, IsADirectoryError
        If it has no folder, or is one.
    """
    found: Any = None
    if path is not None:
        _check_path(path)
        if Path(path).exists():
            found = _read(Path(path))["training"].get("seed")
    if seed is not None:
        return int(seed)
    return found if type(found) is int else secrets.randbits(32)


def _check_path(path: Any) -> None:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"checkpoint must be the path of a file, got {path!r:.60}")
    if Path(path).is_dir():
        raise IsADirectoryError(f"checkpoint must be a file, and {os.fspath(path)!r} is a folder")
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"the folder of checkpoint={os.fspath(path)!r} must be there")


def _read(path: Path) -> dict[str, Any]:
    found = torch_files.read(path, "a checkpoint")
    if set(found) != _KEYS or not all(isinstance(found[key], dict) for key in _KEYS):
        raise ValueError(
            f"{str(path)!r} must be a checkpoint, and it holds something else; name another file"
        )
    return found


def _take(part: Stateful | Generator) -> Any:
    return part.get_state() if isinstance(part, Generator) else part.state_dict()


def _put(part: Stateful | Generator, state: Any) -> None:
    if isinstance(part, Generator):
        part.set_state(state)
    else:
        part.load_state_dict(state)
    if isinstance(part, Adam):
        _check_moments(part)


def _check_moments(optimiser: Adam) -> None:
    # Adam's loops trust these, outside of Python.
    for parameter, found in optimiser.state.items():
        shapes = {name: getattr(value, "shape", None) for name, value in found.items()}
        needed = {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
        if shapes != needed:
            raise ValueError("its moments are not those of the weights")


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def _digest(values: np.ndarray) -> str:
    digest = hashlib.sha256(f"{values.shape} {values.dtype.str} ".encode())
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:16]
