"""A column of the table, drawn where the atoms are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperspy_rvae.signals.frames import frame_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def rows_of_frame(table: pd.DataFrame, frame: int) -> pd.DataFrame:
    """Rows of one frame.

    Raises
    ------
    ValueError
        If it has none.
    """
    here = table[table["frame"] == frame]
    if here.empty:
        frames = table["frame"]
        raise ValueError(
            f"frame {frame!r} has no atoms; there are frames {frames.min()} to {frames.max()}."
        )
    return here


def map_column(
    table: pd.DataFrame,
    column: str,
    frame: int,
    image: Any,
    shape: tuple[int, int],
    pixel: tuple[float, float, str],
    ax: Axes | None,
    **kwargs: Any,
) -> Axes:
    """Plot a column of the table at the atoms' places.

    Parameters
    ----------
    table
        Atoms with their columns.
    column
        Which to draw.
    frame
        Flat navigation index.
    image
        Image to draw below: a signal, of which `frame` is taken, an array, or None.
    shape
        Height and width of the image that the atoms are on.
    pixel
        Width and height of a pixel, and their units.
    ax
        Axes to draw on; new ones for None.
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.scatter`.
    """
    from hyperspy_rvae.plotting.maps import plot_map

    if column not in table:
        raise ValueError(f"there is no column {column!r}; there are {', '.join(table)}.")
    here = rows_of_frame(table, frame)
    return plot_map(
        here[["x", "y"]].to_numpy(),
        here[column].to_numpy(),
        column,
        image=None if image is None else frame_of(image, frame, shape),
        pixel=pixel,
        ax=ax,
        **kwargs,
    )
