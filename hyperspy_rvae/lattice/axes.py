"""How the pixels of an image have moved since its table of atoms was made.

Axes are told apart by scale, offset, size and units alone, because HyperSpy's crops and rebins
leave no other trace. A pixel index of the table ``i`` is now at ``(i - origin) / step``.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.table import AT_ONCE

CLOSE = 1e-4
PIXELS = {"px", "pix", "pixel", "pixels"}  # pint knows the typographer's, of 1/96 inch
SPELLED = {"A": "angstrom"}  # an ampere, to pint
MOST_AXES = 32  # NumPy arrays have no more
LONGEST_UNIT = 40
TOWER = re.compile(r"[\d)]\s*(\*\*|\^|[⁰¹²³⁴-⁹])")  # pint would work out 9**9**9


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis as last seen, and what has become of the table's indices on it.

    Attributes
    ----------
    name, units, scale, offset, size
        As HyperSpy has them; units "" where undefined.
    count
        Number of pixels, or frames, when the table was made.
    origin, step
        Index of the table at today's index 0, and its change from one index to the next.
    taken
        True where one index was taken, so that the axis is gone; `origin` says which.
    stride
        Pixels of the table for one of today's, as far as slices skipped them and no sum took
        them in.
    """

    name: str
    units: str
    scale: float
    offset: float
    size: int
    count: int
    origin: float = 0.0
    step: float = 1.0
    taken: bool = False
    stride: float = 1.0

    def sliced(self, now: Axis) -> Axis:
        """Give the axis after what is known to be a slice."""
        start = (now.offset - self.offset) / self.scale
        step = now.scale / self.scale
        return dataclasses.replace(self._onto(now, start, step), stride=self.stride * abs(step))

    def pick(self, index: int) -> Axis:
        """Give the axis after one index was taken from it."""
        return dataclasses.replace(
            self, origin=self.origin + (index % self.size) * self.step, taken=True
        )

    def follow(self, now: Axis) -> Axis:
        """Give the axis after changes that left no trace but the axis itself.

        An axis of unchanged size has been calibrated anew (or turned round); otherwise it has been
        cropped or rebinned.

        Raises
        ------
        ValueError
            If the change is neither, or could be several.
        """
        if now.size == self.size:
            last = self.offset + (self.size - 1) * self.scale
            turned = np.isclose(now.scale, -self.scale) and np.isclose(now.offset, last)
            return (
                self._onto(now, self.size - 1, -1.0)
                if turned and self.size > 1
                else self._onto(now, 0.0, 1.0)
            )
        factor = unit_factor(now.units, self.units)
        step = now.scale * factor / self.scale
        start = (now.offset * factor - self.offset) / self.scale
        edge = start - (step - 1) / 2
        inside = edge > -CLOSE and edge + step * now.size < self.size + CLOSE
        cropped = abs(step - 1) < CLOSE and _whole(start)
        rebinned = abs(step * now.size - self.size) < CLOSE * self.size
        both = step > 0 and (_whole(step) or _whole(1 / step)) and _whole(edge * max(1.0, 1 / step))
        if step <= 0 or not inside or not (cropped or rebinned or both):
            raise ValueError(
                f"axis {self.name or 'without a name'} had {self.size} pixels of {self.scale:g} "
                f"{self.units} from {self.offset:g} when its atoms were noted and has {now.size} "
                f"of {now.scale:g} {now.units} from {now.offset:g} now, which is no crop and no "
                "rebin: it was calibrated anew besides, and the two cannot be told apart. "
                "Calibrate before setting the atoms or crop with isig, or set the atoms again."
            )
        return self._onto(now, start, step)

    def _onto(self, now: Axis, start: float, step: float) -> Axis:
        return dataclasses.replace(
            now,
            count=self.count,
            origin=self.origin + start * self.step,
            step=self.step * step,
            stride=self.stride,
        )


def unit_factor(units: str, target: str) -> float:
    """How many `target` one of `units` is; 1 where they are spelled alike.

    Raises
    ------
    ValueError
        If one cannot be converted to the other, or is not known.
    """
    units, target = SPELLED.get(units, units), SPELLED.get(target, target)
    if units == target:
        return 1.0
    import pint

    registry = pint.get_application_registry()
    try:
        if {units, target} & PIXELS:
            raise ValueError("a pixel is no fixed length")
        if any(len(text) > LONGEST_UNIT or TOWER.search(text) for text in (units, target)):
            raise ValueError("they are not spelled like units")
        return float(registry.Quantity(1.0, units or None).to(target or None).magnitude)
    except Exception as error:  # what is no unit fails in any way
        raise ValueError(
            f"units {units or 'undefined'!r:.60} cannot be converted to "
            f"{target or 'undefined'!r:.60}; calibrate both signal axes in a unit of "
            "length, such as nm."
        ) from error


def pack_axes(axes: Sequence[Axis]) -> dict[str, list[Any]]:
    """Make lists of plain values, one per field, fit for HyperSpy metadata."""
    return {
        field.name: [getattr(axis, field.name) for axis in axes]
        for field in dataclasses.fields(Axis)
    }


def unpack_axes(record: Mapping[str, Any]) -> list[Axis]:
    """Rebuild the axes that :func:`pack_axes` took apart.

    Raises
    ------
    ValueError
        If the record is not one that :func:`pack_axes` makes, as in a damaged or foreign file.
    """
    kinds = {"name": str, "units": str, "size": int, "count": int, "taken": bool}
    try:
        names = [field.name for field in dataclasses.fields(Axis)]
        if any(not isinstance(record[name], list | tuple | np.ndarray) for name in names):
            raise TypeError("they are no lists")
        if any(np.iscomplexobj(record[name]) for name in names):
            raise TypeError("they are complex")
        if any(len(record[name]) > MOST_AXES for name in names):
            raise ValueError(f"there are more than {MOST_AXES}")
        rows = zip(*(list(record[name]) for name in names), strict=True)
        axes = [
            Axis(
                **{
                    name: kinds.get(name, float)(value)
                    for name, value in zip(names, row, strict=True)
                }
            )
            for row in rows
        ]
        for axis in axes:
            numbers = np.array([axis.scale, axis.offset, axis.origin, axis.step, axis.stride])
            if not np.isfinite(numbers).all() or 0 in (axis.scale, axis.step, axis.stride):
                raise ValueError("an axis has a scale of 0 or numbers that are not finite")
            if axis.size < 1 or axis.count < 1:
                raise ValueError("an axis has no pixels")
        if len(axes) < 2:
            raise ValueError("an image has at least two axes")
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"the axes stored with the atoms cannot be read ({error}); set the atoms again."
        ) from error
    return axes


def unmoved(axes: Sequence[Axis]) -> bool:
    """Whether an image has the pixels and frames on which its table was made."""
    return all(
        axis.origin == 0 and axis.step == 1 and axis.size == axis.count and not axis.taken
        for axis in axes
    )


def move_table(table: pd.DataFrame, axes: Sequence[Axis]) -> pd.DataFrame:
    """Move a table to today's pixels and frames.

    Parameters
    ----------
    table
        As it was made.
    axes
        All axes in array order (navigation first, then y and x), those that were taken included.

    Returns
    -------
    table
        Atoms that have left the image or whose frame is gone are left out; ids stay.
    """
    frames = math.prod(axis.count for axis in axes[:-2])
    if len(table) and table["frame"].max() >= frames:
        raise ValueError(
            f"the table has atoms in frame {table['frame'].max()} and was made on an image of "
            f"{frames} frames; the file is damaged, set the atoms again."
        )
    if not table["frame"].is_monotonic_increasing:
        raise ValueError(
            "the table is not sorted by frame; the file is damaged, set the atoms again."
        )
    if unmoved(axes):
        return table
    starts = range(0, max(1, len(table)), AT_ONCE)  # a part at a time, to save memory
    moved = pd.concat([_moved(table.iloc[first : first + AT_ONCE], axes) for first in starts])
    if moved["frame"].is_monotonic_increasing:
        return moved
    return moved.sort_values("frame", kind="stable")


def _moved(table: pd.DataFrame, axes: Sequence[Axis]) -> pd.DataFrame:
    navigation, (y_axis, x_axis) = axes[:-2], axes[-2:]
    frame, keep = _frames(table["frame"].to_numpy(), navigation)
    moved = table.assign(
        frame=frame,
        x=(table["x"] - x_axis.origin) / x_axis.step,
        y=(table["y"] - y_axis.origin) / y_axis.step,
    )
    for name, axis in (("x", x_axis), ("y", y_axis)):
        values = moved[name].to_numpy()
        keep &= (values >= -0.5) & (values < axis.size - 0.5)
        if f"{name}_std" in moved:
            moved[f"{name}_std"] /= abs(axis.step)
        if f"drift_{name}" in moved:
            moved[f"drift_{name}"] /= axis.step
    moved = _move_ellipses(moved, x_axis.step, y_axis.step)
    if "amplitude" in moved:  # a volume: sums over pixels keep it, skipped pixels take their share
        moved["amplitude"] /= x_axis.stride * y_axis.stride
    if "background" in moved:  # of one pixel: sums over pixels add it up
        summed = x_axis.step * y_axis.step / (x_axis.stride * y_axis.stride)
        moved["background"] *= abs(summed)
    return moved[keep]


def _frames(frame: np.ndarray, navigation: Sequence[Axis]) -> tuple[np.ndarray, np.ndarray]:
    """Today's flat frame of each atom, and whether it is still there."""
    keep = np.ones(len(frame), dtype=bool)
    if not navigation:
        return frame, keep
    flat = np.zeros(len(frame), dtype=np.int64)
    for index, axis in zip(
        np.unravel_index(frame, [axis.count for axis in navigation]), navigation, strict=True
    ):
        now = (index - axis.origin) / (1 if axis.taken else axis.step)
        whole = np.rint(now)
        size = 1 if axis.taken else axis.size
        keep &= (np.abs(now - whole) < CLOSE) & (whole >= 0) & (whole < size)
        flat = flat * size + np.clip(whole, 0, size - 1).astype(np.int64)
    return flat, keep


def _move_ellipses(table: pd.DataFrame, step_x: float, step_y: float) -> pd.DataFrame:
    """Widths and rotation of the fitted columns on pixels of another size or direction."""
    if not {"sigma_x", "sigma_y", "rotation"} <= set(table) or step_x == step_y == 1:
        return table
    cos, sin = np.cos(table["rotation"].to_numpy()), np.sin(table["rotation"].to_numpy())
    long = np.stack([cos / step_x, sin / step_y], -1) * table["sigma_x"].to_numpy()[:, None]
    short = np.stack([-sin / step_x, cos / step_y], -1) * table["sigma_y"].to_numpy()[:, None]
    covariance = long[:, :, None] * long[:, None] + short[:, :, None] * short[:, None]
    fitted = np.isfinite(covariance).all((1, 2))
    variance, axes = np.linalg.eigh(np.where(fitted[:, None, None], covariance, np.eye(2)))
    sigma = np.where(fitted[:, None], np.sqrt(variance), np.nan)
    wide = (table["sigma_x"] >= table["sigma_y"]).to_numpy().astype(int)
    along = np.take_along_axis(axes, wide[:, None, None], 2)[..., 0]
    return table.assign(
        sigma_x=np.take_along_axis(sigma, wide[:, None], 1)[:, 0],
        sigma_y=np.take_along_axis(sigma, 1 - wide[:, None], 1)[:, 0],
        rotation=np.where(fitted, np.arctan2(along[:, 1], along[:, 0]) % np.pi, np.nan),
    )


def _whole(value: float) -> bool:
    return abs(value - np.rint(value)) < CLOSE
