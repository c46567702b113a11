"""Vectors of atoms by group, before and after, and their histograms."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from hyperspy_rvae.plotting.canvas import GROUPS, NO_GROUP, Pixel, height_over_width, image_axes

CYCLIC = "hsv"


def arrow_scale(positions: np.ndarray, vectors: np.ndarray) -> float:
    """Length of data for one pixel of arrow, so that a long arrow spans one lattice step.

    Parameters
    ----------
    positions, vectors
        Shape ``(n, 2)`` each.
    """
    from scipy.spatial import KDTree

    if len(positions) < 2:
        return 1.0
    spacing = float(np.median(np.asarray(KDTree(positions).query(positions, k=2)[0])[:, 1]))
    long = float(np.quantile(np.hypot(*vectors.T), 0.95))
    return long / spacing if long > 0 else 1.0


def plot_groups(
    positions: np.ndarray,
    vectors: np.ndarray,
    labels: np.ndarray,
    name: str,
    *,
    names: dict[int, str] | None = None,
    units: str = "px",
    image: np.ndarray | None = None,
    pixel: Pixel = (1.0, 1.0, ""),
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw arrows coloured by group, with a legend of the groups' sizes and mean lengths.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    vectors
        Shape ``(n, 2)``, u right and v down, in `units`.
    labels
        Shape ``(n,)``, whole numbers, -1 for none.
    name
        What the groups are, for the legend.
    names
        Names of the groups, if they have any.
    units
        Units of the vectors.
    image
        Image to draw below, shape ``(height, width)``.
    pixel
        Width and height of a pixel, and their units, for the scale bar.
    ax
        Axes to draw on; new ones if not given.
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.quiver`.

    Returns
    -------
    axes
        The axes drawn on.
    """
    ax = image_axes(ax, image, positions, pixel)
    options = _arrows(positions, vectors) | kwargs
    drawn: Any = None
    for label in np.unique(labels):
        here = labels == label
        mean = float(np.hypot(*vectors[here].mean(0)))
        called = "none" if label == -1 else (names or {}).get(int(label), str(label))
        ours: dict[str, Any] = {
            "color": _colour(label),
            "label": f"{called}: {here.mean():.0%}, mean {mean:.2g} {units}",
        }
        drawn = ax.quiver(*positions[here].T, *vectors[here].T, **(ours | options))
    _add_key(ax, drawn, vectors, units)
    ax.legend(title=name, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0)
    return ax


def plot_comparison(
    positions: tuple[np.ndarray, np.ndarray],
    vectors: tuple[np.ndarray, np.ndarray],
    *,
    titles: tuple[str, str] = ("before", "after"),
    units: str = "px",
    image: np.ndarray | None = None,
    pixel: Pixel = (1.0, 1.0, ""),
    **kwargs: Any,
) -> np.ndarray:
    """Draw two fields of vectors side by side, coloured by direction, with one colour wheel.

    Parameters
    ----------
    positions, vectors
        Those on the left and on the right, shape ``(n, 2)`` each. Lengths have one scale.
    titles
        What is on the left and on the right.
    units
        Units of the vectors.
    image
        Image to draw below both, shape ``(height, width)``.
    pixel
        Width and height of a pixel, and their units, for the scale bar.
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.quiver`.

    Returns
    -------
    axes
        Left and right.
    """
    ratio = height_over_width(image, positions[0], pixel)
    size = (11.5, float(np.clip(4.6 * ratio + 1.0, 2.4, 9.0)))
    axes = np.array(plt.figure(figsize=size, layout="constrained").subplots(1, 2))
    options = _arrows(positions[0], vectors[0]) | {"cmap": CYCLIC} | kwargs
    for ax, xy, uv, title in zip(axes, positions, vectors, titles, strict=True):
        image_axes(ax, image, xy, pixel)
        angle = np.arctan2(-uv[:, 1], uv[:, 0])
        drawn = ax.quiver(*xy.T, *uv.T, angle, clim=(-np.pi, np.pi), **options)
        ax.set_title(title)
    _add_key(axes[1], drawn, vectors[0], units)
    add_colour_wheel(axes[1], options["cmap"])
    return axes


def plot_histograms(vectors: np.ndarray, *, bins: int = 36, units: str = "px") -> np.ndarray:
    """Draw a histogram of the lengths and a polar one of the directions.

    Parameters
    ----------
    vectors
        Shape ``(n, 2)``, u right and v down.
    bins
        Number of bins of each.
    units
        Units of the vectors.

    Returns
    -------
    axes
        Of the length, and polar of the direction, counter-clockwise as displayed.
    """
    figure = plt.figure(figsize=(9, 4), layout="constrained")
    left = figure.add_subplot(1, 2, 1)
    right = figure.add_subplot(1, 2, 2, projection="polar")
    left.hist(np.hypot(*vectors.T), bins=bins, color="tab:blue")
    left.set(xlabel=f"magnitude ({units})", ylabel="atoms")
    counts, edges = np.histogram(
        np.arctan2(-vectors[:, 1], vectors[:, 0]), bins=bins, range=(-np.pi, np.pi)
    )
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    colours = colormaps[CYCLIC]((middle + np.pi) / (2 * np.pi))
    right.bar(middle, counts, width=width, color=colours)
    right.set_title("direction, atoms")
    return np.array([left, right])


def plot_embedding(
    places: np.ndarray,
    values: np.ndarray,
    name: str,
    *,
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Scatter samples in a plane whose axes have no meaning, coloured by a value.

    Parameters
    ----------
    places
        Shape ``(n, 2)``.
    values
        Shape ``(n,)``: angles, numbers, or whole numbers of groups.
    name
        What the values are; ``angle`` gets cyclic colours.
    ax
        Axes to draw on; new ones if not given.
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.scatter`.

    Returns
    -------
    axes
        The axes drawn on.
    """
    if ax is None:
        ax = plt.figure(figsize=(6.0, 5.2), layout="constrained").add_subplot()
    options: dict[str, Any] = {"s": 12}
    if np.issubdtype(values.dtype, np.integer):
        for label in np.unique(values):
            here = values == label
            ax.scatter(
                *places[here].T,
                **({"color": _colour(label), "label": str(label)} | options | kwargs),
            )
        ax.legend(title=name)
    else:
        if name == "angle":
            options |= {"cmap": CYCLIC, "vmin": -np.pi, "vmax": np.pi}
        drawn = ax.scatter(*places.T, **({"c": values} | options | kwargs))
        ax.figure.colorbar(drawn, ax=ax, label="angle (rad)" if name == "angle" else name)
    ax.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
    return ax


def add_colour_wheel(ax: Axes, cmap: str = CYCLIC) -> Axes:
    """Add a wheel beside axes that says which colour is which direction."""
    wheel = ax.inset_axes((1.04, 0.0, 0.24, 0.24), projection="polar")
    edges = np.linspace(0, 2 * np.pi, 181)
    middle = (edges[1:] + edges[:-1]) / 2
    angle = np.where(middle > np.pi, middle - 2 * np.pi, middle)
    wheel.pcolormesh(edges, [0.45, 1.0], angle[None], cmap=cmap, vmin=-np.pi, vmax=np.pi)
    wheel.set(yticks=[], ylim=(0, 1))
    wheel.set_xticks(np.pi * np.array([0, 0.5, 1, 1.5]), ["0", "π/2", "π", "−π/2"], fontsize=8)
    wheel.tick_params(pad=-2)
    wheel.grid(False)
    wheel.spines["polar"].set_visible(False)
    return wheel


def _colour(label: int) -> Any:
    return NO_GROUP if label == -1 else GROUPS(label % GROUPS.N)


def _arrows(positions: np.ndarray, vectors: np.ndarray) -> dict[str, Any]:
    """Arrows whose length is read off by the key, not by the axes."""
    return {
        "angles": "xy",
        "scale_units": "xy",
        "scale": arrow_scale(positions, vectors),
        "pivot": "middle",
        "width": 0.005,
    }


def _add_key(ax: Axes, drawn: Any, vectors: np.ndarray, units: str) -> None:
    """Add an arrow of a round length, above the axes at the right."""
    long = float(np.quantile(np.hypot(*vectors.T), 0.95))
    if long <= 0:
        return
    power = 10 ** np.floor(np.log10(long))
    length = power * max(step for step in (1, 2, 5) if step * power <= long)
    across, down = np.abs([np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim()) * ax.get_aspect()])
    above = 1.0 + 0.04 * max(1.0, across / down)  # a flat map is low, and text is not
    ax.quiverkey(drawn, 0.85, above, length, f"{length:g} {units}", labelpos="E", color="k")
