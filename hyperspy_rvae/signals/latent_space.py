"""Two latents of every atom against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import beside
from hyperspy_rvae.signals.manifold import idle_among, reaching, say_idle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.latents import AtomLatents


def draw_latent_space(
    latents: AtomLatents,
    column: str | None,
    names: tuple[str, str] | None,
    ax: Axes | None,
    options: dict[str, Any],
) -> Axes:
    """Draw latents as points; as ``AtomLatents.plot_latent_space``."""
    from hyperspy_rvae.plotting.latent_space import plot_latent_space

    table = _table(latents)
    if names is None:
        content = [name for name in latents.columns if not name.endswith("_std")]
        names = (reaching(table, content) * 2)[:2]  # a single one against itself
    if column is None:
        column = _labels(latents, table)
    wanted = [*names, *([] if column is None else [column])]
    missing = [name for name in wanted if name not in table]
    if missing or len(names) != 2:
        raise ValueError(
            f"two latents and at most one column are needed, got {wanted}; there are "
            f"{', '.join(table)}."
        )
    x, y = (table[name].to_numpy() for name in names)
    colours = None if column is None else table[column].to_numpy()
    points = np.stack([x, y], 1)
    drawn = plot_latent_space(points, colours, column, names=names, ax=ax, **options)
    return say_idle(drawn, latents, idle_among(latents, table, names))


def name_classes(latents: AtomLatents, table: pd.DataFrame) -> pd.DataFrame:
    """Put the names of the classes, as far as there are any, in place of their numbers."""
    names = np.asarray(record.read(latents, "classes"))
    if names.ndim != 1 or "class" not in latents.columns:
        return table
    place = table["class"].to_numpy()
    if not np.isin(place, np.arange(len(names))).all():
        return table  # something was done to the numbers
    return table.assign(**{"class": names[place.astype(int)]})


def _table(latents: AtomLatents) -> pd.DataFrame:
    if record.has_table(latents):
        return latents.to_dataframe()
    ids = record.atom_ids(latents)
    table = beside(pd.DataFrame(index=ids), np.asarray(latents.data), latents.columns)
    return name_classes(latents, table)


def _labels(latents: AtomLatents, table: pd.DataFrame) -> str | None:
    known = latents.model.condition_
    if "class" in latents.columns:
        return "class"
    if known is None or not known.names or known.names[0] not in table:
        return None
    return known.names[0]
