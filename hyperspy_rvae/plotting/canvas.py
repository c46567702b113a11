"""Axes on which images and positions lie as in the microscope: pixels, y down."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib_scalebar.scalebar import ScaleBar

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
    if ax is None:
        ax = plt.figure(figsize=(6.4, 5.2), layout="constrained").add_subplot()
    width, height, _ = pixel
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
