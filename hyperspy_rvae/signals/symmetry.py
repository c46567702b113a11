"""Symmetry of the environments that a model has found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.conditions import known_condition

if TYPE_CHECKING:
    from hyperspy_rvae.signals.latents import AtomLatents


def symmetry_of(latents: AtomLatents) -> pd.Series:
    """Order of each atom's environment; as ``AtomLatents.symmetry``."""
    model, ids = latents.model, record.atom_ids(latents)
    values = pd.DataFrame(np.asarray(latents.data), index=ids, columns=latents.columns)
    missing = [name for name in model.latent_names_ if name not in values]
    if missing:
        raise ValueError(
            f"the latents {', '.join(missing)} were cut off; ask for the symmetry before slicing "
            "them."
        )
    condition = known_condition(latents, model, None)
    orders = model.symmetry(values[list(model.latent_names_)].to_numpy(), condition=condition)
    return pd.Series(orders, index=ids, name="symmetry")


def commonest_symmetry(latents: AtomLatents) -> int:
    """Order by which to colour angles: 1 where the model tells them on the whole circle."""
    if not isinstance(record.read(latents, "model"), dict):
        return 1
    model = latents.model
    if model.rotation_symmetry == "auto" and set(model.latent_names_) <= set(latents.columns):
        return int(np.bincount(symmetry_of(latents)).argmax())
    return model.rotation_symmetry if isinstance(model.rotation_symmetry, int) else 1
