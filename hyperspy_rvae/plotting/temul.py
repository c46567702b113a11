"""Vectors over their atoms, drawn by temul."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from hyperspy_rvae.plotting.canvas import Pixel, add_scale_bar
from hyperspy_rvae.plotting.vectors import arrow_scale

LONGEST_SIDE_INCHES = 7.0
ON_GREY = "cool"  # no colour of it is as dark or as bright as an image


def plot_vectors(
    positions: np.ndarray,
    vectors: np.ndarray,
    *,
    units: str = "px",
    image: np.ndarray | None = None,
    pixel: Pixel = (1.0, 1.0, ""),
    **kwargs: Any,
) -> Axes:
    """Draw arrows from temul's ``plot_polarisation_vectors``, with a colour bar and a scale bar.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    vectors
        Shape ``(n, 2)``, u right and v down, in `units`.
    units
        Units of the vectors, for the labels.
    image
        Image to draw below, shape ``(height, width)``; plain background if not given.
    pixel
        Width and height of a pixel, and their units, for the scale bar.
    **kwargs
        Passed to temul's function; the style is "colormap" unless ``plot_style`` says otherwise,
        and long arrows span one lattice step unless ``scale`` does.

    Returns
    -------
    axes
        The axes drawn on, of a figure of their own.
    """
    from temul.topotem.polarisation import plot_polarisation_vectors

    overlay = image is not None
    if image is None:
        image = np.zeros(np.ceil(positions.max(0)[::-1] + positions.min(0)[::-1] + 1).astype(int))
    style = kwargs.get("plot_style", "colormap")
    options: dict[str, Any] = {
        "plot_style": style,
        "vector_rep": "angle" if style == "colorwheel" else "magnitude",
        "overlay": overlay,
        "monitor_dpi": max(image.shape) / LONGEST_SIDE_INCHES,
        "invert_y_axis": True,
    }
    if not kwargs.get("unit_vector"):
        options["scale"] = arrow_scale(positions, vectors)
    if overlay and style == "colormap":
        options["cmap"] = ON_GREY
    # float32 ends in a TypeError there, and its saving passes arguments that matplotlib dropped.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        ax = plot_polarisation_vectors(
            *np.asarray(positions, dtype=np.float64).T,
            *np.asarray(vectors, dtype=np.float64).T,
            image,
            units=units,
            save=None,
            **(options | kwargs),
        )
    add_scale_bar(ax, pixel)
    return ax
