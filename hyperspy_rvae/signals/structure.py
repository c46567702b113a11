"""From atoms to the structure they make: sublattices and cells, frame by frame."""

from __future__ import annotations

import logging
import string
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.structure import CELL_COLUMNS, assign_names, number_cells
from hyperspy_rvae.lattice.table import select_sublattice
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.checks import check_image, frame_count, movie_of
from hyperspy_rvae.signals.finding import by_frame, check_name, store

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.image import AtomLatticeImage

_logger = logging.getLogger(__name__)


def assign(image: AtomLatticeImage, names: Sequence[str] | None) -> None:
    """Sort atoms into sublattices; as ``AtomLatticeImage.assign_sublattices``."""
    check_image(image)
    if names is not None:
        check_names(names)
    kinds = None if names is None else len(names)
    given = list(string.ascii_uppercase if names is None else names)
    movie, tables, found = movie_of(image), by_frame(image, image.atoms), {}

    def sort(number: int) -> pd.DataFrame:
        nonlocal kinds
        sorted_ = assign_names(np.asarray(movie[number]), tables[number], given, kinds)
        kinds = sorted_["sublattice"].nunique()  # the first frame says how many, for all
        return sorted_

    found = _each(sort, tables, "their sublattices stay as they are")
    store(image, pd.concat(found, ignore_index=True))


def find_cells(image: AtomLatticeImage, reference: str) -> None:
    """Find the cells; as ``AtomLatticeImage.find_cells``."""
    table = image.atoms
    select_sublattice(table, reference)
    tables = by_frame(image, table.drop(columns=CELL_COLUMNS, errors="ignore"))
    found = _each(
        lambda number: number_cells(tables[number], reference),
        tables,
        "their atoms are in no grain",
    )
    whole = pd.concat(found, ignore_index=True)
    none = dict(zip(CELL_COLUMNS, (0, 0, -1), strict=True))
    store(image, whole.fillna(none).astype(dict.fromkeys(CELL_COLUMNS, np.int64)))


def plot_cells(
    image: AtomLatticeImage,
    sublattice: str | None,
    frame: int,
    every: int | None,
    ax: Axes | None,
) -> Axes:
    """Draw the cells of one frame; as ``AtomLatticeImage.plot_cells``."""
    from hyperspy_rvae.plotting.cells import plot_cells as draw

    table = image.atoms
    if not set(CELL_COLUMNS) <= set(table):
        raise ValueError("the cells are not numbered yet; call find_cells() first.")
    if frame not in range(frame_count(image)):
        raise ValueError(
            f"frame {frame!r} is not there; the image has frames 0 to {frame_count(image) - 1}."
        )
    names = table["sublattice"]
    rows = select_sublattice(table, names.iloc[0] if sublattice is None else sublattice)
    rows = rows[(rows["frame"] == frame) & (rows["grain"] >= 0)].drop_duplicates(CELL_COLUMNS)
    if rows.empty:
        raise ValueError(f"frame {frame} has no atom in a grain.")
    return draw(
        rows[["x", "y"]].to_numpy(),
        rows[["cell_a", "cell_b"]].to_numpy(),
        rows["grain"].to_numpy(),
        image=np.asarray(movie_of(image)[frame]),
        pixel=record.pixel(image),
        every=every,
        ax=ax,
    )


def check_names(names: Sequence[str]) -> None:
    """Refuse what cannot name sublattices."""
    if isinstance(names, str) or not len(names):
        raise ValueError(f'names must be a sequence such as ("Mo", "S"), got {names!r}.')
    for name in names:
        check_name(name)
    if len(set(names)) < len(names):
        raise ValueError(f"each sublattice needs a name of its own, got {tuple(names)}.")


def _each(
    function: Callable[[int], Any], tables: list[pd.DataFrame], otherwise: str
) -> list[pd.DataFrame]:
    """Do each frame that has atoms; where it fails keep the table, and say so.

    Raises
    ------
    ValueError
        If it fails for all of them.
    """
    found, failed = [], {}
    for number, table in enumerate(tables):
        try:
            found.append(function(number) if len(table) else table)
        except ValueError as error:
            failed[number] = error
            found.append(table)
    busy = sum(len(table) > 0 for table in tables)
    if failed and len(failed) == busy:
        number, error = next(iter(failed.items()))
        raise ValueError(f"frame {number}: {error}") from error
    for number, error in failed.items():
        _logger.warning("frame %d: %s; %s", number, error, otherwise)
    return [table for table in found if len(table)]
