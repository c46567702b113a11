"""The node ``metadata.Atoms``: the one place where a signal keeps what belongs to its atoms.

HyperSpy drops Python attributes on copy, slice, map and save, and keeps plain data in the
metadata; so everything here is numbers, text, lists, dicts and arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hyperspy_rvae.lattice.axes import Axis, move_table, pack_axes, unmoved, unpack_axes
from hyperspy_rvae.lattice.packing import pack, unpack
from hyperspy_rvae.signals.declared import check_declared

if TYPE_CHECKING:
    import pandas as pd
    from hyperspy.signals import BaseSignal

NODE = "Atoms"
CHANNEL = "channel"
LARGEST = 2**31  # number, so that products of two are whole as well


def image_axes(signal: BaseSignal) -> list[Axis]:
    """All axes of an image in array order: navigation, then y and x."""
    return [_plain(axis) for axis in signal.axes_manager._axes]


def write_table(signal: BaseSignal, table: pd.DataFrame) -> None:
    """Store a table made on the signal as it is now."""
    write(signal, "table", pack(table))
    write(signal, "axes", pack_axes(image_axes(signal)))


def has_table(signal: BaseSignal) -> bool:
    """Whether a table was ever stored."""
    return read(signal, "table") is not None


def stored_table(signal: BaseSignal, *, copy: bool = True) -> pd.DataFrame:
    """Read the table as it was stored, before any crop or slice; to change it, copy it."""
    table = read(signal, "table")
    if isinstance(table, str):
        raise ValueError(f"the table of these atoms is lost: {table:.300}")
    if table is None and hasattr(signal, "find_atoms"):
        raise ValueError(
            "there are no atoms yet: find them with find_atoms(), give them with set_atoms(), or "
            "start from an atomap lattice with hyperspy_rvae.from_atomap()."
        )
    if table is None:
        raise ValueError(
            "the signal has no table of atoms; it comes with what extract_subimages() cuts from "
            "an image with atoms."
        )
    return unpack(table, copy=copy)


def listed_atoms(signal: BaseSignal, *, copy: bool = True) -> pd.DataFrame:
    """Give the rows of the table that are on the atom axis, in its order; change a copy only."""
    table, ids = stored_table(signal, copy=False), atom_ids(signal)
    rows = table.index.get_indexer(ids)
    unknown = ids[rows < 0]
    if len(unknown):
        raise ValueError(
            f"{len(unknown)} atoms of the atom axis are not in the table, the first has the id "
            f"{unknown[0]}; the axis must keep the ids that it came with."
        )
    if len(rows) and (np.diff(rows) == 1).all():  # a slice, which shares its numbers
        listed = table.iloc[rows[0] : rows[-1] + 1]
        return listed.copy() if copy else listed
    return table.iloc[rows]


def stored_axes(signal: BaseSignal) -> list[Axis]:
    """Read the image's axes of when its atoms were last seen in step."""
    axes = read(signal, "axes")
    if isinstance(axes, str):
        raise ValueError(f"the atoms were lost before: {axes:.300}")
    return unpack_axes(axes)


def current_table(image: BaseSignal, *, copy: bool = True) -> pd.DataFrame:
    """Give the image's table on its pixels and frames of today; to change it, copy it."""
    return move_table(stored_table(image, copy=copy), followed_axes(image))


def is_current(image: BaseSignal) -> bool:
    """Whether the table is of the image's pixels and frames of today as it is stored."""
    return unmoved(followed_axes(image))


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
    if lost < 0 or (lost and any(axis.size > 1 for axis in live[:-2])):
        raise ValueError(
            f"the atoms were set on an image with {len(live) - 2} navigation axes and it has "
            f"{len(now) - 2} now, so their frames are not known; take frames with inav, which "
            "keeps the atoms in step, or set the atoms again."
        )
    squeezed = [id(axis) for axis in live[:lost]]
    stored = [axis.pick(0) if id(axis) in squeezed else axis for axis in stored]
    _check_order(live[lost:], now)
    rest = iter(now)
    followed = [axis if axis.taken else axis.follow(next(rest)) for axis in stored]
    for was, axis in zip(stored[:-2], followed[:-2], strict=True):
        if not axis.taken and abs(axis.step) != abs(was.step):
            raise ValueError(
                f"frames were summed along the navigation axis ({was.size} became {axis.size}), so "
                "an atom no longer belongs to one frame; set the atoms of the summed frames anew."
            )
    return followed


def _check_order(then: list[Axis], now: list[Axis]) -> None:
    names, before = [axis.name for axis in now], [axis.name for axis in then]
    if names != before and sorted(names) == sorted(before):
        raise ValueError(
            f"the axes were {before} in array order when the atoms were noted and are {names} now: "
            "they were exchanged, which the table does not follow; set the atoms again."
        )


def note_rebin(signal: BaseSignal, rebinned: BaseSignal) -> None:
    """Note on `rebinned` that its atoms were summed, if they were."""
    atom = next((k for k, axis in enumerate(signal.axes_manager._axes) if axis.name == "atom"), 0)
    for axis, key, what in ((atom, "table", "atoms"), (-1, "latents", "latents")):
        before, after = signal.axes_manager._axes[axis].size, rebinned.axes_manager._axes[axis].size
        if before != after and read(signal, key) is not None:
            write(
                rebinned,
                key,
                f"{what} were summed by rebin ({before} became {after}), so that none is left by "
                "itself; take every n-th with inav or isig instead.",
            )


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
    node = signal.metadata.get_item(NODE)
    if node is not None and not hasattr(node, "get_item"):
        raise ValueError(f"metadata.{NODE} is {node!r:.40}, not a node; the file is damaged.")
    value = None if node is None else node.get_item(key)
    value = value.as_dictionary() if hasattr(value, "as_dictionary") else value
    check_declared(value, f"{NODE}.{key}")
    return value


def read_node(signal: BaseSignal, key: str) -> dict[str, Any]:
    """One entry that is a node itself, empty where it is not there."""
    value = read(signal, key)
    if value is not None and not isinstance(value, dict):
        raise ValueError(
            f"metadata.{NODE}.{key} is {value!r:.40}, not a node; the file is damaged."
        )
    return value or {}


def write(signal: BaseSignal, key: str, value: Any) -> None:
    """Set one entry of the node."""
    if not hasattr(signal.metadata.get_item(NODE), "get_item"):
        signal.metadata.set_item(NODE, {})
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


def image_pixel(image: BaseSignal) -> tuple[float, float, str]:
    """Width and height of an image's pixel as it is now, and their units ("" where undefined)."""
    y_axis, x_axis = image_axes(image)[-2:]
    return abs(x_axis.scale), abs(y_axis.scale), x_axis.units


def pixel_aspect(image: BaseSignal) -> float:
    """Height of an image's pixel over its width; 1 where the axes have different units."""
    y_axis, x_axis = image_axes(image)[-2:]
    return abs(y_axis.scale / x_axis.scale) if y_axis.units == x_axis.units else 1.0


def image_shape(signal: BaseSignal) -> tuple[int, int]:
    """Height and width in pixels of the image that the atoms are on."""
    y_axis, x_axis = stored_axes(signal)[-2:]
    return y_axis.size, x_axis.size


def navigation_of(signal: BaseSignal) -> list[Any]:
    """Navigation axes but for that of the channels."""
    return [axis for axis in signal.axes_manager.navigation_axes if axis.name != CHANNEL]


def atom_ids(signal: BaseSignal) -> np.ndarray:
    """Ids of the atoms on the atom axis, int, shape ``(n,)``.

    Raises
    ------
    ValueError
        If the atom axis is gone, as after ``inav[3]`` or a mean over atoms.
    """
    axes = navigation_of(signal)
    if len(axes) != 1:
        raise ValueError(
            f"which atoms these are is not known: the signal has {len(axes)} navigation axes, "
            "needed is the one of the atoms; take atoms with inav[k : k + 1], and of several "
            "channels inav[:, k : k + 1]."
        )
    (axis,) = axes
    there = signal.data.shape[axis.index_in_array]
    if axis.size != there:
        raise ValueError(
            f"the atom axis has {axis.size} values for {there} rows of data; the file is damaged."
        )
    return whole_axis(axis, "atom")


def whole_axis(axis: Any, what: str) -> np.ndarray:
    """Values of an axis whose values are indices or ids.

    Raises
    ------
    ValueError
        If they are not whole numbers, as after ``rebin``.
    """
    if axis.is_uniform and _whole(axis.offset) and _whole(axis.scale) and axis.scale:
        first, step = int(axis.offset), int(axis.scale)
        return np.arange(first, first + step * axis.size, step)
    values = np.rint(axis.axis).astype(np.int64)
    if not np.allclose(values, axis.axis, rtol=0, atol=1e-3):
        raise ValueError(
            f"the {what} axis has values that are no whole numbers, such as {axis.axis[0]:g}: "
            "values were summed or the axis was calibrated; take every n-th with a slice instead."
        )
    return values


def _whole(number: float) -> bool:
    return float(number).is_integer() and abs(number) < LARGEST
