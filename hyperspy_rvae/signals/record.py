"""The node ``metadata.Atoms``: the one place where a signal keeps what belongs to its atoms.

HyperSpy drops Python attributes on copy, slice, map and save, and keeps plain data in the
metadata; so everything here is numbers, text, lists, dicts and arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hyperspy_rvae.lattice.axes import Axis, move_table, pack_axes, unpack_axes
from hyperspy_rvae.lattice.table import pack, unpack

if TYPE_CHECKING:
    import pandas as pd
    from hyperspy.signals import BaseSignal

NODE = "Atoms"


def image_axes(signal: BaseSignal) -> list[Axis]:
    """All axes of an image in array order: navigation, then y and x."""
    return [_plain(axis) for axis in signal.axes_manager._axes]


def write_table(signal: BaseSignal, table: pd.DataFrame) -> None:
    """Store a table made on the signal as it is now."""
    write(signal, "table", pack(table))
    write(signal, "axes", pack_axes(image_axes(signal)))


def has_table(signal: BaseSignal) -> bool:
    """Whether a table was ever stored."""
    return signal.metadata.has_item(f"{NODE}.table")


def stored_table(signal: BaseSignal) -> pd.DataFrame:
    """Read the table as it was stored, before any crop or slice."""
    if not has_table(signal):
        raise ValueError(
            "there are no atoms yet: find them with find_atoms(), give them with set_atoms(), or "
            "start from an atomap lattice with hyperspy_rvae.from_atomap()."
        )
    return unpack(read(signal, "table"))


def stored_axes(signal: BaseSignal) -> list[Axis]:
    """Read the image's axes of when its atoms were last seen in step."""
    axes = read(signal, "axes")
    if isinstance(axes, str):
        raise ValueError(axes)
    return unpack_axes(axes)


def current_table(image: BaseSignal) -> pd.DataFrame:
    """Give the image's table on its pixels and frames of today."""
    return move_table(stored_table(image), followed_axes(image))


def followed_axes(image: BaseSignal) -> list[Axis]:
    """Bring the stored axes up to date with the image's own.

    Raises
    ------
    ValueError
        If the frame was lost, frames were summed, or a crop cannot be told from a calibration.
    """
    stored, now = stored_axes(image), image_axes(image)
    live = [axis for axis in stored if not axis.taken]
    lost = len(live) - len(now)
    if lost < 0 or any(axis.size > 1 for axis in live[:lost]):
        raise ValueError(
            f"the atoms were set on an image with {len(live) - 2} navigation axes and it has "
            f"{len(now) - 2} now, so their frames are not known; take frames with inav, which "
            "keeps the atoms in step, or set the atoms again."
        )
    squeezed = [id(axis) for axis in live[:lost]]
    stored = [axis.pick(0) if id(axis) in squeezed else axis for axis in stored]
    rest = iter(now)
    followed = [axis if axis.taken else axis.follow(next(rest)) for axis in stored]
    for was, axis in zip(stored[:-2], followed[:-2], strict=True):
        if not axis.taken and abs(axis.step) != abs(was.step):
            raise ValueError(
                f"frames were summed along the navigation axis ({was.size} became {axis.size}), so "
                "an atom no longer belongs to one frame; set the atoms of the summed frames anew."
            )
    return followed


def note_slice(image: BaseSignal, sliced: BaseSignal, array_slices: tuple[Any, ...]) -> None:
    """Note on `sliced` which part of `image` it is.

    `array_slices` is what HyperSpy's slicer makes of the slices: one an axis, in array order.
    """
    if not has_table(image):
        return
    try:
        followed = followed_axes(image)
    except ValueError as error:  # the slice is right all the same; what was lost stays lost
        write(sliced, "axes", str(error))
        return
    now = iter(image_axes(sliced))
    cuts = iter(array_slices)
    axes = []
    for axis in followed:
        if not axis.taken:
            cut = next(cuts)
            axis = axis.sliced(next(now)) if isinstance(cut, slice) else axis.pick(int(cut))
        axes.append(axis)
    write(sliced, "axes", pack_axes(axes))


def read(signal: BaseSignal, key: str) -> Any:
    """One entry of the node, as plain data."""
    value = signal.metadata.get_item(f"{NODE}.{key}")
    return value.as_dictionary() if hasattr(value, "as_dictionary") else value


def write(signal: BaseSignal, key: str, value: Any) -> None:
    """Set one entry of the node."""
    signal.metadata.set_item(f"{NODE}.{key}", value)


def _plain(axis: Any) -> Axis:
    if not axis.is_uniform:
        # Only lists of atoms have such an axis; as an image's axis it is known by its index.
        scale, offset = 1.0, 0.0
    else:
        scale, offset = float(axis.scale), float(axis.offset)
    return Axis(_text(axis.name), _text(axis.units), scale, offset, int(axis.size), int(axis.size))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""  # HyperSpy's Undefined is no text


def pixel(signal: BaseSignal) -> tuple[float, float, str]:
    """Width and height of the image's pixel, and their units ("" where undefined)."""
    y_axis, x_axis = stored_axes(signal)[-2:]
    return abs(x_axis.scale), abs(y_axis.scale), x_axis.units


def atom_ids(signal: BaseSignal) -> np.ndarray:
    """Ids of the atoms on the atom axis, int, shape ``(n,)``.

    Raises
    ------
    ValueError
        If the atom axis is gone, as after ``inav[3]`` or a mean over atoms.
    """
    if signal.axes_manager.navigation_dimension != 1:
        raise ValueError(
            "which atoms these are is not known: the signal has "
            f"{signal.axes_manager.navigation_dimension} navigation axes, needed is the one of "
            "the atoms; take atoms with inav[k : k + 1]."
        )
    return np.rint(signal.axes_manager.navigation_axes[0].axis).astype(np.int64)
