"""The image that a table of fitted columns describes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

from hyperspy_rvae.lattice.refinement import kernels
from hyperspy_rvae.lattice.refinement.compiled import in_threads
from hyperspy_rvae.lattice.refinement.kernel import REACHES, TAIL_COLUMNS, TAILS
from hyperspy_rvae.lattice.table import nearest_distance

NEEDED = ["x", "y", "sigma_x", "sigma_y", "rotation", "amplitude", "background"]
FEW_FOR_PLANES = 4
GRID = 3  # points of the background's grid in the distance between columns


def model_image(shape: tuple[int, int], columns: pd.DataFrame) -> np.ndarray:
    """Draw the columns of a table and the background between them.

    Parameters
    ----------
    shape
        Height and width in pixels.
    columns
        With ``x``, ``y``, ``sigma_x``, ``sigma_y``, ``rotation``, ``amplitude``, ``background``
        and, where they have tails, ``tail_1`` and ``tail_2``. Rows without a fit are left out.

    Returns
    -------
    image
        float64; the background is interpolated between the columns, and goes on evenly outside.

    Raises
    ------
    ValueError
        If a column is missing, or no row has a fit.
    """
    missing = [name for name in NEEDED if name not in columns]
    fitted = columns.dropna(subset=NEEDED) if not missing else columns.iloc[:0]
    if not len(fitted):
        lacks = f"no column {missing[0]}" if missing else "a fit of no atom"
        raise ValueError(
            f"the table has {lacks}: Gaussians are fitted by refine_atoms(), and atoms that did "
            "not converge have none."
        )
    image = np.zeros(shape, np.float32)
    scale = float(fitted["amplitude"].abs().max()) or 1.0  # float32 holds any unit
    for shares, rows in _by_tails(fitted):
        _draw(image, rows, shares, scale)
    return scale * image.astype(np.float64) + _background(shape, fitted)


def heights(columns: pd.DataFrame) -> np.ndarray:
    """Heights of fitted columns over their background, in the image's units."""
    shares = _shares(columns)
    spread = shares @ np.array([1.0, *TAILS]) ** 2
    area = 2 * np.pi * (columns["sigma_x"] * columns["sigma_y"]).to_numpy() * spread
    return columns["amplitude"].to_numpy() / area


def _shares(columns: pd.DataFrame) -> np.ndarray:
    """Shares of core and tails in the height, shape ``(n, 3)``."""
    tails = columns.reindex(columns=TAIL_COLUMNS).fillna(0.0).to_numpy(np.float64)
    return np.concatenate([1.0 - tails.sum(axis=1, keepdims=True), tails], axis=1)


def _by_tails(columns: pd.DataFrame) -> list[tuple[np.ndarray, pd.DataFrame]]:
    kinds, number = np.unique(_shares(columns), axis=0, return_inverse=True)
    number = number.ravel()
    return [(shares, columns[number == kind]) for kind, shares in enumerate(kinds)]


def _draw(image: np.ndarray, columns: pd.DataFrame, shares: np.ndarray, scale: float) -> None:
    sigma = columns[["sigma_x", "sigma_y"]].to_numpy(np.float64)
    angle = columns["rotation"].to_numpy(np.float64)
    cos, sin = np.cos(angle), -np.sin(angle)  # counter-clockwise as displayed, and y is down
    along, across = sigma.T**-2.0
    precision = np.stack(
        [
            along * cos**2 + across * sin**2,
            (along - across) * cos * sin,
            along * sin**2 + across * cos**2,
        ],
        axis=1,
    )
    reach = max(far for far, share in zip(REACHES, shares, strict=True) if share > 0)
    half = np.ceil(reach * sigma.max(axis=1)).astype(np.int64)
    narrow = np.array([1.0, *TAILS]) ** -2.0
    xy = np.ascontiguousarray(columns[["x", "y"]].to_numpy(np.float64))
    kinds = np.arange(len(xy))
    height = heights(columns) / scale
    given = (xy, height, kinds, precision, shares, narrow, half)
    in_threads(kernels.draw, image.shape[0], image, *given)


def _background(shape: tuple[int, int], columns: pd.DataFrame) -> np.ndarray:
    """Interpolate the levels below the columns, on a grid and from there to the pixels."""
    xy, level = columns[["x", "y"]].to_numpy(), columns["background"].to_numpy()
    if len(xy) < FEW_FOR_PLANES or np.linalg.matrix_rank(xy - xy.mean(axis=0), tol=1.0) < 2:
        return np.full(shape, level.mean())
    step = max(1.0, nearest_distance(columns.assign(frame=0)) / GRID)
    counts = [int(np.ceil(size / step)) + 1 for size in shape]
    y, x = np.meshgrid(
        *(np.linspace(0, size - 1, n) for size, n in zip(shape, counts, strict=True)), indexing="ij"
    )
    grid = LinearNDInterpolator(xy, level)(x, y)
    outside = np.isnan(grid)
    grid[outside] = NearestNDInterpolator(xy, level)(x[outside], y[outside])
    rows, places = (np.linspace(0, n - 1, size) for size, n in zip(shape, counts, strict=True))
    return ndimage.map_coordinates(grid, np.meshgrid(rows, places, indexing="ij"), order=1)
