"""The ways of atoms through a movie."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from hyperspy_rvae.plotting.canvas import Pixel, image_axes

LONG = 5.0  # times the usual step; such steps are drawn as arrows


def plot_tracks(
    positions: np.ndarray,
    frames: np.ndarray,
    tracks: np.ndarray,
    *,
    image: np.ndarray | None = None,
    pixel: Pixel = (1.0, 1.0, ""),
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the way of each atom, where it appeared, vanished and hopped.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels, drift taken off.
    frames, tracks
        Shape ``(n,)``: frame and track of each position.
    image
        Image to draw below, shape ``(height, width)``.
    pixel
        Width and height of a pixel, and their units, for the scale bar.
    ax
        Axes to draw on; new ones if not given.
    **kwargs
        Passed to :class:`matplotlib.collections.LineCollection`.

    Returns
    -------
    axes
        The axes drawn on.
    """
    ax = image_axes(ax, image, positions, pixel)
    order = np.lexsort((frames, tracks))
    xy, frames, tracks = positions[order], frames[order], tracks[order]
    new = np.diff(tracks, prepend=tracks[0] - 1) != 0 if len(tracks) else np.zeros(0, dtype=bool)
    ways = np.split(xy, np.flatnonzero(new)[1:])
    first, last = xy[new], np.array([way[-1] for way in ways])
    begun, ended = frames[new], frames[np.roll(new, -1)]
    options: dict[str, Any] = {"colors": "tab:cyan", "linewidths": 1.0}
    ax.add_collection(LineCollection(ways, **(options | kwargs)))
    appeared, vanished = begun > frames.min(), ended < frames.max()
    stays = ~appeared & ~vanished
    for chosen, places, style, name in (
        (stays, first, {"marker": ".", "color": "tab:cyan", "ms": 4}, "throughout"),
        (appeared, first, {"marker": "o", "color": "tab:green", "mfc": "none"}, "appears"),
        (vanished, last, {"marker": "x", "color": "tab:red"}, "vanishes"),
    ):
        if chosen.any():
            ax.plot(*places[chosen].T, ls="none", label=f"{name}: {chosen.sum()}", **style)
    _draw_hops(ax, xy, new)
    ax.legend(loc="upper right", fontsize="small")
    return ax


def _draw_hops(ax: Axes, xy: np.ndarray, new: np.ndarray) -> None:
    """Draw an arrow for each step that is far longer than the others."""
    step = np.diff(xy, axis=0)[~new[1:]]
    start = xy[:-1][~new[1:]]
    length = np.hypot(*step.T)
    far = length > LONG * np.median(length) if len(length) else np.zeros(0, dtype=bool)
    if far.any():
        ax.quiver(
            *start[far].T,
            *step[far].T,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.004,
            color="tab:orange",
            label=f"hops: {far.sum()}",
            zorder=3,
        )
