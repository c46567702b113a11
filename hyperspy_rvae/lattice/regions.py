"""Values of atoms, averaged in regions, along lines and on grids."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.interpolate import LinearNDInterpolator


def grid_labels(
    positions: np.ndarray, shape: tuple[int, int], parts: tuple[int, int]
) -> np.ndarray:
    """Label the atoms by the part of the image that they are in.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    shape
        Height and width of the image in pixels.
    parts
        Number of parts along x and y.

    Returns
    -------
    labels
        Shape ``(n,)``, row by row from the top left.
    """
    along_x = np.clip((positions[:, 0] + 0.5) / shape[1] * parts[0], 0, parts[0] - 1).astype(int)
    along_y = np.clip((positions[:, 1] + 0.5) / shape[0] * parts[1], 0, parts[1] - 1).astype(int)
    return along_y * parts[0] + along_x


def region_means(table: pd.DataFrame, labels: np.ndarray, columns: list[str]) -> pd.DataFrame:
    """Average columns of a table by label.

    Parameters
    ----------
    table
        With the columns x and y besides.
    labels
        One per row.
    columns
        Names of what is averaged, NaN being left out.

    Returns
    -------
    means
        Indexed by label: x, y, the columns, the same with ``_sem``, and ``count``.
    """
    groups = table.dropna(subset=columns).groupby(labels[table[columns].notna().all(axis=1)])
    means = groups[["x", "y", *columns]].mean()
    errors = groups[columns].sem()
    return means.join(errors.add_suffix("_sem")).assign(count=groups.size())


def along_line(
    positions: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Split positions into the way along a line and the way across it.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x right and y down.
    start, end
        Ends of the line, x and y.

    Returns
    -------
    along, across
        Shape ``(n,)`` each; across is counted 90 degrees counter-clockwise of the line's
        direction, as displayed.
    """
    direction = (np.asarray(end) - start) / np.hypot(*(np.asarray(end) - start))
    along = (positions - start) @ direction
    across = (positions - start) @ np.array([direction[1], -direction[0]])
    return along, across


def on_grid(
    positions: np.ndarray, values: np.ndarray, shape: tuple[int, int], step: int = 1
) -> np.ndarray:
    """Interpolate values between atoms onto pixels.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels, at least four.
    values
        Shape ``(n, c)``.
    shape
        Height and width of the image in pixels.
    step
        Pixels between points of the grid.

    Returns
    -------
    maps
        Shape ``(c, height, width)`` in steps; linear in the triangles between the atoms, NaN
        outside.
    """
    x, y = np.meshgrid(np.arange(0, shape[1], step), np.arange(0, shape[0], step))
    return np.moveaxis(LinearNDInterpolator(positions, values)(x, y), -1, 0)
