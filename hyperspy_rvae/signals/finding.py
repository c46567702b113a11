"""From the pixels of an image to its table: finding and refining, frame by frame."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.finding import Contrast, Finder, bright_atoms
from hyperspy_rvae.lattice.routes import (
    Refinement,
    check_frame,
    find_columns,
    find_second_columns,
    refine_columns,
)
from hyperspy_rvae.lattice.scale import Scale, measure_scale
from hyperspy_rvae.lattice.table import as_table, replace_sublattice, select_sublattice
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.checks import check_choice, check_image, frame_count, is_number, movie_of
from hyperspy_rvae.signals.frames import each_frame, in_turn
from hyperspy_rvae.signals.reading import read_frame

if TYPE_CHECKING:
    import dask.array as da

    from hyperspy_rvae.signals.image import AtomLatticeImage

_logger = logging.getLogger(__name__)


def find(
    image: AtomLatticeImage,
    separation: float | None,
    sublattice: str,
    contrast: Contrast,
    method: Finder,
    refine: bool,
    show_progressbar: bool | None,
) -> None:
    """Find a sublattice; the parameters are those of ``AtomLatticeImage.find_atoms``."""
    check_image(image)
    check_choice(contrast, get_args(Contrast), "contrast")
    check_choice(method, get_args(Finder), "method")
    check_name(sublattice)
    before = _followed_table(image)
    check_separation(separation)
    movie = movie_of(image)
    scale = _first_scale(movie, contrast) if separation is None else float(separation)
    given = [(scale, contrast, method, refine)] * len(movie)
    found = each_frame(
        _find_or_pass if len(movie) > 1 else find_columns, movie, given, show_progressbar
    )
    _warn_of_empty_frames(movie, found, (scale, contrast, method, False))
    _warn_of_failures(found)
    found = replace_sublattice(before, sublattice, found)
    store(image, found)


def _first_scale(movie: np.ndarray | da.Array, contrast: Contrast) -> Scale:
    """Give the scale of the first frame that has one, which serves for all."""
    failure = None
    for number, frame in in_turn(movie):
        try:
            scale = measure_scale(bright_atoms(check_frame(frame), contrast))
        except ValueError as error:
            failure = failure or error
        else:
            _logger.info("separation is %.1f px, estimated from frame %d", scale.separation, number)
            return scale
    raise ValueError(f"frame 0: {failure}" if len(movie) > 1 else str(failure)) from failure


def _find_or_pass(frame: np.ndarray, *given: Any) -> pd.DataFrame:
    """Find columns; none where they cannot be found, so that a movie is not lost for one frame."""
    try:
        return find_columns(frame, *given)
    except ValueError:
        return pd.DataFrame({"x": np.empty(0), "y": np.empty(0)})


def _warn_of_empty_frames(
    movie: np.ndarray | da.Array, found: pd.DataFrame, given: tuple[Any, ...]
) -> None:
    """Say which frames of a movie have no atoms, and why the first has none; all is an error."""
    empty = sorted(set(range(len(movie))) - set(found["frame"]))
    if not empty:
        return
    try:
        find_columns(read_frame(movie, empty[0]), *given)
    except ValueError as error:
        reason = f"frame {empty[0]}: {error}"
        if len(empty) == len(movie):
            raise ValueError(reason) from error
        _logger.warning("frames %s have no atoms; %s", ", ".join(map(str, empty)), reason)


def find_second(
    image: AtomLatticeImage,
    sublattice: str,
    reference: str,
    position: tuple[float, float],
    show_progressbar: bool | None,
) -> None:
    """Find one more sublattice; as ``AtomLatticeImage.find_sublattice``."""
    check_image(image)
    check_name(sublattice)
    if sublattice == reference:
        raise ValueError(f"a new sublattice needs another name than its reference, {reference!r}.")
    position = check_position(position)
    table = record.current_table(image, copy=False)
    select_sublattice(table, reference)
    table = table[table["sublattice"] != sublattice]
    movie = movie_of(image)
    given = [(rows, sublattice, reference, position) for rows in by_frame(image, table)]
    task = _find_second_or_pass if len(movie) > 1 else find_second_columns
    found = each_frame(task, movie, given, show_progressbar)
    _warn_of_frames_without(movie, found, given)
    _warn_of_failures(found)
    store(image, found)


def _find_second_or_pass(frame: np.ndarray, rows: pd.DataFrame, *given: Any) -> pd.DataFrame:
    """Find a second sublattice; only what was known where the reference spans no cells."""
    try:
        return find_second_columns(frame, rows, *given)
    except ValueError:
        return rows


def _warn_of_frames_without(
    movie: np.ndarray | da.Array, found: pd.DataFrame, given: list[tuple[Any, ...]]
) -> None:
    """Say which frames with a reference have no second sublattice; all of them is an error."""
    new = set(found.loc[found["sublattice"] == given[0][1], "frame"])
    asked = [k for k, (rows, _, name, _) in enumerate(given) if name in set(rows["sublattice"])]
    missing = [number for number in asked if number not in new]
    for number in missing:
        try:
            find_second_columns(read_frame(movie, number), *given[number])
        except ValueError as error:
            if missing == asked:
                raise ValueError(f"frame {number}: {error}") from error
            _logger.warning("frame %d: %s", number, error)


def refine(
    image: AtomLatticeImage,
    sublattice: str | None,
    method: Refinement,
    percent_to_nn: float | None,
    mask_radius: float | None,
    show_progressbar: bool | None,
) -> None:
    """Refine in place; as ``AtomLatticeImage.refine_atoms``."""
    check_image(image)
    check_choice(method, get_args(Refinement), "method")
    if percent_to_nn is not None and not (is_number(percent_to_nn) and 0 < percent_to_nn <= 1):
        raise ValueError(
            f"percent_to_nn must be a fraction above 0 and up to 1, got {percent_to_nn!r}; 0.25 to "
            "0.4 is usual."
        )
    if mask_radius is not None and not (is_number(mask_radius) and 1 <= mask_radius < np.inf):
        raise ValueError(f"mask_radius must be a number of pixels from 1, got {mask_radius!r}.")
    if percent_to_nn is not None and mask_radius is not None:
        raise ValueError(
            "give percent_to_nn or mask_radius, not both: each sets the mask's radius."
        )
    table = record.current_table(image, copy=False)
    select_sublattice(table, sublattice)
    wish = (sublattice, method, percent_to_nn, mask_radius)
    given = [(rows, *wish) for rows in by_frame(image, table)]
    refined = each_frame(refine_columns, movie_of(image), given, show_progressbar)
    _warn_of_failures(refined if sublattice is None else select_sublattice(refined, sublattice))
    store(image, refined)


def _warn_of_failures(table: pd.DataFrame) -> None:
    if "converged" not in table:
        return
    failed = ~table["converged"].eq(True)
    if failed.any():
        _logger.warning(
            "%d of %d atoms did not converge: they keep their positions, and the column "
            "'converged' of the table is False there.",
            failed.sum(),
            len(failed),
        )


def check_separation(separation: object) -> None:
    """Refuse what is no distance; whether it fits the image is seen with the image."""
    if separation is not None and not is_number(separation):
        raise ValueError(f"separation must be a number of pixels, got {separation!r}.")


def check_position(position: object) -> tuple[float, float]:
    """Refuse what is no place in a cell."""
    values = tuple(position) if isinstance(position, (tuple, list, np.ndarray)) else ()
    if len(values) != 2 or not all(is_number(v) and 0 <= v <= 1 for v in values):
        raise ValueError(
            "position must be two fractions of the cell, each from 0 to 1, such as (0.5, 0.5), "
            f"got {position!r}."
        )
    return values[0], values[1]


def _followed_table(image: AtomLatticeImage) -> pd.DataFrame | None:
    """Give the table as it is now; None where none is there or can still be followed."""
    try:
        return record.current_table(image, copy=False)
    except ValueError as error:
        if record.has_table(image):
            _logger.warning("the atoms from before are let go: %s", error)
        return None


def by_frame(image: AtomLatticeImage, table: pd.DataFrame) -> list[pd.DataFrame]:
    """Give the table of each frame, empty where a frame has no atoms."""
    ends = np.searchsorted(table["frame"], np.arange(frame_count(image) + 1))
    return [table.iloc[first:end] for first, end in itertools.pairwise(ends)]


def store(image: AtomLatticeImage, table: pd.DataFrame) -> None:
    """Check a table and make it the image's."""
    record.write_table(image, as_table(table, frame_count(image), image.data.shape[-2:]))


def check_name(sublattice: object) -> None:
    """Refuse what cannot name a sublattice."""
    if not isinstance(sublattice, str) or not sublattice:
        raise ValueError(f"a sublattice needs a name, such as 'A', got {sublattice!r}.")
