"""The ways in from atomap's lattices and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from hyperspy_rvae.lattice.atomap import (
    image_from_lattice,
    table_from_lattice,
    to_atom_lattice,
)
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.checks import check_image, frame_count, movie_of
from hyperspy_rvae.signals.reading import read_frame

if TYPE_CHECKING:
    from hyperspy.signals import Signal2D

    from hyperspy_rvae.signals.image import AtomLatticeImage


def from_atomap(lattice: Any, signal: Signal2D | None = None) -> AtomLatticeImage:
    """Make an atom-lattice image of atomap's sublattices.

    The positions are copied and atomap's objects let go of.

    Parameters
    ----------
    lattice
        An ``Atom_Lattice``, a ``Sublattice``, or a list of them; of atomap, or of the copy of it
        that comes with temul.
    signal
        The image that the lattice was made on, calibrated, lazy, or a movie of which it was one
        frame or the mean: then every frame gets the same positions, to be refined frame by frame.
        If not given, atomap's image and its one pixel size are taken.

    Returns
    -------
    image
        With its table of atoms; a copy that shares its pixels with `signal`.

    Raises
    ------
    TypeError
        If `lattice` is none of the three.
    ValueError
        If `signal` has another number of pixels than the lattice's image, or an atom lies outside
        the image or on top of another.

    Examples
    --------
    >>> import atomap.api as am
    >>> import hyperspy_rvae as hrv
    >>> s = hrv.from_atomap(am.dummy_data.get_polarization_film_atom_lattice())
    >>> sorted(s.atoms["sublattice"].unique())
    ['A', 'B']
    """
    from hyperspy.signals import Signal2D

    table = table_from_lattice(lattice)
    pixels, pixel_size, units = image_from_lattice(lattice)
    if signal is None:
        image = Signal2D(pixels)
        for axis, name in zip(image.axes_manager.signal_axes, "xy", strict=True):
            axis.name, axis.scale, axis.units = name, pixel_size, units
    else:
        check_image(signal)
        if signal.data.shape[-2:] != pixels.shape:
            raise ValueError(
                f"signal has frames of {signal.data.shape[-1]} x {signal.data.shape[-2]} pixels "
                f"(x, y) and the lattice was made on {pixels.shape[1]} x {pixels.shape[0]}; give "
                "the image it was made on."
            )
        image = signal._deepcopy_with_new_data(signal.data)
        frames = range(frame_count(signal))
        table = pd.concat([table.assign(frame=frame) for frame in frames], ignore_index=True)
    image.set_signal_type("atom_lattice")
    image.set_atoms(table)
    return image


def to_atomap(image: AtomLatticeImage, frame: int) -> Any:
    """One frame as atomap's ``Atom_Lattice``; as ``AtomLatticeImage.to_atomap``."""
    table = image.atoms
    if frame not in range(frame_count(image)):
        raise ValueError(
            f"frame {frame!r} is not there; the image has frames 0 to {frame_count(image) - 1}."
        )
    rows = table[table["frame"] == frame]
    if rows.empty:
        raise ValueError(f"frame {frame} has no atoms.")
    axis = record.image_axes(image)[-1]
    pixels = read_frame(movie_of(image), frame)
    return to_atom_lattice(pixels, rows, pixel_size=abs(axis.scale), units=axis.units or "pixel")
