"""From numbers per atom to means in regions, profiles and regular maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.regions import along_line, grid_labels, on_grid, region_means
from hyperspy_rvae.lattice.table import nearest_distance
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import like
from hyperspy_rvae.signals.checks import is_number

if TYPE_CHECKING:
    from hyperspy.signals import Signal2D

    from hyperspy_rvae.lattice.axes import Axis
    from hyperspy_rvae.signals.values import AtomValues

Regions: TypeAlias = "int | tuple[int, int] | Any | Mapping[str, Any]"


def calibrated(axes: Sequence[Axis], table: pd.DataFrame) -> np.ndarray:
    """Positions of atoms in the units of the image's axes, shape ``(n, 2)``."""
    y_axis, x_axis = axes[-2:]
    scale, offset = np.array([[axis.scale, axis.offset] for axis in (x_axis, y_axis)]).T
    return table[["x", "y"]].to_numpy() * scale + offset


def inside(axes: Sequence[Axis], table: pd.DataFrame, roi: Any) -> np.ndarray:
    """Whether each atom lies in a HyperSpy ROI, shape ``(n,)``; `axes` are the image's.

    Raises
    ------
    TypeError
        If `roi` is no region of an image.
    """
    x, y = calibrated(axes, table).T
    if hasattr(roi, "left") and hasattr(roi, "top"):
        return (x >= roi.left) & (x < roi.right) & (y >= roi.top) & (y < roi.bottom)
    if hasattr(roi, "cx") and hasattr(roi, "r"):
        distance, hole = np.hypot(x - roi.cx, y - roi.cy), roi.r_inner
        return (distance <= roi.r) & (distance >= (hole if isinstance(hole, float) else 0.0))
    if hasattr(roi, "vertices"):
        return _in_polygon(x, y, np.asarray(roi.vertices, dtype=np.float64))
    raise TypeError(
        "a region must be a RectangularROI, CircleROI or PolygonROI of hyperspy.api.roi, got "
        f"{type(roi).__name__}."
    )


def average_in_regions(signal: AtomValues, regions: Regions, frame: int) -> pd.DataFrame:
    """Average; as ``AtomValues.average_in_regions``."""
    table = frame_rows(signal, frame)
    columns = signal.columns
    if isinstance(regions, (int, np.integer, tuple)):
        parts = regions if isinstance(regions, tuple) else (regions, regions)
        if len(parts) != 2 or not all(isinstance(n, (int, np.integer)) and n > 0 for n in parts):
            raise ValueError(
                f"regions must be a number of parts along x and y, or both, got {regions!r}."
            )
        labels = grid_labels(table[["x", "y"]].to_numpy(), record.image_shape(signal), parts)
        means = region_means(table, labels, columns)
    else:
        axes = record.stored_axes(signal)
        named = regions if isinstance(regions, Mapping) else {"region": regions}
        parts = [
            region_means(here, np.full(len(here), name), columns)
            for name, roi in named.items()
            for here in [table[inside(axes, table, roi)]]
        ]
        means = pd.concat(parts) if parts else region_means(table[:0], np.empty(0), columns)
    if means.empty:
        raise ValueError("no region holds an atom that has numbers; regions are in axes units.")
    means.index.name = "region"
    return means


def line_profile(signal: AtomValues, line: Any, frame: int, step: float | None) -> pd.DataFrame:
    """Profile along a line; as ``AtomValues.line_profile``."""
    if not hasattr(line, "linewidth"):
        raise TypeError(f"line must be a hyperspy.api.roi.Line2DROI, got {type(line).__name__}.")
    table = frame_rows(signal, frame)
    start, end = np.array([line.x1, line.y1]), np.array([line.x2, line.y2])
    length = float(np.hypot(*(end - start)))
    if not length > 0:
        raise ValueError("the line has no length; its ends are the same point.")
    if step is None:
        step = 0.5 * nearest_distance(table) * record.pixel(signal)[0]
    if not (is_number(step) and step > 0):
        raise ValueError(f"step must be a length above 0 in the axes' units, got {step!r}.")
    along, across = along_line(calibrated(record.stored_axes(signal), table), start, end)
    columns = list(signal.columns)
    if columns == ["u", "v"]:
        parts = along_line(table[["u", "v"]].to_numpy(), np.zeros(2), end - start)
        table = table.assign(along=parts[0], across=parts[1])
        columns += ["along", "across"]
    near = (along >= 0) & (along <= length) & (np.abs(across) <= line.linewidth / 2)
    table = table.assign(distance=along)[near]
    labels = np.floor(table["distance"].to_numpy() / step).astype(int)
    profile = region_means(table, labels, ["distance", *columns])
    if profile.empty:
        raise ValueError(
            f"no atom with numbers lies within {line.linewidth / 2:g} of the line, in the units of "
            "the axes; make it wider with linewidth."
        )
    return profile.drop(columns=["x", "y", "distance_sem"]).set_index("distance")


def to_image(signal: AtomValues, columns: str | list[str], frame: int, step: int) -> Signal2D:
    """Interpolate onto a grid; as ``AtomValues.to_image``."""
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or step < 1:
        raise ValueError(f"step must be a whole number of pixels, at least 1, got {step!r}.")
    table = frame_rows(signal, frame, drop=False)
    names = [columns] if isinstance(columns, str) else list(columns)
    unknown = [name for name in names if name not in table]
    if unknown or not all(pd.api.types.is_numeric_dtype(table[name]) for name in names):
        raise ValueError(f"columns must name numbers among {list(table)}, got {names}.")
    table = table.dropna(subset=names)
    if len(table) < 4:
        raise ValueError(f"frame {frame} has {len(table)} atoms with {names}; 4 are needed.")
    values = table[names].to_numpy(dtype=np.float64)
    maps = on_grid(table[["x", "y"]].to_numpy(), values, record.image_shape(signal), step)
    axes = [
        {
            "name": name,
            "size": size,
            "scale": axis.scale * step,
            "offset": axis.offset,
            "units": axis.units or None,
            "navigate": False,
        }
        for name, axis, size in zip(
            "yx", record.stored_axes(signal)[-2:], maps.shape[1:], strict=True
        )
    ]
    if isinstance(columns, str):
        image = like(signal, maps[0], axes, "", {})
    else:
        image = like(
            signal, maps, [{"name": "column", "size": len(names), "navigate": True}, *axes], "", {}
        )
    del image.metadata.Atoms  # the map is one of pixels, no longer of atoms
    image.metadata.set_item("Signal.quantity", ", ".join(names))
    return image


def everything(signal: AtomValues) -> pd.DataFrame:
    """Give all that can be seen: the table, the numbers, and magnitude and angle of vectors."""
    table = signal.to_dataframe()
    if hasattr(signal, "magnitude") and {"u", "v"} <= set(signal.columns):
        table["magnitude"], table["angle"] = signal.magnitude(), signal.angle()
    return table


def frame_rows(signal: AtomValues, frame: int, *, drop: bool = True) -> pd.DataFrame:
    """Rows of one frame, those without numbers left out unless told otherwise.

    Raises
    ------
    ValueError
        If there are none.
    """
    table = everything(signal)
    here = table[table["frame"] == frame]
    here = here.dropna(subset=signal.columns) if drop else here
    if here.empty:
        raise ValueError(
            f"frame {frame!r} has no atoms with numbers; there are frames {table['frame'].min()} "
            f"to {table['frame'].max()}."
        )
    return here


def _in_polygon(x: np.ndarray, y: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Whether points lie in a polygon, by counting the edges that a ray to the right crosses."""
    if vertices.ndim != 2 or len(vertices) < 3:
        raise ValueError("the polygon has fewer than three vertices; draw it first.")
    odd = np.zeros(len(x), dtype=bool)
    for (x1, y1), (x2, y2) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        if y1 != y2:
            odd ^= ((y1 > y) != (y2 > y)) & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return odd
