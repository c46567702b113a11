"""What is done to the atoms of one frame once they are there: sublattices and cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.cells import cells_around, index_cells
from hyperspy_rvae.lattice.finding import bright_atoms
from hyperspy_rvae.lattice.routes import check_frame, contrast_of
from hyperspy_rvae.lattice.sublattices import column_features, sort_columns

CELL_COLUMNS = ["cell_a", "cell_b", "grain"]


def assign_names(
    image: np.ndarray, columns: pd.DataFrame, names: Sequence[str], kinds: int | None
) -> pd.DataFrame:
    """Sort the atoms of one frame into sublattices.

    Parameters
    ----------
    image
        Shape ``(height, width)``.
    columns
        Atoms of this frame.
    names
        Names of the sublattices, the strongest first.
    kinds
        How many there are; None: as many as can be told apart, up to the number of names.

    Returns
    -------
    columns
        The same rows in the same order.

    Raises
    ------
    ValueError
        If the atoms form no lattice, or there are fewer kinds than asked for, or more than names.
    """
    contrast = contrast_of(check_frame(image), columns)
    points = columns[["x", "y"]].to_numpy()
    if len(points) < 4:
        raise ValueError(f"a lattice needs at least 4 atoms, got {len(points)}; find more first")
    features = column_features(bright_atoms(image, contrast), points)
    kind = sort_columns(points, features, kinds)
    if kind.max() >= len(names):
        raise ValueError(f"there are {kind.max() + 1} sublattices, and {len(names)} names.")
    return columns.assign(sublattice=np.asarray(names, dtype=object)[kind])


def number_cells(columns: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Find the cells that the atoms of one frame lie in.

    Parameters
    ----------
    columns
        Atoms of this frame.
    reference
        Sublattice whose lattice it is.

    Returns
    -------
    columns
        The same rows in the same order, with ``cell_a``, ``cell_b`` and ``grain``.

    Raises
    ------
    ValueError
        If the reference atoms form no lattice.
    """
    host = (columns["sublattice"] == reference).to_numpy()
    points = columns[["x", "y"]].to_numpy()
    cells = index_cells(points[host])
    found = np.zeros((len(points), 3), dtype=np.int32)
    found[host] = np.column_stack([cells.indices, cells.grain])
    found[~host] = np.column_stack(cells_around(points[~host], points[host], cells))
    return columns.assign(**dict(zip(CELL_COLUMNS, found.T, strict=True)))
