"""The bridge to atomap: its peak search, its fits and its objects."""

from __future__ import annotations

import string
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from atomap.api import Atom_Lattice, Sublattice

_SHAPE = ["sigma_x", "sigma_y", "rotation"]
_FITTED = [*_SHAPE, "amplitude"]
_COLORS = ("red", "blue", "green", "yellow", "cyan", "magenta")


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
    signal = SimpleNamespace(data=_pixels(image))
    peaks = get_atom_positions(signal, separation=separation, threshold_rel=threshold)
    return np.asarray(peaks, float).reshape(-1, 2)


def refine_center_of_mass(
    image: np.ndarray,
    positions: np.ndarray,
    percent_to_nn: float = 0.25,
    *,
    mask_radius: float | None = None,
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
    mask_radius
        Radius of the mask in pixels, instead of ``percent_to_nn``.
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
    sublattice, reach = _neighboured(_pixels(image), seeds)
    with np.errstate(all="ignore"):  # a mask full of zeros has no centre; it is caught below
        sublattice.refine_atom_positions_using_center_of_mass(
            show_progressbar=show_progress, **_mask(percent_to_nn, mask_radius, reach)
        )
    refined = np.asarray(sublattice.atom_positions, float)
    return np.where(_sound(refined, seeds, reach, image.shape)[:, None], refined, seeds)


def refine_gaussian(
    image: np.ndarray,
    positions: np.ndarray,
    percent_to_nn: float = 0.40,
    *,
    mask_radius: float | None = None,
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
    mask_radius
        Radius of the mask in pixels, instead of ``percent_to_nn``.
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
        return pd.DataFrame(columns=["x", "y", *_FITTED], dtype=float)
    sublattice, reach = _neighboured(_pixels(image), seeds)
    with np.errstate(all="ignore"):  # runaway fits overflow; they are caught below
        sublattice.refine_atom_positions_using_2d_gaussian(
            show_progressbar=show_progress, **_mask(percent_to_nn, mask_radius, reach)
        )
    table = _columns_of(sublattice)
    refined = table[["x", "y"]].to_numpy()
    sound = _sound(refined, seeds, reach, image.shape) & table[_FITTED].notna().all(axis=1)
    table[["x", "y"]] = np.where(np.asarray(sound)[:, None], refined, seeds)
    table.loc[~sound, _FITTED] = np.nan
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

    fitted = columns[columns[_FITTED].notna().all(axis=1)]
    sublattice = Sublattice(fitted[["x", "y"]].to_numpy(), np.zeros_like(image, float))
    _set_fit(sublattice, fitted)
    model = sublattice.get_model_image(show_progressbar=False).data
    return np.asarray(image, dtype=np.float64) - model


def table_from_lattice(lattice: Any) -> pd.DataFrame:
    """Read the atoms of an atomap object into a table.

    Parameters
    ----------
    lattice
        An ``Atom_Lattice``, a ``Sublattice`` or a list of sublattices, of atomap or of the
        copy inside temul.

    Returns
    -------
    table
        Columns ``frame`` (0), ``x``, ``y``, ``sublattice`` and, where the atoms were fitted,
        ``sigma_x``, ``sigma_y``, ``rotation`` and ``amplitude``; in the order of the lattice,
        sublattice after sublattice. A sublattice without a name of its own is called A, B, ...
        by its place.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    sublattices = _sublattices(lattice)
    parts = []
    for name, sublattice in zip(_names(sublattices), sublattices, strict=True):
        part = _columns_of(sublattice)
        part.insert(0, "frame", 0)
        part.insert(3, "sublattice", name)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    return table.drop(columns=[column for column in _FITTED if table[column].isna().all()])


def image_from_lattice(lattice: Any) -> tuple[np.ndarray, float, str]:
    """Read the image of an atomap object, and its calibration.

    Parameters
    ----------
    lattice
        As for :func:`table_from_lattice`.

    Returns
    -------
    image
        A copy of the original image, shape ``(h, w)``.
    pixel_size
        The one size that atomap knows for both axes, in ``units``.
    units
        ``"pixel"`` if uncalibrated, empty if calibrated in units that were not kept.

    Raises
    ------
    TypeError
        If it is no atomap object.
    ValueError
        If it holds no image.
    """
    sublattices = _sublattices(lattice)
    holders = [lattice, *sublattices] if hasattr(lattice, "sublattice_list") else sublattices
    images = (
        getattr(holder, attribute, None)
        for holder in holders
        for attribute in ("original_image", "image0", "image")
    )
    image = next((np.array(image) for image in images if image is not None), None)
    if image is None:
        raise ValueError("the lattice holds no image; give the image as a signal beside it")
    # The sublattices come first: an Atom_Lattice keeps 1 and "pixel" beside calibrated ones.
    for holder in [*sublattices, lattice]:
        size = float(getattr(holder, "pixel_size", 1.0))
        units = getattr(holder, "units", "pixel" if size == 1.0 else "")
        if (size, units) != (1.0, "pixel"):
            return image, size, str(units)
    return image, 1.0, "pixel"


def to_atom_lattice(
    image: np.ndarray, table: pd.DataFrame, *, pixel_size: float, units: str
) -> Atom_Lattice:
    """Build an atomap ``Atom_Lattice`` from an image and its table.

    Parameters
    ----------
    image
        Shape ``(h, w)``.
    table
        Columns ``x``, ``y``, ``sublattice`` and, if there, ``sigma_x``, ``sigma_y``,
        ``rotation`` and ``amplitude``; one frame's atoms.
    pixel_size
        Size of a pixel in ``units``; atomap has one for both axes.
    units
        Unit of length.

    Returns
    -------
    lattice
        With one ``Sublattice`` per sublattice of the table, in order of first appearance,
        their atoms in the order of the table.
    """
    from atomap.api import Atom_Lattice, Sublattice

    pixels = _pixels(image)
    sublattices = []
    for number, (name, part) in enumerate(table.groupby("sublattice", sort=False)):
        sublattice = Sublattice(
            part[["x", "y"]].to_numpy(float),
            pixels,
            name=str(name),
            color=_COLORS[number % len(_COLORS)],
            pixel_size=pixel_size,
            units=units,
        )
        _set_fit(sublattice, part)
        sublattices.append(sublattice)
    lattice = Atom_Lattice(image=pixels, sublattice_list=sublattices)
    lattice.set_scale(pixel_size, units)
    return lattice


def _pixels(image: np.ndarray) -> np.ndarray:
    # atomap refuses float16, and its centre of mass is wrong where pixels are negative.
    pixels = np.array(image, dtype=np.float64)
    return pixels - min(pixels.min(), 0.0)


def _neighboured(image: np.ndarray, seeds: np.ndarray) -> tuple[Sublattice, np.ndarray]:
    """Sublattice with its neighbours known, and each atom's distance to the nearest."""
    from atomap.api import Sublattice

    sublattice = Sublattice(seeds, image)
    if len(seeds) == 1:  # a lone atom has no neighbour to measure its mask by
        sublattice.atom_list[0].nearest_neighbor_list = []
        return sublattice, np.array([min(image.shape) / 2])
    sublattice.find_nearest_neighbors(nearest_neighbors=min(9, len(seeds)))
    return sublattice, np.asarray(KDTree(seeds).query(seeds, k=2)[0])[:, 1]


def _mask(percent_to_nn: float, mask_radius: float | None, reach: np.ndarray) -> dict[str, float]:
    if mask_radius is None and len(reach) > 1:
        return {"percent_to_nn": percent_to_nn}
    return {"mask_radius": mask_radius or percent_to_nn * float(reach[0])}


def _sound(
    refined: np.ndarray, seeds: np.ndarray, reach: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Which atoms are finite, inside the image and nearer to their seed than to the next."""
    inside = (refined >= -0.5) & (refined <= np.array(shape[::-1]) - 0.5)
    near = np.hypot(*(refined - seeds).T) <= 0.5 * reach
    return np.isfinite(refined).all(axis=1) & inside.all(axis=1) & near


def _columns_of(sublattice: Any) -> pd.DataFrame:
    """Positions and fit of a sublattice; NaN where an atom still has atomap's defaults."""
    rows = [
        (a.pixel_x, a.pixel_y, a.sigma_x, a.sigma_y, a.rotation, a.amplitude_gaussian)
        for a in sublattice.atom_list
    ]
    table = pd.DataFrame(np.array(rows, dtype=float).reshape(-1, 6), columns=["x", "y", *_FITTED])
    unfitted = (table[_SHAPE].to_numpy() == [1.0, 1.0, 0.01]).all(axis=1)
    table.loc[unfitted, _SHAPE] = np.nan
    # A failed fit leaves an amplitude of 0; a lattice read from a file has lost its own.
    table.loc[table["amplitude"].isin([0.0, 1.0]), "amplitude"] = np.nan
    return table


def _set_fit(sublattice: Sublattice, columns: pd.DataFrame) -> None:
    attributes = dict(zip(_FITTED, [*_SHAPE, "amplitude_gaussian"], strict=True))
    for column, attribute in attributes.items():
        if column in columns:
            for atom, value in zip(sublattice.atom_list, columns[column], strict=True):
                if np.isfinite(value):
                    setattr(atom, attribute, float(value))


def _sublattices(lattice: Any) -> list[Any]:
    if hasattr(lattice, "sublattice_list"):
        found = list(lattice.sublattice_list)
    elif isinstance(lattice, Sequence) and not isinstance(lattice, str):
        found = list(lattice)
    else:
        found = [lattice]
    if not found or not all(hasattr(part, "atom_list") for part in found):
        raise TypeError(
            f"lattice must be an atomap Atom_Lattice with sublattices, a Sublattice or a list "
            f"of them, got {lattice!r}"
        )
    return found


def _names(sublattices: list[Any]) -> list[str]:
    given = [str(getattr(part, "name", "") or "") for part in sublattices]
    own = {name for name in given if name and given.count(name) == 1}
    letters = (letter for letter in string.ascii_uppercase if letter not in own)
    return [name if name in own else next(letters) for name in given]
