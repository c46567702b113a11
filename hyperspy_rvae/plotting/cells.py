"""Cells of a lattice, numbered."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke

from hyperspy_rvae.plotting.canvas import Pixel, image_axes

LABELS = 12  # along the longer side, where none are asked for


def plot_cells(
    positions: np.ndarray,
    indices: np.ndarray,
    grain: np.ndarray,
    *,
    image: np.ndarray | None = None,
    pixel: Pixel = (1.0, 1.0, ""),
    every: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the lines of a lattice from atom to atom, and number its cells.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels; one atom a cell.
    indices
        Shape ``(n, 2)``: the cell's number along a and along b.
    grain
        Shape ``(n,)``; one colour a grain.
    image
        Image to draw below, shape ``(height, width)``.
    pixel
        Width and height of a pixel, and their units, for the scale bar.
    every
        Number every so many cells along a and b; None: so many that the numbers can be read.
    ax
        Axes to draw on; new ones if not given.

    Returns
    -------
    axes
        The axes drawn on.
    """
    ax = image_axes(ax, image, positions, pixel)
    if every is None:
        every = max(1, int(np.ceil(np.ptp(indices, axis=0).max(initial=0) / LABELS)))
    colours = plt.get_cmap("tab10")
    for number in np.unique(grain):
        own = grain == number
        colour = colours(int(number) % colours.N)
        lines = lattice_lines(positions[own], indices[own])
        ax.add_collection(
            LineCollection(list(lines), colors=[colour], linewidths=0.7), autolim=False
        )
        for (x, y), (a, b) in zip(positions[own], indices[own], strict=True):
            if a % every == 0 and b % every == 0:
                text = ax.text(
                    x, y, f"{a},{b}", color="white", fontsize=7, ha="center", va="center"
                )
                text.set_path_effects([withStroke(linewidth=1.5, foreground=colour)])
                text.set_clip_on(True)
    return ax


def lattice_lines(positions: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Lines between atoms of adjoining cells, shape ``(m, 2, 2)``: ends, x and y."""
    place = {(int(a), int(b)): n for n, (a, b) in enumerate(indices)}
    pairs = [
        (n, place[a + step, b + 1 - step])
        for (a, b), n in place.items()
        for step in (0, 1)
        if (a + step, b + 1 - step) in place
    ]
    return positions[np.array(pairs, dtype=int).reshape(-1, 2)]
