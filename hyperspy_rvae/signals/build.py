"""One helper builds every signal that comes out of another."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.packing import pack
from hyperspy_rvae.signals.record import NODE, atom_ids, read, stored_table, write

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal


ABOUT = ("General", "Sample", "Acquisition_instrument")


def atom_axis(ids: np.ndarray) -> dict[str, Any]:
    """Describe the axis of atom ids; uniform where they are evenly spaced."""
    ids = np.asarray(ids, dtype=np.int64)
    axis = {"name": "atom", "navigate": True}
    steps = np.unique(np.diff(ids[:2] if len(ids) < 3 else ids))
    if len(steps) < 2 and (len(steps) == 0 or steps[0] > 0):
        return axis | {
            "size": len(ids),
            "offset": float(ids[0]) if len(ids) else 0.0,
            "scale": float(steps[0]) if len(steps) else 1.0,
        }
    return axis | {"axis": ids}


def beside(table: pd.DataFrame, values: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Put columns of values beside a table, in place of columns of the same name."""
    kept = table.drop(columns=names, errors="ignore")
    return pd.concat([kept, pd.DataFrame(values, columns=names, index=table.index)], axis=1)


def like(
    source: BaseSignal,
    data: np.ndarray | da.Array,
    axes: list[dict[str, Any]],
    signal_type: str,
    record: Mapping[str, Any],
) -> BaseSignal:
    """Build a signal of another type that belongs to the same atoms.

    Parameters
    ----------
    source
        Where title and node ``Atoms`` come from.
    data
        A dask array gives a lazy signal.
    axes
        HyperSpy's dictionaries in array order, the atom axis first.
    signal_type
        One of the package's, or "".
    record
        Entries of the node that replace those of `source`.
    """
    from hyperspy.api import signals

    metadata = {
        key: source.metadata.get_item(key) for key in ABOUT if source.metadata.has_item(key)
    }
    metadata = {key: copy.deepcopy(node.as_dictionary()) for key, node in metadata.items()}
    out = signals.BaseSignal(data, axes=axes, metadata=metadata)
    for key in source.metadata.get_item(NODE, {}).keys():
        if key not in record:
            write(out, key, read(source, key))
    for key, value in record.items():
        write(out, key, value)
    out.set_signal_type(signal_type)
    return out.as_lazy() if isinstance(data, da.Array) else out


def alike(
    signal: BaseSignal,
    *,
    data: np.ndarray | None = None,
    columns: Mapping[str, np.ndarray] | None = None,
    without: tuple[str, ...] = (),
) -> BaseSignal:
    """Build a signal of the same type and atoms, with other numbers or more columns.

    Parameters
    ----------
    signal
        Left as it is.
    data
        Numbers in place of its own; made lazy where the signal is.
    columns
        Columns for the table, row for row with the atom axis. Rows of the table that are not on
        the axis get -1 where the column holds whole numbers, else NaN.
    without
        Columns of the table to leave out.
    """
    out = signal.deepcopy() if data is None else signal._deepcopy_with_new_data(data)
    if data is not None and signal._lazy:
        out.data = da.from_array(data)
    if columns or without:
        table = stored_table(signal, copy=False).drop(columns=list(without), errors="ignore")
        rows = table.index.get_indexer(atom_ids(signal))
        for name, values in (columns or {}).items():
            none = -1 if np.issubdtype(values.dtype, np.integer) else np.nan
            none = False if values.dtype == bool else none
            whole = np.full(len(table), none, dtype=values.dtype)
            whole[rows] = values
            table[name] = whole
        write(out, "table", pack(table))
    return out
