"""What is done to one frame: find its columns, find a second sublattice, refine.

Dark columns are fitted on the inverted image and reported with a negative amplitude.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from hyperspy_rvae.lattice.atomap import FITTED
from hyperspy_rvae.lattice.atomap_fits import (
    refine_center_of_mass,
    refine_gaussian,
    subtract_columns,
)
from hyperspy_rvae.lattice.cells import sites_in_cells
from hyperspy_rvae.lattice.finding import Contrast, Finder, bright_atoms, find_positions
from hyperspy_rvae.lattice.scale import Scale
from hyperspy_rvae.lattice.table import nearest_distance

Refinement = Literal["gaussian", "center_of_mass"]
PERCENT_TO_NN = {"gaussian": 0.4, "center_of_mass": 0.25}
PERCENT_TO_NN_BETWEEN = {"gaussian": 0.3, "center_of_mass": 0.25}  # of others that were subtracted


def find_columns(
    image: np.ndarray,
    separation: float | Scale,
    contrast: Contrast,
    method: Finder,
    refine: bool,
    *,
    show_progress: bool = False,
) -> pd.DataFrame:
    """Find the columns of one frame.

    Parameters
    ----------
    image
        Shape ``(height, width)``.
    separation
        Smallest distance between two columns in pixels, or the scale of an image of this kind.
    contrast
        "bright" or "dark".
    method
        "laplacian_of_gaussian" or "atomap".
    refine
        Whether to refine by centre of mass, then by Gaussian fit.
    show_progress
        Whether the fit shows a bar of its own.

    Returns
    -------
    columns
        ``x``, ``y`` and, if refined, the Gaussians' widths, rotation and amplitude.
    """
    pixels = bright_atoms(check_frame(image), contrast)
    positions = find_positions(pixels, separation, method=method)
    if not refine:
        return pd.DataFrame(positions, columns=["x", "y"])
    return _signed(_fit(pixels, positions, PERCENT_TO_NN["gaussian"], show_progress), contrast)


def find_second_columns(
    image: np.ndarray,
    columns: pd.DataFrame,
    reference: str,
    position: tuple[float, float],
    *,
    show_progress: bool = False,
) -> pd.DataFrame:
    """Find the columns at a fraction of the cell of a reference sublattice.

    Parameters
    ----------
    image
        Shape ``(height, width)``.
    columns
        Columns of this frame that are known already. They are subtracted before the fit, a
        sublattice without any widths after a fit of its own; columns whose fit failed are not.
    reference
        Sublattice that spans the cell.
    position
        Fractions of the two lattice vectors.
    show_progress
        Whether the fit shows a bar of its own.

    Returns
    -------
    columns
        As :func:`find_columns` gives them; none where the frame has no reference.
    """
    corners = columns.loc[columns["sublattice"] == reference, ["x", "y"]].to_numpy()
    if not len(corners):
        return pd.DataFrame(columns=["x", "y"], dtype=np.float64)
    contrast = contrast_of(check_frame(image), columns)
    pixels = bright_atoms(image, contrast)
    sites = sites_in_cells(corners, position)
    spacing = spacing_of(columns)
    for _, known in columns.groupby("sublattice", sort=False):
        pixels = subtract_columns(pixels, _with_widths(pixels, known, spacing, show_progress))
    pixels = bright_atoms(pixels)
    return _signed(_fit(pixels, sites, PERCENT_TO_NN_BETWEEN["gaussian"], show_progress), contrast)


def refine_columns(
    image: np.ndarray,
    columns: pd.DataFrame,
    sublattice: str | None,
    method: Refinement,
    percent_to_nn: float | None,
    *,
    show_progress: bool = False,
) -> pd.DataFrame:
    """Refine the columns of one frame, sublattice by sublattice, subtracting those before.

    Parameters
    ----------
    image
        Shape ``(height, width)``.
    columns
        Columns of this frame.
    sublattice
        Which to refine; None for all.
    method
        "gaussian" or "center_of_mass".
    percent_to_nn
        Radius of the mask as a fraction of the distance to the nearest neighbour in its sublattice;
        None for the usual one, smaller for columns between others.
    show_progress
        Whether the fit shows a bar of its own.

    Returns
    -------
    columns
        The same rows in the same order.
    """
    if columns.empty:
        return columns
    contrast = contrast_of(check_frame(image), columns)
    pixels = bright_atoms(image, contrast)
    names = list(dict.fromkeys(columns["sublattice"]))
    spacing = spacing_of(columns)
    refined = columns.copy()
    for name in names:
        rows = refined["sublattice"] == name
        if sublattice in (None, name):
            usual = PERCENT_TO_NN if name == names[0] else PERCENT_TO_NN_BETWEEN
            percent = usual[method] if percent_to_nn is None else percent_to_nn
            refined = _put(
                refined,
                rows,
                _refine(pixels, refined[rows], method, percent, spacing, show_progress),
            )
        if name != names[-1]:
            known = _with_widths(pixels, refined[rows], spacing, show_progress)
            pixels = bright_atoms(subtract_columns(pixels, known))
    return _signed(refined, contrast)


def contrast_of(image: np.ndarray, columns: pd.DataFrame) -> Contrast:
    """Whether the columns are brighter or darker than the rest of the image."""
    if not len(columns):
        return "bright"
    y, x = np.rint(columns[["y", "x"]].to_numpy()).astype(int).T
    return "bright" if np.mean(image[y, x]) >= np.mean(image) else "dark"


def spacing_of(columns: pd.DataFrame) -> float | None:
    """Distance between neighbours of the densest sublattice in pixels; None if there are none."""
    distances = [nearest_distance(rows) for _, rows in columns.groupby("sublattice")]
    known = [distance for distance in distances if np.isfinite(distance)]
    return min(known) if known else None


def check_frame(image: np.ndarray) -> np.ndarray:
    """Refuse frames without contrast, or with pixels that are NaN or infinite."""
    bad = np.sum(~np.isfinite(image))
    if bad:
        raise ValueError(
            f"{bad} pixels are NaN or infinite; replace them, or leave the frame out with inav."
        )
    if image.min() == image.max():
        raise ValueError(
            f"every pixel is {image.flat[0]:g}, so there is nothing to find or to fit."
        )
    return image


def _fit(
    pixels: np.ndarray, seeds: np.ndarray, percent: float, show_progress: bool
) -> pd.DataFrame:
    centred = refine_center_of_mass(pixels, seeds, show_progress=show_progress)
    return _apart(refine_gaussian(pixels, centred, percent, show_progress=show_progress), seeds)


def _refine(
    pixels: np.ndarray,
    columns: pd.DataFrame,
    method: Refinement,
    percent: float,
    spacing: float | None,
    show_progress: bool,
) -> pd.DataFrame:
    seeds = columns[["x", "y"]].to_numpy()
    refine = refine_gaussian if method == "gaussian" else refine_center_of_mass
    found = refine(pixels, seeds, percent, spacing=spacing, show_progress=show_progress)
    if not isinstance(found, pd.DataFrame):
        found = pd.DataFrame(found, columns=["x", "y"])
    return _apart(found, seeds)


def _apart(columns: pd.DataFrame, seeds: np.ndarray) -> pd.DataFrame:
    """Put columns that ran onto one another back to where they started, without widths."""
    pairs = cKDTree(columns[["x", "y"]]).query_pairs(0.5, output_type="ndarray")
    met = np.unique(pairs)
    columns.loc[columns.index[met], ["x", "y"]] = seeds[met]
    columns.loc[columns.index[met], [name for name in FITTED if name in columns]] = np.nan
    return columns


def _with_widths(
    pixels: np.ndarray, columns: pd.DataFrame, spacing: float | None, show_progress: bool
) -> pd.DataFrame:
    """Columns that can be subtracted: those with a fit, made here where the sublattice has none."""
    if not set(FITTED) <= set(columns) or columns[FITTED].isna().all(axis=None):
        percent = PERCENT_TO_NN["gaussian"]
        columns = _refine(pixels, columns, "gaussian", percent, spacing, show_progress)
    columns = columns.dropna(subset=FITTED)
    return columns.assign(amplitude=columns["amplitude"].abs())


def _put(table: pd.DataFrame, rows: pd.Series, fitted: pd.DataFrame) -> pd.DataFrame:
    for name in fitted:
        if name not in table:
            table[name] = np.nan
        table.loc[rows, name] = fitted[name].to_numpy()
    return table


def _signed(columns: pd.DataFrame, contrast: Contrast) -> pd.DataFrame:
    if contrast == "dark" and "amplitude" in columns:
        return columns.assign(amplitude=-columns["amplitude"].abs())
    return columns
