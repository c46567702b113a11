"""The table of atoms: checked on the way in, and taken apart by sublattice and by frame.

A table is a :class:`pandas.DataFrame` indexed by atom id, sorted by frame, with the columns
``frame`` (int), ``x``, ``y`` (float64, pixels, column and row, integer = pixel centre) and
``sublattice`` (str). Further columns, numbers or text, ride along.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from hyperspy_rvae.lattice.columns import join, take_apart

REQUIRED = ("frame", "x", "y", "sublattice")
CLOSEST_PX = 1e-3
MOST_FRAMES = 2**53  # beyond, not every whole number is a float
AT_ONCE = 2**18  # atoms


def as_table(
    atoms: pd.DataFrame | np.ndarray | Mapping[int, np.ndarray],
    frames: int,
    shape: tuple[int, int],
) -> pd.DataFrame:
    """Turn what a user brings into a checked table.

    Parameters
    ----------
    atoms
        A DataFrame with at least ``x`` and ``y`` (``frame`` may be left out for a single image,
        ``sublattice`` is "A" if left out), an ``(n, 2)`` array of x and y for a single image, or
        a mapping of frame number to such an array.
    frames
        Number of frames that the image has.
    shape
        Height and width of a frame in pixels.

    Returns
    -------
    table
        Sorted by frame, index 0 to n - 1.

    Raises
    ------
    TypeError
        If `atoms` is none of the three.
    ValueError
        If a column is missing or holds complex numbers, a number is not finite, or a position lies
        outside the image, in a frame that is not there, or on top of another.
    """
    table = _frame_of(atoms)
    if not table.columns.is_unique:
        raise ValueError(f"the table has columns of the same name: {list(table)}; rename them.")
    missing = [name for name in ("x", "y") if name not in table]
    if missing:
        raise ValueError(
            f"the table has no column {' and no column '.join(missing)}; it has {list(table)}. "
            "Name the columns x (column of the image) and y (row), in pixels."
        )
    if "frame" not in table:
        if frames > 1:
            raise ValueError(
                f"the table has no column frame and the image has {frames} frames; add the column, "
                "or give a dict of frame number to positions."
            )
        table["frame"] = 0
    if "sublattice" not in table:
        table["sublattice"] = "A"
    if table.empty:
        raise ValueError("the table holds no atoms; give at least one position.")
    ordered = [*REQUIRED, *(name for name in table if name not in REQUIRED)]
    table = table if list(table) == ordered else table[ordered]
    check_numbers(table)
    _check_real(table)
    if table["sublattice"].isna().any():
        raise ValueError(
            f"{table['sublattice'].isna().sum()} atoms have no sublattice; name one for each."
        )
    if "converged" in table:  # atoms that were never fitted did not converge
        table["converged"] = table["converged"].eq(True)
    table = table.astype({"x": np.float64, "y": np.float64, "frame": np.int64, "sublattice": str})
    if not table["frame"].is_monotonic_increasing:
        table = table.sort_values("frame", kind="stable", ignore_index=True)
    _check_places(table, frames, shape)
    return table


def settled(atoms: pd.DataFrame) -> np.ndarray:
    """Which atoms a fit has found, shape ``(n,)``; all of them where none was made."""
    if "converged" not in atoms or not atoms["converged"].any():
        return np.ones(len(atoms), dtype=bool)
    return atoms["converged"].to_numpy(dtype=bool)


def settled_rows(atoms: pd.DataFrame) -> pd.DataFrame:
    """Give the atoms that a fit has found; the table itself where these are all."""
    good = settled(atoms)
    return atoms if good.all() else atoms[good]


def select_sublattice(table: pd.DataFrame, sublattice: str | None) -> pd.DataFrame:
    """Rows of one sublattice, or all rows for None.

    Raises
    ------
    ValueError
        If the table is empty or has no such sublattice.
    """
    if table.empty:
        raise ValueError(
            "no atom lies in this part of the image; take a larger part, or find atoms in it."
        )
    if sublattice is None:
        return table
    chosen = (table["sublattice"] == sublattice).to_numpy()
    if not chosen.any():
        known = ", ".join(map(repr, dict.fromkeys(table["sublattice"])))
        raise ValueError(f"there is no sublattice {sublattice!r}; the table has {known}.")
    return table if chosen.all() else table[chosen]


def replace_sublattice(
    table: pd.DataFrame | None, sublattice: str, found: pd.DataFrame
) -> pd.DataFrame:
    """Replace one sublattice's rows by `found`; ids start anew from 0."""
    found = found.assign(sublattice=sublattice)
    kept = [] if table is None else [table[table["sublattice"] != sublattice]]
    parts = [rows for rows in (*kept, found) if len(rows)] or [found]
    if len(parts) == 1 and parts[0]["frame"].is_monotonic_increasing:
        return parts[0].reset_index(drop=True)
    frame = np.concatenate([rows["frame"] for rows in parts])
    return join([take_apart(rows, copy=False) for rows in parts], frame)


def rows_by_frame(frame: np.ndarray) -> Iterator[tuple[int, slice | np.ndarray]]:
    """Go through the frames that have atoms, in ascending order, without a copy of the table.

    Parameters
    ----------
    frame
        Of each row, shape ``(n,)``.

    Yields
    ------
    frame
        Its number.
    rows
        Which are in it, in their order: a slice where the frames ascend, as in a table they do.
    """
    order = None
    if (frame[1:] < frame[:-1]).any():
        order = np.argsort(frame, kind="stable")
        frame = frame[order]
    first = np.r_[True, frame[1:] != frame[:-1]][: len(frame)]
    ends = np.append(np.flatnonzero(first), len(frame)).tolist()
    for start, end in pairwise(ends):
        yield int(frame[start]), slice(start, end) if order is None else order[start:end]


def nearest_distance(table: pd.DataFrame, frames: int = 8) -> float:
    """Median distance to the nearest neighbour in pixels, over the first `frames` frames.

    NaN where no frame has two atoms.
    """
    distances = [np.empty(0)]
    for _, rows in islice(rows_by_frame(table["frame"].to_numpy()), frames):
        xy = table[["x", "y"]].iloc[rows].to_numpy()
        if len(xy) > 1:
            distances.append(np.asarray(cKDTree(xy).query(xy, k=2)[0])[:, 1])
    merged = np.concatenate(distances)
    return float(np.median(merged)) if merged.size else float("nan")


def _frame_of(atoms: Any) -> pd.DataFrame:
    if isinstance(atoms, pd.DataFrame):
        return atoms.reset_index(drop=True)
    if isinstance(atoms, Mapping):
        parts = [
            _positions(xy, f"frame {frame}").assign(frame=frame)
            for frame, xy in atoms.items()
            if len(xy)
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"x": [], "y": []})
    if isinstance(atoms, (np.ndarray, list, tuple)):
        return _positions(atoms, "the positions")
    raise TypeError(
        f"atoms must be a DataFrame, an (n, 2) array of x and y, or a dict of frame number to such "
        f"arrays, got {type(atoms).__name__}."
    )


def _positions(xy: Any, what: str) -> pd.DataFrame:
    values = np.asarray(xy)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(f"{what} must have shape (n, 2), x and y in pixels, got {values.shape}.")
    return pd.DataFrame(values, columns=["x", "y"])


def check_numbers(table: pd.DataFrame) -> None:
    """Refuse frames and positions that are not finite numbers, and frames that are not whole."""
    for name in ("frame", "x", "y"):
        values = table[name]
        if not pd.api.types.is_numeric_dtype(values) or np.iscomplexobj(values):
            raise ValueError(f"column {name} must hold real numbers, got {values.dtype}.")
        if pd.api.types.is_integer_dtype(values) and not values.hasnans:
            continue
        bad = ~np.isfinite(values.to_numpy(dtype=np.float64))
        if bad.any():
            raise ValueError(
                f"column {name} has {bad.sum()} values that are not finite, the first in row "
                f"{int(np.argmax(bad))}; leave these atoms out."
            )
    frame = table["frame"].to_numpy()
    if frame.dtype.kind not in "iu" and (frame != np.rint(frame)).any():
        raise ValueError("column frame must hold whole numbers, the flat navigation index.")
    if len(frame) and max(-float(frame.min()), float(frame.max())) > MOST_FRAMES:
        raise ValueError(f"column frame must hold whole numbers up to {MOST_FRAMES}.")


def _check_real(table: pd.DataFrame) -> None:
    unreal = [name for name in table if pd.api.types.is_complex_dtype(table[name])]
    if unreal:
        raise ValueError(
            f"columns {unreal[:5]} hold complex numbers, which a table of atoms cannot; give real "
            "and imaginary part as a column each."
        )


def _twice(table: pd.DataFrame) -> np.ndarray:
    """Which positions are there before in their frame; a few frames at a time, to save memory."""
    frame, twice = table["frame"].to_numpy(), np.zeros(len(table), dtype=bool)
    first = 0
    while first < len(table):
        end = int(np.searchsorted(frame, frame[min(first + AT_ONCE, len(table)) - 1], "right"))
        part = table.iloc[first:end]
        near = {name: np.rint(part[name] / CLOSEST_PX).astype(np.int64) for name in ("x", "y")}
        twice[first:end] = pd.DataFrame({"frame": part["frame"], **near}).duplicated()
        first = end
    return twice


def _check_places(table: pd.DataFrame, frames: int, shape: tuple[int, int]) -> None:
    frame = table["frame"].to_numpy()
    if frame.min() < 0 or frame.max() >= frames:
        wrong = frame[(frame < 0) | (frame >= frames)][0]
        raise ValueError(
            f"the table has atoms in frame {wrong}, but the image has frames 0 to {frames - 1}."
        )
    for name, size in (("x", shape[1]), ("y", shape[0])):
        values = table[name].to_numpy()
        outside = (values < -0.5) | (values >= size - 0.5)
        if outside.any():
            raise ValueError(
                f"{outside.sum()} atoms lie outside the image in {name}, the first at "
                f"{values[outside][0]:g}; {name} runs from 0 to {size - 1} pixels (calibrated "
                "positions must be turned into pixels, and rows and columns must not be "
                "exchanged)."
            )
    twice = _twice(table)
    if twice.any():
        row = table[twice].iloc[0]
        raise ValueError(
            f"{twice.sum()} positions are there twice, the first at x {row['x']:g}, y "
            f"{row['y']:g} of frame {row['frame']}, in sublattices "
            f"{', '.join(sorted(set(table['sublattice'])))}; each atom must be given once, in one "
            "sublattice."
        )
