"""Rings of a bond graph, coloured by size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patches import Patch

from hyperspy_rvae.plotting.canvas import Pixel, image_axes

SIZES = (3, 4, 5, 6, 7, 8, 9)  # larger ones share a colour
COLOURS = "RdYlBu"


def plot_rings(
    rings: Sequence[np.ndarray],
    bonds: np.ndarray,
    *,
    image: np.ndarray | None = None,
    pixel: Pixel = (1.0, 1.0, ""),
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Fill rings with the colours of their sizes, and draw the bonds.

    Parameters
    ----------
    rings
        Corners of each ring, shape ``(size, 2)``, x and y in pixels.
    bonds
        Both ends of each bond, shape ``(m, 2, 2)``.
    image
        Image to draw below, shape ``(height, width)``.
    pixel
        Width and height of a pixel, and their units, for the scale bar.
    ax
        Axes to draw on; new ones if not given.
    **kwargs
        Passed to :class:`matplotlib.collections.PolyCollection`, such as ``alpha``.

    Returns
    -------
    axes
        The axes drawn on, with a legend of the sizes that occur, the most frequent pale.
    """
    places = np.concatenate([bonds.reshape(-1, 2), *rings]) if len(bonds) else np.zeros((1, 2))
    ax = image_axes(ax, image, places, pixel)
    ax.add_collection(LineCollection(list(bonds), colors="0.75", linewidths=0.6))
    sizes = np.array([min(len(ring), SIZES[-1] + 1) for ring in rings], dtype=int)
    usual = np.bincount(sizes).argmax() if len(sizes) else 0
    handles = []
    for size in np.unique(sizes):
        chosen = [ring for ring, its in zip(rings, sizes, strict=True) if its == size]
        colour = size_colour(int(size))
        options: dict[str, Any] = {"alpha": 0.15 if size == usual else 0.65, "linewidths": 0}
        ax.add_collection(PolyCollection(chosen, facecolors=colour, **(options | kwargs)))
        name = f"{size}" if size <= SIZES[-1] else f"{size} or more"
        handles.append(Patch(color=colour, alpha=options["alpha"], label=f"{name}: {len(chosen)}"))
    if handles:
        ax.legend(handles=handles, title="ring size", loc="upper right", fontsize="small")
    return ax


def size_colour(size: int) -> tuple[float, float, float, float]:
    """Colour of a ring size: red below 6, blue above, yellow for 6, black for holes."""
    if size > SIZES[-1]:
        return (0.0, 0.0, 0.0, 1.0)
    spread = {3: 0.0, 4: 0.08, 5: 0.2, 6: 0.5, 7: 0.8, 8: 0.92, 9: 1.0}
    return mpl.colormaps[COLOURS](spread[max(size, SIZES[0])])
