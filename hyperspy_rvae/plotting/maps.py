"""One value per atom, in real space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap

from hyperspy_rvae.plotting.canvas import GROUPS, NO_GROUP, Pixel, image_axes

CYCLIC = "twilight_shifted"
SEQUENTIAL = "viridis"
NONE, MISSING = "none", ("", "-1", "none")  # what a missing label is called, and comes as
UNITS = {
    "angle": "rad",
    "shift_x": "px",
    "shift_y": "px",
    "rotation": "rad",
    "sigma_x": "px",
    "sigma_y": "px",
}


def plot_map(
    positions: np.ndarray,
    values: np.ndarray,
    name: str,
    *,
    symmetry: int = 1,
    units: str | None = None,
    image: np.ndarray | None = None,
    pixel: Pixel = (1.0, 1.0, ""),
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Scatter values at their atoms' places.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    values
        Shape ``(n,)``: numbers, or text for one colour a label. Up to ten different whole numbers
        are labels, too. Where a label is missing (empty text, None or -1) it is grey.
    name
        What they are; ``angle`` gets cyclic colours from -pi to pi.
    symmetry
        Angles are shown modulo 2 pi over this, from -pi to pi over this.
    units
        Units of the values; if not given, those usual for `name`.
    image
        Image to draw below, shape ``(height, width)``.
    pixel
        Width and height of a pixel, and their units, for the scale bar.
    ax
        Axes to draw on; new ones if not given.
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.scatter`.

    Returns
    -------
    axes
        The axes drawn on.
    """
    ax = image_axes(ax, image, positions, pixel)
    area = {"s": marker_area(ax, positions)}
    scatter_values(ax, positions, values, name, symmetry=symmetry, units=units, **(area | kwargs))
    return ax


def scatter_values(
    ax: Axes,
    positions: np.ndarray,
    values: np.ndarray,
    name: str,
    *,
    symmetry: int = 1,
    units: str | None = None,
    **kwargs: Any,
) -> None:
    """Scatter points in the colours of their values, with a legend of labels or a colour bar.

    Parameters are those of `plot_map`.
    """
    x, y = positions.T
    options: dict[str, Any] = {"linewidths": 0}
    if _are_labels(values):
        labels, codes = _numbered(values)
        colours: list[Any] = [GROUPS(k % GROUPS.N) for k in range(len(labels))]
        if labels[-1] == NONE:
            colours[-1] = NO_GROUP
        options |= {"cmap": ListedColormap(colours), "vmin": 0, "vmax": len(labels) - 1}
        drawn = ax.scatter(x, y, c=codes, **(options | kwargs))
        handles = drawn.legend_elements(num=list(range(len(labels))))[0]
        ax.legend(handles, labels, title=name, loc="upper left", bbox_to_anchor=(1.02, 1.0))
        return
    if name == "angle":
        values = np.angle(np.exp(1j * symmetry * values)) / symmetry
        options |= {"cmap": CYCLIC, "vmin": -np.pi / symmetry, "vmax": np.pi / symmetry}
    else:
        low, high = np.nanpercentile(values, [1, 99]) if np.isfinite(values).any() else (0.0, 1.0)
        options |= {"cmap": SEQUENTIAL, "vmin": low, "vmax": high}
    drawn = ax.scatter(x, y, c=values, **(options | kwargs))
    usual = UNITS.get(name.removesuffix("_std"))
    bar = _add_colour_bar(ax, drawn, name, usual if units is None else units)
    if name == "angle":
        over = "" if symmetry == 1 else f"/{symmetry}"
        ticks = np.array([-1, -0.5, 0, 0.5, 1]) * np.pi / symmetry
        texts = [f"−π{over}", f"−π/{2 * symmetry}", "0", f"π/{2 * symmetry}", f"π{over}"]
        bar.set_ticks(ticks.tolist(), labels=texts)


def marker_area(ax: Axes, positions: np.ndarray) -> float:
    """Area in square points that lets markers of evenly spread atoms nearly touch."""
    box = ax.get_window_extent().transformed(ax.figure.dpi_scale_trans.inverted())
    share = 72**2 * box.width * box.height / max(1, len(positions))
    return float(np.clip(0.5 * share, 2, 200))


def _numbered(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    # Labels in order, and the number of each value's; those that are missing have the last one.
    whole = values.dtype.kind in "iu"
    missing = pd.isna(values) | np.isin(values.astype(str), MISSING)
    known = values[~missing] if whole else values[~missing].astype(str)
    labels, own = np.unique(known, return_inverse=True)
    codes = np.full(len(values), len(labels))
    codes[~missing] = own
    return [*map(str, labels), *[NONE] * bool(missing.any())], codes


def _are_labels(values: np.ndarray) -> bool:
    if not pd.api.types.is_numeric_dtype(values) or values.dtype == bool:
        return True
    return values.dtype.kind in "iu" and len(np.unique(values)) <= 10


def _add_colour_bar(ax: Axes, drawn: PathCollection, name: str, units: str | None) -> Colorbar:
    return ax.figure.colorbar(drawn, ax=ax, label=f"{name} ({units})" if units else name)
