"""The table of atoms: checked on the way in, plain arrays on disk, a DataFrame on the way out.

A table is a :class:`pandas.DataFrame` indexed by atom id, sorted by frame, with the columns
``frame`` (int), ``x``, ``y`` (float64, pixels, column and row, integer = pixel centre) and
``sublattice`` (str). Further columns, numbers or text, ride along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

REQUIRED = ("frame", "x", "y", "sublattice")
CLOSEST_PX = 1e-3
MOST_ATOMS = 2**27  # a gigabyte a column
MOST_COLUMNS = 1000
MOST_FRAMES = 2**53  # beyond, not every whole number is a float
AT_ONCE = 2**18  # atoms


class Column(np.ndarray):
    """A read-only array that deep copies share, so that slicing a signal copies no table."""

    def __deepcopy__(self, memo: dict[int, Any] | None) -> Column:
        return self


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
        If a column is missing, a number is not finite, or a position lies outside the image, in a
        frame that is not there, or on top of another.
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
    _check_numbers(table)
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


def pack(table: pd.DataFrame) -> dict[str, Any]:
    """Plain arrays and lists of a table, fit for HyperSpy metadata and both file formats.

    Text becomes integer codes with their labels, and whatever is neither number nor text becomes
    text, "" where it is missing. The ids are kept only where they are not simply 0 to n - 1.
    """
    columns: dict[str, np.ndarray] = {}
    labels: dict[str, list[str]] = {}
    for place, name in enumerate(table):
        values, key = table[name], f"column{place}"
        if pd.api.types.is_numeric_dtype(values):
            columns[key] = _column(_plain_numbers(values))
        else:
            codes, labels[key] = _coded(values)
            columns[key] = _column(codes)
    record: dict[str, Any] = {
        "names": [str(name) for name in table],
        "columns": columns,
        "labels": labels,
    }
    if not table.index.equals(pd.RangeIndex(len(table))):
        record["ids"] = _column(table.index.to_numpy().astype(np.int64))
    return record


def unpack(record: Mapping[str, Any], *, copy: bool = True) -> pd.DataFrame:
    """Rebuild the table that :func:`pack` took apart.

    Parameters
    ----------
    record
        What :func:`pack` made.
    copy
        Whether the table is to have numbers of its own, which can be changed.

    Raises
    ------
    ValueError
        If the record is not one that :func:`pack` makes, as in a damaged or foreign file.
    """
    try:
        names = _texts(record["names"], "names")
        stored = [record["columns"][f"column{place}"] for place in range(len(names))]
        ids = record["ids"] if "ids" in record else None
        _check_shapes(names, stored if ids is None else [*stored, ids])
        for name in ("x", "y"):
            stored[names.index(name)] = _filled(stored[names.index(name)], name)
        columns = {
            name: _labelled(np.asarray(values), record["labels"].get(f"column{place}"))
            for place, (name, values) in enumerate(zip(names, stored, strict=True))
        }
        table = pd.DataFrame(columns, index=None if ids is None else np.asarray(ids), copy=copy)
        _check_numbers(table)
        if table.index.dtype.kind not in "iu" or not table.index.is_unique:
            raise ValueError("its ids are not whole numbers, each there once")
        if len(table) and table["frame"].min() < 0:
            raise ValueError("it has frames below 0")
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"the stored table of atoms cannot be read ({error}); set the atoms again."
        ) from error
    return table.astype({"frame": np.int64, "x": np.float64, "y": np.float64})


def _check_shapes(names: list[str], stored: list[Any]) -> None:
    shapes = {np.shape(values) for values in stored}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not set(REQUIRED) <= set(names):
        raise ValueError(
            f"columns {names[:20]} are of shapes {sorted(shapes)[:5]}; needed are "
            f"{list(REQUIRED)}, all of one length"
        )
    if len(names) > MOST_COLUMNS or len(stored[0]) > MOST_ATOMS:
        raise ValueError(
            f"it declares {len(stored[0])} atoms and {len(names)} columns; at most {MOST_ATOMS} "
            f"and {MOST_COLUMNS} can be read"
        )
    odd = [str(values.dtype) for values in stored if values.dtype.kind not in "biuf"]
    if odd:
        raise TypeError(f"columns are of the types {odd}, not numbers")


def _filled(values: Any, name: str) -> np.ndarray:
    """Read a lazy column; a file can declare any length and store nothing for it."""
    if isinstance(values, np.ndarray):
        return values
    column = np.empty(values.shape, values.dtype)
    for start in range(0, len(column), AT_ONCE):
        part = np.asarray(values[start : start + AT_ONCE])
        if len(part) == AT_ONCE and (part == part[0]).all():
            raise ValueError(f"{AT_ONCE} atoms have the same {name}")
        column[start : start + AT_ONCE] = part
    return column


def _labelled(values: np.ndarray, labels: Any) -> np.ndarray:
    if labels is None:
        return values
    texts = np.asarray(_texts(labels, "labels"), dtype=object)
    if values.size and not 0 <= values.min() <= values.max() < len(texts):
        raise LookupError("codes without labels")
    return texts[values]


def _texts(values: Any, what: str) -> list[str]:
    if not isinstance(values, list | tuple):  # which a lazy array of any length is not
        raise TypeError(f"its {what} are no list")
    return [str(value) for value in values]


def _plain_numbers(values: pd.Series) -> np.ndarray:
    """NumPy's own numbers; what is missing in a nullable column becomes NaN."""
    if isinstance(values.dtype, np.dtype):
        return values.to_numpy()
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


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
    kept = [rows for rows in kept if len(rows)]
    merged = pd.concat([*kept, found], ignore_index=True)
    return merged.sort_values("frame", kind="stable", ignore_index=True)


def nearest_distance(table: pd.DataFrame, frames: int = 8) -> float:
    """Median distance to the nearest neighbour in pixels, over the first `frames` frames.

    NaN where no frame has two atoms.
    """
    distances = [np.empty(0)]
    for _, rows in list(table.groupby("frame"))[:frames]:
        if len(rows) > 1:
            xy = rows[["x", "y"]].to_numpy()
            distances.append(np.asarray(cKDTree(xy).query(xy, k=2)[0])[:, 1])
    merged = np.concatenate(distances)
    return float(np.median(merged)) if merged.size else float("nan")


def _coded(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Give text as numbers, and the text of each number; a part at a time, to save memory."""
    codes, labels = np.empty(len(values), dtype=np.int32), dict[str, int]()
    for first in range(0, len(values), AT_ONCE):
        part = values.iloc[first : first + AT_ONCE]
        found, names = pd.factorize(part)
        known = [labels.setdefault(str(name), len(labels)) for name in names]
        if (found < 0).any():  # what is missing is the last of them
            known.append(labels.setdefault("", len(labels)))
        codes[first : first + AT_ONCE] = np.array(known, dtype=np.int32)[found]
    return codes.astype(np.int16) if len(labels) < 2**15 else codes, list(labels)


def _column(values: np.ndarray) -> np.ndarray:
    column = np.array(values).view(Column)
    column.flags.writeable = False
    return column


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


def _check_numbers(table: pd.DataFrame) -> None:
    for name in ("frame", "x", "y"):
        values = table[name]
        if not pd.api.types.is_numeric_dtype(values) or np.iscomplexobj(values):
            raise ValueError(f"column {name} must hold real numbers, got {values.dtype}.")
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
