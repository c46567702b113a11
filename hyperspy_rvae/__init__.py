"""Invariant variational autoencoders for atom-resolved STEM, as a HyperSpy extension."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperspy_rvae import data, models
    from hyperspy_rvae.signals import from_atomap

__version__ = "0.1.0"
__all__ = ["__version__", "data", "from_atomap", "models"]

_rooms = {"data", "models"}


def __getattr__(name: str) -> Any:
    # Torch, atomap and HyperSpy load with the first use of what needs them.
    if name in _rooms:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "from_atomap":
        return importlib.import_module(f"{__name__}.signals").from_atomap
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
