"""Columns that tables share, and tables that are put together of others column by column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


class Column(np.ndarray):
    """A read-only array that deep copies share, so that slicing a signal copies no table."""

    def __deepcopy__(self, memo: dict[int, Any] | None) -> Column:
        return self

    def __setstate__(self, state: Any, /) -> None:
        super().__setstate__(state)
        self.flags.writeable = False  # which a pickle does not keep


def as_column(values: np.ndarray) -> np.ndarray:
    """Give a column that deep copies share; what is all of one already is not copied either."""
    owner = values
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    same = (owner.dtype, owner.shape, owner.strides) == (values.dtype, values.shape, values.strides)
    if isinstance(owner, Column) and same:
        owner.flags.writeable = False  # as what NumPy makes of a column, by take and others, is
        return owner
    column = Column(values.shape, values.dtype)
    column[...] = values
    column.flags.writeable = False
    return column


def take_apart(table: pd.DataFrame, *, copy: bool = True) -> dict[str, Any]:
    """Give the columns of a table by name; as copies, each in memory of its own."""
    plain = {name: isinstance(table[name].dtype, np.dtype) for name in table}
    columns = {name: table[name].to_numpy() if plain[name] else table[name].array for name in table}
    return {name: column.copy() for name, column in columns.items()} if copy else columns


def gather(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Put tables under one another that may lack columns; NaN stands where a part has none.

    The parts are emptied column by column, so that no more than one of these is there twice.

    Parameters
    ----------
    parts
        Columns by name, as :func:`take_apart` gives. They are let go of.
    """
    lengths = [len(next(iter(part.values()))) for part in parts]
    some = [pair for pair in zip(parts, lengths, strict=True) if pair[1]] or [(parts[0], 0)]
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for part, _ in some for name in part):
        pieces = [
            part.pop(name) if name in part else np.full(length, np.nan) for part, length in some
        ]
        if all(isinstance(piece, np.ndarray) for piece in pieces):
            columns[name] = as_column(np.concatenate(pieces))
        else:
            columns[name] = pd.concat([pd.Series(piece) for piece in pieces]).array
    return columns


def join(parts: list[dict[str, Any]], frame: np.ndarray) -> pd.DataFrame:
    """Put tables together by frame; as :func:`gather`, and what is joined is packed as it is.

    Parameters
    ----------
    parts
        Columns by name. They are let go of.
    frame
        Of each row, one part after the other.

    Returns
    -------
    table
        Sorted by `frame`, a column of it; index 0 to n - 1.
    """
    columns = gather(parts) | {"frame": as_column(frame)}
    if (frame[1:] < frame[:-1]).any():
        order = np.argsort(frame, kind="stable")
        for name, column in columns.items():
            there = column.take(order)
            columns[name] = as_column(there) if isinstance(there, np.ndarray) else there
    plain = {
        name: np.asarray(column) if isinstance(column, np.ndarray) else column
        for name, column in columns.items()
    }
    return pd.DataFrame(plain, copy=False)
