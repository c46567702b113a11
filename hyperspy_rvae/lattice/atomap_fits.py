"""The bridge to atomap's engine: its peak search and its fits."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.atomap import FITTED, bright_pixels, columns_of, set_fit

if TYPE_CHECKING:
    from atomap.api import Sublattice

SPARSE = 1.5  # times the spacing of the image


def find_peaks(image: np.ndarray, separation: float, *, threshold: float = 0.02) -> np.ndarray:
    """Find the brightest pixels, as atomap's ``get_atom_positions`` does.

    Parameters
    ----------
    image
        Shape ``(h, w)``.
    separation
        Least distance between two peaks, and to the border, in pixels; at least 1.
    threshold
        Least height, as a fraction of the highest pixel.

    Returns
    -------
    positions
        Shape ``(n, 2)``, x and y in pixels, brightest first.
    """
    from atomap.api import get_atom_positions

    # atomap reads nothing of a signal but its data, so no signal is made.
    signal = SimpleNamespace(data=bright_pixels(image))
    peaks = get_atom_positions(signal, separation=separation, threshold_rel=threshold)
    return np.asarray(peaks, float).reshape(-1, 2)


def refine_center_of_mass(
    image: np.ndarray,
    positions: np.ndarray,
    percent_to_nn: float = 0.25,
    *,
    spacing: float | None = None,
    show_progress: bool = False,
) -> np.ndarray:
    """Move each atom to the centre of mass of the pixels around it.

    Parameters
    ----------
    image
        Shape ``(h, w)``, atoms bright.
    positions
        Shape ``(n, 2)``, x and y in pixels.
    percent_to_nn
        Radius of the mask, as a fraction of the distance to the atom's nearest neighbour.
    spacing
        Distance between neighbouring columns of the image in pixels. Where the atoms given are
        far sparser than that, as dopants are, it stands for the distance to their neighbours.
    show_progress
        Show atomap's progress bar.

    Returns
    -------
    positions
        Shape ``(n, 2)``, same order. An atom without a sound answer keeps its place.
    """
    seeds = np.asarray(positions, float).reshape(-1, 2)
    if not len(seeds):
        return seeds.copy()
    sublattice, reach = _neighboured(bright_pixels(image), seeds, spacing)
    with np.errstate(all="ignore"):  # a mask full of zeros has no centre; it is caught below
        sublattice.refine_atom_positions_using_center_of_mass(
            show_progressbar=show_progress, **_mask(percent_to_nn, reach)
        )
    refined = np.asarray(sublattice.atom_positions, float)
    return np.where(_sound(refined, seeds, reach, image.shape)[:, None], refined, seeds)


def refine_gaussian(
    image: np.ndarray,
    positions: np.ndarray,
    percent_to_nn: float = 0.40,
    *,
    spacing: float | None = None,
    show_progress: bool = False,
) -> pd.DataFrame:
    """Fit an elliptical Gaussian to each atom on its own.

    Parameters
    ----------
    image
        Shape ``(h, w)``, atoms bright.
    positions
        Shape ``(n, 2)``, x and y in pixels.
    percent_to_nn
        Radius of the mask, as a fraction of the distance to the atom's nearest neighbour.
    spacing
        Distance between neighbouring columns of the image in pixels. Where the atoms given are
        far sparser than that, as dopants are, it stands for the distance to their neighbours.
    show_progress
        Show atomap's progress bar.

    Returns
    -------
    columns
        ``x``, ``y``, ``sigma_x``, ``sigma_y`` (pixels), ``rotation`` (of the axis of sigma_x,
        radians in [0, pi), counter-clockwise as displayed) and ``amplitude`` (atomap's: the
        volume under the Gaussian), one row per position in the same order. An atom whose fit
        failed, left the image or went farther than half-way to its neighbour keeps its
        place, marked by NaN in all other columns.
    """
    seeds = np.asarray(positions, float).reshape(-1, 2)
    if not len(seeds):
        return pd.DataFrame(columns=["x", "y", *FITTED], dtype=float)
    sublattice, reach = _neighboured(bright_pixels(image), seeds, spacing)
    with np.errstate(all="ignore"), _quiet_fits():  # runaway fits are caught below
        sublattice.refine_atom_positions_using_2d_gaussian(
            show_progressbar=show_progress, **_mask(percent_to_nn, reach)
        )
    table = columns_of(sublattice)
    refined = table[["x", "y"]].to_numpy()
    sound = _sound(refined, seeds, reach, image.shape) & table[FITTED].notna().all(axis=1)
    table[["x", "y"]] = np.where(np.asarray(sound)[:, None], refined, seeds)
    table.loc[~sound, FITTED] = np.nan
    return table


def subtract_columns(image: np.ndarray, columns: pd.DataFrame) -> np.ndarray:
    """Take fitted columns off an image, so that fainter ones beside them show.

    Parameters
    ----------
    image
        Shape ``(h, w)``.
    columns
        As :func:`refine_gaussian` returns them; rows without a fit are not subtracted.

    Returns
    -------
    image
        Shape ``(h, w)``, float64: the image less the Gaussians, their background left.
    """
    from atomap.api import Sublattice

    fitted = columns[columns[FITTED].notna().all(axis=1)]
    sublattice = Sublattice(fitted[["x", "y"]].to_numpy(), np.zeros_like(image, float))
    set_fit(sublattice, fitted)
    model = sublattice.get_model_image(show_progressbar=False).data
    return np.asarray(image, dtype=np.float64) - model


@contextlib.contextmanager
def _quiet_fits() -> Iterator[None]:
    """Keep HyperSpy's log from a warning a failed fit; those are marked in the table."""
    logger = logging.getLogger("hyperspy.model")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _neighboured(
    image: np.ndarray, seeds: np.ndarray, spacing: float | None
) -> tuple[Sublattice, np.ndarray]:
    """Sublattice with its neighbours known, and each atom's distance to the nearest.

    The distances are all the same where they are not those of the atoms themselves.
    """
    from atomap.api import Sublattice

    sublattice = Sublattice(seeds, image)
    if len(seeds) == 1:  # a lone atom has no neighbour to measure its mask by
        sublattice.atom_list[0].nearest_neighbor_list = []
        return sublattice, np.array([spacing or min(image.shape) / 2])
    sublattice.find_nearest_neighbors(nearest_neighbors=min(9, len(seeds)))
    reach = np.asarray(KDTree(seeds).query(seeds, k=2)[0])[:, 1]
    if spacing and np.median(reach) > SPARSE * spacing:
        reach = np.full(len(seeds), spacing)
    return sublattice, reach


def _mask(percent_to_nn: float, reach: np.ndarray) -> dict[str, float]:
    if len(set(reach)) > 1:
        return {"percent_to_nn": percent_to_nn}
    return {"mask_radius": percent_to_nn * float(reach[0])}


def _sound(
    refined: np.ndarray, seeds: np.ndarray, reach: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Which atoms are finite, inside the image and nearer to their seed than to the next."""
    inside = (refined >= -0.5) & (refined <= np.array(shape[::-1]) - 0.5)
    near = np.hypot(*(refined - seeds).T) <= 0.5 * reach
    return np.isfinite(refined).all(axis=1) & inside.all(axis=1) & near
