"""Neighbours on the lattice of the atoms that a signal holds, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hyperspy_rvae.lattice.mesh import lattice_neighbours
from hyperspy_rvae.lattice.sites import lattice_vectors
from hyperspy_rvae.lattice.table import rows_by_frame

if TYPE_CHECKING:
    import pandas as pd


def neighbours_of(table: pd.DataFrame, offsets: np.ndarray) -> np.ndarray:
    """Find the neighbours of each row, in its frame and sublattice.

    Parameters
    ----------
    table
        Columns ``frame``, ``x``, ``y`` and ``sublattice``; neighbours are sought among its rows.
    offsets
        Steps along the lattice vectors of the sublattice, shape ``(m, 2)``.

    Returns
    -------
    neighbours
        Numbers of rows, shape ``(n, m)``; -1 for none.

    Raises
    ------
    ValueError
        If the atoms of a sublattice form no lattice.
    """
    neighbours = np.full((len(table), len(offsets)), -1, dtype=np.int32)
    for rows, found in lattices_of(table, offsets):
        neighbours[rows] = np.where(found < 0, -1, rows[found])
    return neighbours


def lattices_of(
    table: pd.DataFrame, offsets: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Go through the sublattices and their frames; as :func:`frames_of`, with rows of the table."""
    names = table["sublattice"]
    for name in sorted(names.unique()):
        places = np.flatnonzero((names == name).to_numpy())
        for rows, found in frames_of(table.iloc[places], offsets):
            yield places[rows], found


def frames_of(
    part: pd.DataFrame, offsets: np.ndarray
) -> Iterator[tuple[slice | np.ndarray, np.ndarray]]:
    """Go through the frames of one sublattice.

    Parameters
    ----------
    part
        Rows of one sublattice, at least one.
    offsets
        Steps along its lattice vectors, shape ``(m, 2)``.

    Yields
    ------
    rows
        Numbers of those of one frame.
    neighbours
        Numbers of these rows, shape ``(n, m)``; -1 for none.
    """
    vectors = repeats(part, str(part["sublattice"].iloc[0]))
    xy = part[["x", "y"]].to_numpy()
    for _, rows in rows_by_frame(part["frame"].to_numpy()):
        yield rows, lattice_neighbours(xy[rows], vectors, offsets)


def repeats(table: pd.DataFrame, name: str) -> np.ndarray:
    """Lattice vectors of one sublattice, from the frame that has most of its atoms.

    Parameters
    ----------
    table
        Rows of one sublattice.
    name
        Its name, for the error.

    Returns
    -------
    vectors
        Rows a and b, pixels, as :func:`hyperspy_rvae.lattice.sites.lattice_vectors` gives.
    """
    fullest = table["frame"].value_counts().idxmax()
    try:
        return lattice_vectors(table.loc[table["frame"] == fullest, ["x", "y"]].to_numpy())
    except ValueError as error:
        raise ValueError(f"sublattice {name!r}, frame {fullest}: {error}") from error
