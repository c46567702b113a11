"""Atoms as HyperSpy markers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hyperspy.api as hs
import numpy as np

from hyperspy_rvae.lattice.table import nearest_distance, rows_by_frame
from hyperspy_rvae.signals.checks import movie_of
from hyperspy_rvae.signals.reading import naming_frames

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.image import AtomLatticeImage

SHARE = 0.3  # of the distance to the nearest neighbour
COLOURS = ("tab:red", "tab:cyan", "tab:orange", "tab:green", "tab:purple", "tab:pink")


def plot_markers(image: AtomLatticeImage, table: pd.DataFrame, **kwargs: Any) -> Axes:
    """Plot an image with a marker on each atom, and give its axes.

    Parameters
    ----------
    image
        Image or movie.
    table
        Its atoms; one colour a sublattice.
    **kwargs
        Passed to the image's ``plot``.
    """
    with naming_frames(movie_of(image)):
        image.plot(**kwargs)
    x_axis, y_axis = image.axes_manager.signal_axes
    spacing = nearest_distance(table)
    size = SHARE * abs(x_axis.scale) * (spacing if np.isfinite(spacing) else 10.0)
    table = table.assign(
        x=table["x"] * x_axis.scale + x_axis.offset, y=table["y"] * y_axis.scale + y_axis.offset
    )
    for number, (name, rows) in enumerate(table.groupby("sublattice", sort=False)):
        markers = hs.plot.markers.Points(
            offsets=_offsets(rows, image.axes_manager._navigation_shape_in_array),
            sizes=size,
            color=COLOURS[number % len(COLOURS)],
            units="x",
            name=str(name),
        )
        image.add_marker(markers)
    return image._plot.signal_plot.ax


def _offsets(rows: pd.DataFrame, shape: tuple[int, ...]) -> np.ndarray:
    """Calibrated x and y: one array for an image, a ragged array of them for a movie."""
    if not shape:
        return rows[["x", "y"]].to_numpy()
    offsets = np.empty(shape, dtype=object)
    frames, xy = dict(rows_by_frame(rows["frame"].to_numpy())), rows[["x", "y"]].to_numpy()
    for frame, index in enumerate(np.ndindex(shape)):
        offsets[index] = xy[frames.get(frame, slice(0, 0))]
    return offsets
