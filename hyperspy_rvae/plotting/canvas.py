"""Axes on which images and positions lie as in the microscope: pixels, y down."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib_scalebar.scalebar import ScaleBar

GROUPS, NO_GROUP = colormaps["tab10"], "0.6"  # colours of labels, and of none
Pixel = tuple[float, float, str]
LENGTHS = {"nm", "pm", "µm", "um", "Å", "A", "angstrom", "m", "mm"}


def image_axes(
    ax: Axes | None, image: np.ndarray | None, positions: np.ndarray, pixel: Pixel
) -> Axes:
    """Prepare axes for positions in pixels.

    Parameters
    ----------
    ax
        Axes to use; new ones if not given.
    image
        Image to draw below, shape ``(height, width)``.
    positions
        Shape ``(n, 2)``, x and y; they set the view where there is no image.
    pixel
        Width and height of a pixel, and their units.
    """
    width, height, _ = pixel
    if ax is None:
        size = _figure_size(height_over_width(image, positions, pixel))
        ax = plt.figure(figsize=size, layout="constrained").add_subplot()
    ax.set_aspect(height / width)
    if image is None:
        margin = 0.5 + 0.03 * np.ptp(positions, axis=0).max(initial=1.0)
        low, high = positions.min(0) - margin, positions.max(0) + margin
        ax.set_xlim(low[0], high[0])
        ax.set_ylim(high[1], low[1])
    else:
        ax.imshow(image, cmap="gray", aspect=height / width)
    ax.set_xticks([])
    ax.set_yticks([])
    add_scale_bar(ax, pixel)
    return ax


def height_over_width(image: np.ndarray | None, positions: np.ndarray, pixel: Pixel) -> float:
    """Height over width of a map as displayed, of the image or else of the positions."""
    down, across = np.ptp(positions, axis=0)[::-1] if image is None else np.array(image.shape)
    return float(down * pixel[1] / max(across * pixel[0], 1e-9))


def _figure_size(ratio: float) -> tuple[float, float]:
    """Width and height in inches for maps of this height over width, colour bar included."""
    if ratio < 0.6:
        return 10.0, max(2.6, 8.0 * ratio + 1.0)
    if ratio > 1.6:
        return max(4.0, 8.0 / ratio + 1.5), 8.0
    return 6.4, 5.2


def row_of_axes(count: int) -> np.ndarray:
    """Make `count` axes side by side, up to four in a row, on a new figure."""
    across = min(4, count)
    down = -(-count // across)
    figure = plt.figure(figsize=(4.2 * across, 3.6 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for spare in axes[count:]:
        spare.remove()
    return axes[:count]


def add_note(ax: Axes, text: str) -> None:
    """Write a line of small text below the axes, at the right."""
    ax.text(1.0, -0.02, text, transform=ax.transAxes, ha="right", va="top", fontsize=8)


def add_scale_bar(ax: Axes, pixel: Pixel, **kwargs: Any) -> None:
    """Add a scale bar where the pixel's width is a length; nothing otherwise."""
    width, _, units = pixel
    if units not in LENGTHS:
        return
    known = {"A": "Å", "angstrom": "Å", "µm": "um"}
    options: dict[str, Any] = {"location": "lower left", "box_alpha": 0.7, "frameon": True}
    ax.add_artist(ScaleBar(width, known.get(units, units), **(options | kwargs)))
