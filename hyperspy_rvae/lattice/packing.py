"""The table of atoms on disk: plain arrays and lists, read back with no trust in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.columns import as_column
from hyperspy_rvae.lattice.table import AT_ONCE, REQUIRED, check_numbers

MOST_ATOMS = 2**27  # a gigabyte a column
MOST_COLUMNS = 1000
MOST_BYTES = 2**34  # of all columns together


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
            columns[key] = as_column(_plain_numbers(values))
        else:
            codes, labels[key] = _coded(values)
            columns[key] = as_column(codes)
    record: dict[str, Any] = {
        "names": [str(name) for name in table],
        "columns": columns,
        "labels": labels,
    }
    if not table.index.equals(pd.RangeIndex(len(table))):
        record["ids"] = as_column(table.index.to_numpy().astype(np.int64))
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
        table = pd.DataFrame(columns, index=None if ids is None else _ids(ids), copy=copy)
        check_numbers(table)
        if len(table) and table["frame"].min() < 0:
            raise ValueError("it has frames below 0")
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"the stored table of atoms cannot be read ({error}); set the atoms again."
        ) from error
    kinds = {"frame": np.int64, "x": np.float64, "y": np.float64}
    return table.astype({name: kind for name, kind in kinds.items() if table[name].dtype != kind})


def _check_shapes(names: list[str], stored: list[Any]) -> None:
    shapes = {np.shape(values) for values in stored}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not set(REQUIRED) <= set(names):
        raise ValueError(
            f"columns {names[:20]} are of shapes {sorted(shapes)[:5]}; needed are "
            f"{list(REQUIRED)}, all of one length"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"columns have the same name: {names[:20]}")
    size = sum(values.nbytes for values in stored)
    if len(names) > MOST_COLUMNS or len(stored[0]) > MOST_ATOMS or size > MOST_BYTES:
        raise ValueError(
            f"it declares {len(stored[0])} atoms and {len(names)} columns, {size} bytes; at most "
            f"{MOST_ATOMS} and {MOST_COLUMNS}, {MOST_BYTES} bytes, can be read"
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


def _labelled(values: np.ndarray, labels: Any) -> Any:
    if labels is None:
        return values
    texts = _texts(labels, "labels")
    if values.size and not 0 <= values.min() <= values.max() < len(texts):
        raise LookupError("codes without labels")
    if values.dtype.kind not in "iu":
        raise TypeError(f"its codes are {values.dtype}")
    return pd.Series(texts, dtype=None if texts else object).array.take(values)


def _texts(values: Any, what: str) -> list[str]:
    if not isinstance(values, list | tuple):  # which a lazy array of any length is not
        raise TypeError(f"its {what} are no list")
    return [str(value) for value in values]


def _plain_numbers(values: pd.Series) -> np.ndarray:
    """NumPy's own numbers; what is missing in a nullable column becomes NaN."""
    if isinstance(values.dtype, np.dtype):
        return values.to_numpy()
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


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


def _ids(stored: Any) -> np.ndarray:
    ids = np.asarray(stored)
    ascending = ids.dtype.kind in "iu" and bool((ids[1:] > ids[:-1]).all())
    if not ascending and (ids.dtype.kind not in "iu" or not pd.Index(ids).is_unique):
        raise ValueError("its ids are not whole numbers, each there once")
    return ids
