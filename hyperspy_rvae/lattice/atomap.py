"""The bridge to atomap's objects: lattices to tables and back."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.refinement.kernel import TAIL_COLUMNS, TAILS

if TYPE_CHECKING:
    from atomap.api import Atom_Lattice, Sublattice

SHAPE = ["sigma_x", "sigma_y", "rotation"]
FITTED = [*SHAPE, "amplitude"]
_COLORS = ("red", "blue", "green", "yellow", "cyan", "magenta")


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
        part = columns_of(sublattice)
        part.insert(0, "frame", 0)
        part.insert(3, "sublattice", name)
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    return table.drop(columns=[column for column in FITTED if table[column].isna().all()])


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
        their atoms in the order of the table, zone axes and atom planes included.
    """
    from atomap.api import Atom_Lattice, Sublattice

    from hyperspy_rvae.lattice.atomap_planes import set_zone_axes

    pixels = bright_pixels(image)
    table = _without_tails(table)
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
        set_fit(sublattice, part)
        set_zone_axes(sublattice)
        sublattices.append(sublattice)
    lattice = Atom_Lattice(image=pixels, sublattice_list=sublattices)
    lattice.set_scale(pixel_size, units)
    return lattice


def _without_tails(table: pd.DataFrame) -> pd.DataFrame:
    """Give the volumes of Gaussians that are as high as the columns, which may have tails."""
    if "amplitude" not in table or not set(TAIL_COLUMNS) <= set(table):
        return table
    tails = table[TAIL_COLUMNS].fillna(0.0).to_numpy(float)
    spread = 1.0 + tails @ (np.square(TAILS) - 1.0)
    return table.assign(amplitude=table["amplitude"] / spread)


def bright_pixels(image: np.ndarray) -> np.ndarray:
    """Copy an image to float64, lifted so that no pixel is negative."""
    # atomap refuses float16, and its centre of mass is wrong where pixels are negative.
    pixels = np.array(image, dtype=np.float64)
    return pixels - min(pixels.min(), 0.0)


def columns_of(sublattice: Any) -> pd.DataFrame:
    """Positions and fit of a sublattice; NaN where an atom still has atomap's defaults."""
    rows = [
        (a.pixel_x, a.pixel_y, a.sigma_x, a.sigma_y, a.rotation, a.amplitude_gaussian)
        for a in sublattice.atom_list
    ]
    table = pd.DataFrame(np.array(rows, dtype=float).reshape(-1, 6), columns=["x", "y", *FITTED])
    unfitted = (table[SHAPE].to_numpy() == [1.0, 1.0, 0.01]).all(axis=1)
    table.loc[unfitted, SHAPE] = np.nan
    # A failed fit leaves an amplitude of 0; a lattice read from a file has lost its own.
    table.loc[table["amplitude"].isin([0.0, 1.0]), "amplitude"] = np.nan
    return table


def set_fit(sublattice: Sublattice, columns: pd.DataFrame) -> None:
    """Write widths, rotation and amplitude to a sublattice's atoms, where they are finite."""
    attributes = dict(zip(FITTED, [*SHAPE, "amplitude_gaussian"], strict=True))
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
