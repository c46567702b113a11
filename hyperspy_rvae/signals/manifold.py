"""What a model makes of its content latents, one picture for each thing that it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hyperspy_rvae.signals import record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hyperspy_rvae.models import RVAE
    from hyperspy_rvae.signals.latents import AtomLatents

_MOST = 8  # pictures


def draw_manifolds(
    latents: AtomLatents, size: int, condition: Any, ax: Axes | None, options: dict[str, Any]
) -> Axes | np.ndarray:
    """Draw decoded grids; as ``AtomLatents.plot_manifold``."""
    from hyperspy_rvae.plotting.canvas import row_of_axes
    from hyperspy_rvae.plotting.manifold import plot_manifold

    model = latents.model
    names, across, up, grid = _grid(latents, model, size)
    if ax is not None and condition is None and model.condition_ is not None:
        condition = model.condition_.usual
    idle = [name for name, steps in zip(names, (across, up), strict=False) if not steps.any()]
    pictures = []
    for title, given, kind in _shown(model, condition):
        given = [given] * len(grid) if np.ndim(given) else given
        if "class" in grid:
            grid["class"] = float(kind)
        images = model.inverse_transform(grid.to_numpy(), condition=given)
        images = images.reshape(len(up), len(across), -1, *images.shape[-2:])
        titles = _channel_titles(latents, title, images.shape[2])
        pictures += list(zip(titles, np.moveaxis(images, 2, 0), strict=True))
    if ax is not None:
        pictures = pictures[:1]
    axes = [ax] if len(pictures) == 1 else row_of_axes(len(pictures))
    for place, (title, images) in enumerate(pictures):
        drawn = plot_manifold(images, across, up, names=names, ax=axes[place], **options)
        drawn.set_title(title)
        say_idle(drawn, latents, idle)
    return drawn if len(pictures) == 1 else axes


def reaching(values: pd.DataFrame, names: list[str]) -> list[str]:
    """Names of the content latents, those that vary first."""
    content = [name for name in names if name[0] == "z" and name in values]
    return sorted(content, key=lambda name: np.ptp(values[name]) == 0)


def idle_among(latents: AtomLatents, table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Content latents of these names that have nothing to say: they are 0 for every atom."""
    content = [name for name in dict.fromkeys(names) if name in latents.columns and name[0] == "z"]
    return [name for name in content if not table[name].any()]


def say_idle(ax: Axes, latents: AtomLatents, idle: Sequence[str]) -> Axes:
    """Add to the title which latents, if any, have nothing to say."""
    if idle:
        said = f"{', '.join(idle)} idle: nothing left beside {_told(latents.model)}"
        ax.set_title("\n".join(filter(None, [ax.get_title(), said])), fontsize="medium")
    return ax


def _told(model: RVAE) -> str:
    known = model.condition_
    names = [] if known is None else known.names or ("the condition",)
    return " and ".join([*names, *["class"] * bool(len(model.classes_))])


def _channel_titles(latents: AtomLatents, title: str, count: int) -> list[str]:
    if count == 1:
        return [title]
    names = record.read_node(latents, "window").get("channels")
    known = isinstance(names, list | tuple) and len(names) == count
    names = [str(name) for name in names] if known else [""] * count
    named = [name or f"channel {k}" for k, name in enumerate(names)]
    return [f"{title}, {name}" if title else name for name in named]


def _grid(
    latents: AtomLatents, model: RVAE, size: int
) -> tuple[list[str], np.ndarray, np.ndarray, pd.DataFrame]:
    # Names of two content latents, quantiles of either, and rows of latents for all of both.
    record.atom_ids(latents)
    values = pd.DataFrame(np.asarray(latents.data), columns=latents.columns)
    content = [name for name in model.latent_names_ if name[0] == "z"]
    missing = [name for name in content if name not in values]
    if missing:
        raise ValueError(
            f"the content latents {', '.join(missing)} were cut off; plot before slicing them."
        )
    names = reaching(values, content)[:2]
    steps = np.linspace(0.01, 0.99, size)
    across = values[names[0]].quantile(steps).to_numpy()
    up = values[names[1]].quantile(steps).to_numpy() if len(names) > 1 else np.zeros(1)
    grid = pd.DataFrame(0.0, index=range(len(up) * size), columns=list(model.latent_names_))
    if "scale" in grid:
        grid["scale"] = 1.0
    grid[content] = values[content].median().to_numpy()
    grid[names[0]] = np.tile(across, len(up))
    if len(names) > 1:
        grid[names[1]] = np.repeat(up, size)
    return names, across, up, grid


def _shown(model: RVAE, condition: Any) -> list[tuple[str, Any, int]]:
    # Titles, and condition and class of each picture.
    known = model.condition_
    if len(model.classes_):
        usual = known.usual if known is not None and condition is None else condition
        return [(f"class: {name}", usual, k) for k, name in enumerate(model.classes_[:_MOST])]
    if known is None or condition is not None:
        return [("", condition, 0)]
    name = known.names[0] if known.names else "condition"
    if hasattr(known, "labels"):
        return [(f"{name}: {label}", label, 0) for label in known.labels[:_MOST]]
    if known.width > 1:
        return [("", known.location, 0)]
    steps = [known.location[0] + k * known.scale[0] for k in (-1, 0, 1)]
    return [(f"{name}: {value:.3g}", value, 0) for value in steps]
