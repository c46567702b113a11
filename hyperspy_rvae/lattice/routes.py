"""What is done to one frame: find its columns, find a second sublattice, refine."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from hyperspy_rvae.lattice.cells import sites_in_cells
from hyperspy_rvae.lattice.finding import Contrast, Finder, bright_atoms, find_positions
from hyperspy_rvae.lattice.refinement.center_of_mass import centers_of_mass
from hyperspy_rvae.lattice.refinement.columns import fit_gaussians
from hyperspy_rvae.lattice.scale import Scale
from hyperspy_rvae.lattice.table import nearest_distance

Refinement = Literal["gaussian", "center_of_mass"]
CENTER_OF_MASS_RADIUS = 0.25  # of the distance to the nearest neighbour
SPARSE = 1.5  # times the distance between columns of any sublattice
SAME_PLACE_PX = 0.5


def find_columns(
    image: np.ndarray,
    separation: float | Scale,
    contrast: Contrast,
    method: Finder,
    refine: bool,
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
        Whether to fit Gaussians to what was found.

    Returns
    -------
    columns
        ``x``, ``y`` and, if refined, what :func:`fit_gaussians` gives.
    """
    pixels = bright_atoms(check_frame(image), contrast)
    found = pd.DataFrame(find_positions(pixels, separation, method=method), columns=["x", "y"])
    if not refine:
        return found
    return fit_gaussians(image, found.assign(sublattice=""), dark=contrast == "dark")


def find_second_columns(
    image: np.ndarray,
    columns: pd.DataFrame,
    sublattice: str,
    reference: str,
    position: tuple[float, float],
) -> pd.DataFrame:
    """Find the columns at a fraction of the cell of a reference sublattice, and refine all.

    Parameters
    ----------
    image
        Shape ``(height, width)``.
    columns
        Columns of this frame that are known already.
    sublattice
        Name of the new sublattice.
    reference
        Sublattice that spans the cell.
    position
        Fractions of the two lattice vectors.

    Returns
    -------
    columns
        Those that were known, then the new ones, all fitted together; as they were where the
        frame has no reference.
    """
    corners = columns.loc[columns["sublattice"] == reference, ["x", "y"]].to_numpy()
    if not len(corners):
        return columns
    check_frame(image)
    sites = sites_in_cells(corners, position)
    new = pd.DataFrame(sites, columns=["x", "y"]).assign(sublattice=sublattice)
    return refine_columns(image, pd.concat([columns, new], ignore_index=True))


def refine_columns(
    image: np.ndarray,
    columns: pd.DataFrame,
    sublattice: str | None = None,
    method: Refinement = "gaussian",
    percent_to_nn: float | None = None,
    mask_radius: float | None = None,
) -> pd.DataFrame:
    """Refine the columns of one frame, all together.

    Parameters
    ----------
    image
        Shape ``(height, width)``.
    columns
        Columns of this frame.
    sublattice
        Which to refine; None for all. The others are fitted beside it and stay as they were.
    method
        "gaussian" or "center_of_mass".
    percent_to_nn
        Radius of the mask as a fraction of the distance to the nearest neighbour in its
        sublattice; None for the usual one.
    mask_radius
        Radius of the mask in pixels, in place of it.

    Returns
    -------
    columns
        The same rows in the same order, with a column ``converged``.
    """
    if not len(columns):
        return columns
    rows = np.full(len(columns), True)
    if sublattice is not None:
        rows = (columns["sublattice"] == sublattice).to_numpy()
    dark = contrast_of(image, columns) == "dark"
    if method == "center_of_mass":
        fitted = _center(image, columns, dark, percent_to_nn, mask_radius)
    else:
        radii = None
        if percent_to_nn is not None or mask_radius is not None:
            radii = _radii(columns, percent_to_nn, mask_radius, image.shape)
        fitted = fit_gaussians(image, columns, dark=dark, radii=radii)
    refined = columns.copy()
    if "converged" not in refined:
        refined["converged"] = False
    for name in fitted:
        if rows.all():
            refined[name] = fitted[name]
            continue
        if name not in refined:
            refined[name] = np.full(len(refined), np.nan, dtype=fitted[name].dtype)
        kind = refined[name].dtype
        if kind.kind in "biuf":  # whole numbers must not cut what the fit says
            kind = np.promote_types(kind, fitted[name].dtype)
            refined[name] = refined[name].astype(kind)
        refined.loc[rows, name] = fitted.loc[rows, name].astype(kind)
    return refined


def contrast_of(image: np.ndarray, columns: pd.DataFrame) -> Contrast:
    """Whether the columns are brighter or darker than the rest of the image."""
    if not len(columns):
        return "bright"
    y, x = np.rint(columns[["y", "x"]].to_numpy()).astype(int).T
    pixels = np.asarray(image, dtype=np.float64)  # float16 overflows in a mean
    return "bright" if np.nanmean(pixels[y, x]) >= np.nanmean(pixels) else "dark"


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


def _center(
    image: np.ndarray,
    columns: pd.DataFrame,
    dark: bool,
    percent_to_nn: float | None,
    mask_radius: float | None,
) -> pd.DataFrame:
    seeds = columns[["x", "y"]].to_numpy()
    percent = CENTER_OF_MASS_RADIUS if percent_to_nn is None else percent_to_nn
    radii = _radii(columns, percent, mask_radius, image.shape)
    centres = centers_of_mass(_weights(image, dark), seeds, radii)
    reach = _radii(columns, 0.5, None, image.shape)
    inside = (centres >= -0.5) & (centres < np.array(image.shape[::-1]) - 0.5)
    sound = inside.all(axis=1) & (np.hypot(*(centres - seeds).T) <= reach)
    met = cKDTree(np.nan_to_num(centres)).query_pairs(SAME_PLACE_PX, output_type="ndarray")
    sound[met.ravel()] = False
    kept = np.where(sound[:, None], centres, seeds)
    return pd.DataFrame(kept, columns=["x", "y"], index=columns.index).assign(converged=sound)


def _weights(image: np.ndarray, dark: bool) -> np.ndarray:
    """Pixels as the masses of columns, none negative; NaN where they are not finite."""
    known = np.isfinite(image)
    pixels = np.where(known, image, np.nan).astype(np.float64) * (-1.0 if dark else 1.0)
    lowest = float(pixels[known].min()) if known.any() else 0.0
    return pixels - (lowest if dark else min(lowest, 0.0))


def _radii(
    columns: pd.DataFrame,
    percent_to_nn: float | None,
    mask_radius: float | None,
    shape: tuple[int, ...],
) -> np.ndarray:
    """Radius of each column's mask in pixels.

    Distances are those inside a sublattice. Where its atoms are far sparser than the columns of
    the image, as dopants are, the distance between columns stands for them.
    """
    if mask_radius is not None or percent_to_nn is None:
        return np.full(len(columns), float(mask_radius or 0.0))
    spacing = spacing_of(columns) or min(shape) / 2
    reach = np.full(len(columns), spacing)
    for rows in columns.groupby("sublattice").indices.values():
        if len(rows) > 1:
            xy = columns[["x", "y"]].to_numpy()[rows]
            distance = np.asarray(cKDTree(xy).query(xy, k=2)[0])[:, 1]
            if np.median(distance) <= SPARSE * spacing:
                reach[rows] = distance
    return percent_to_nn * reach
