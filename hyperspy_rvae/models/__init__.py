"""How subimages vary: invariant variational autoencoders with scikit-learn's manners.

Arrays in, arrays out. This room alone knows of torch, and it knows of no other room.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperspy_rvae.models.rvae import RVAE

__all__ = ["RVAE"]


def __getattr__(name: str) -> Any:
    # Torch loads with the first model, and not for what has none.
    if name == "RVAE":
        return importlib.import_module(f"{__name__}.rvae").RVAE
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
