"""Methods of ``AtomLatticeImage``: from atoms to the sublattices and cells they make."""

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
from hyperspy_rvae.signals.frames import in_turn
from hyperspy_rvae.signals.reading import read_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.image import AtomLatticeImage

_logger = logging.getLogger(__name__)


def assign_sublattices(self: AtomLatticeImage, names: Sequence[str] | None = None) -> None:
    """Sort all atoms into sublattices, in place, by their place in the lattice.

    Places are told apart by brightness and shape, so that a single odd column stays with its
    like. Sublattices from before are forgotten; ids and positions stay.

    Parameters
    ----------
    names
        Names of the sublattices, the strongest (brightest, or darkest in ABF) first, such as
        ``("Mo", "S")``. If not given, A, B, ... for as many as the first frame has.

    Raises
    ------
    ValueError
        If the atoms form no lattice, as in an amorphous film, or there are fewer sublattices than
        names. Single frames of a movie are warned of instead, and stay as they are.

    Examples
    --------
    >>> import hyperspy_rvae as hrv
    >>> s = hrv.data.perovskite()
    >>> s.find_atoms(separation=8, refine=False)
    >>> s.assign_sublattices(("A", "B"))
    >>> s.atoms["sublattice"].value_counts().to_list()
    [117, 104]
    """
    check_image(self)
    if names is not None:
        check_names(names)
    kinds = None if names is None else len(names)
    given = list(string.ascii_uppercase if names is None else names)
    table = record.current_table(self, copy=False)
    frames, tables = in_turn(movie_of(self)), by_frame(self, table)

    def sort(number: int) -> pd.Series:
        nonlocal kinds
        pixels = next(frame for at, frame in frames if at == number)
        found = assign_names(pixels, tables[number], given, kinds)["sublattice"]
        kinds = found.nunique()  # the first frame says how many, for all
        return found

    found = _each(sort, tables, "sublattice", "their sublattices stay as they are")
    store(self, table.assign(sublattice=pd.concat(found)))


def find_cells(self: AtomLatticeImage, reference: str = "A") -> None:
    """Find the cell and the grain of every atom, in place.

    The table gets the columns ``cell_a`` and ``cell_b``, steps along the lattice vectors from the
    grain's first cell (a is nearer to the x axis, rightwards; b follows it clockwise), and
    ``grain``, 0 for the largest and -1 for atoms in none.

    Parameters
    ----------
    reference
        Sublattice at the corners of the cells. Other atoms get the cell that they lie in.

    Raises
    ------
    ValueError
        If `reference` is unknown, or its atoms form no lattice: atoms on a line, an amorphous
        film. Single frames of a movie are warned of instead.
    """
    table = record.current_table(self, copy=False)
    select_sublattice(table, reference)
    none = dict(zip(CELL_COLUMNS, np.array([0, 0, -1], dtype=np.int32), strict=True))
    tables = by_frame(self, table.assign(**none))

    def number_those(number: int) -> pd.DataFrame:
        return number_cells(tables[number], reference)[CELL_COLUMNS]

    found = pd.concat(_each(number_those, tables, CELL_COLUMNS, "its atoms are in no grain"))
    store(self, table.assign(**found))


def plot_cells(
    self: AtomLatticeImage,
    sublattice: str | None = None,
    *,
    frame: int = 0,
    every: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the lattice that :meth:`find_cells` found over the image, its cells numbered.

    Parameters
    ----------
    sublattice
        Whose atoms the lines join; if not given, the first atom's.
    frame
        Flat navigation index.
    every
        Number every so many cells; if not given, so many that the numbers can be read.
    ax
        Axes to draw on; new ones if not given.

    Returns
    -------
    axes
        The axes drawn on; one colour a grain.

    Raises
    ------
    ValueError
        If :meth:`find_cells` has not been called, or the frame has no atoms in a grain.
    """
    from hyperspy_rvae.plotting.cells import plot_cells as draw

    table = self.atoms
    if not set(CELL_COLUMNS) <= set(table):
        raise ValueError("the cells are not numbered yet; call find_cells() first.")
    if frame not in range(frame_count(self)):
        raise ValueError(
            f"frame {frame!r} is not there; the image has frames 0 to {frame_count(self) - 1}."
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
        image=read_frame(movie_of(self), frame),
        pixel=record.pixel(self),
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
    function: Callable[[int], Any], tables: list[pd.DataFrame], columns: Any, otherwise: str
) -> list[Any]:
    """Find columns for each frame that has atoms; where it fails keep them, and say so.

    Raises
    ------
    ValueError
        If it fails for all of them.
    """
    found, failed = [], {}
    for number, table in enumerate(tables):
        try:
            found.append(function(number) if len(table) else table[columns])
        except ValueError as error:
            failed[number] = error
            found.append(table[columns])
    busy = sum(len(table) > 0 for table in tables)
    if failed and len(failed) == busy:
        number, error = next(iter(failed.items()))
        raise ValueError(f"frame {number}: {error}") from error
    for number, error in failed.items():
        _logger.warning("frame %d: %s; %s", number, error, otherwise)
    return [part for part in found if len(part)]
