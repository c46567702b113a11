"""From the pixels of an image to its table: finding and refining, frame by frame."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, get_args

import numpy as np

from hyperspy_rvae.lattice.finding import Contrast, bright_atoms, estimate_separation
from hyperspy_rvae.lattice.routes import (
    Refinement,
    check_frame,
    find_columns,
    find_second_columns,
    refine_columns,
)
from hyperspy_rvae.lattice.table import as_table, replace_sublattice, select_sublattice
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.checks import check_choice, check_image, frame_count, movie_of
from hyperspy_rvae.signals.frames import each_frame

if TYPE_CHECKING:
    import pandas as pd

    from hyperspy_rvae.signals.image import AtomLatticeImage

_logger = logging.getLogger(__name__)


def find(
    image: AtomLatticeImage,
    separation: float | None,
    sublattice: str,
    contrast: Contrast,
    refine: bool,
    show_progressbar: bool | None,
) -> None:
    """Find a sublattice; the parameters are those of ``AtomLatticeImage.find_atoms``."""
    check_image(image)
    check_choice(contrast, get_args(Contrast), "contrast")
    _check_name(sublattice)
    before = _followed_table(image)
    check_separation(separation)
    movie = movie_of(image)
    if separation is None:
        first = check_frame(np.asarray(movie[0]))
        separation = estimate_separation(bright_atoms(first, contrast))
        _logger.info("separation is %.1f px, as estimated from the first frame", separation)
    given = [(separation, contrast, refine)] * len(movie)
    found = each_frame(find_columns, movie, given, show_progressbar)
    _warn_of_failures(found)
    _store(image, replace_sublattice(before, sublattice, found))


def find_second(
    image: AtomLatticeImage,
    sublattice: str,
    reference: str,
    position: tuple[float, float],
    show_progressbar: bool | None,
) -> None:
    """Find one more sublattice; as ``AtomLatticeImage.find_sublattice``."""
    check_image(image)
    _check_name(sublattice)
    if sublattice == reference:
        raise ValueError(f"a new sublattice needs another name than its reference, {reference!r}.")
    position = check_position(position)
    table = image.atoms
    select_sublattice(table, reference)
    table = table[table["sublattice"] != sublattice]
    given = [(rows, sublattice, reference, position) for rows in _by_frame(image, table)]
    found = each_frame(find_second_columns, movie_of(image), given, show_progressbar)
    _warn_of_failures(found)
    _store(image, found)


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
    if percent_to_nn is not None and not (_is_number(percent_to_nn) and 0 < percent_to_nn <= 1):
        raise ValueError(
            f"percent_to_nn must be a fraction above 0 and up to 1, got {percent_to_nn!r}; 0.25 to "
            "0.4 is usual."
        )
    if mask_radius is not None and not (_is_number(mask_radius) and 1 <= mask_radius < np.inf):
        raise ValueError(f"mask_radius must be a number of pixels from 1, got {mask_radius!r}.")
    if percent_to_nn is not None and mask_radius is not None:
        raise ValueError(
            "give percent_to_nn or mask_radius, not both: each sets the mask's radius."
        )
    table = image.atoms
    select_sublattice(table, sublattice)
    wish = (sublattice, method, percent_to_nn, mask_radius)
    given = [(rows, *wish) for rows in _by_frame(image, table)]
    refined = each_frame(refine_columns, movie_of(image), given, show_progressbar)
    _warn_of_failures(refined if sublattice is None else select_sublattice(refined, sublattice))
    _store(image, refined)


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
    if separation is not None and not _is_number(separation):
        raise ValueError(f"separation must be a number of pixels, got {separation!r}.")


def check_position(position: object) -> tuple[float, float]:
    """Refuse what is no place in a cell."""
    values = tuple(position) if isinstance(position, (tuple, list, np.ndarray)) else ()
    if len(values) != 2 or not all(_is_number(v) and 0 <= v <= 1 for v in values):
        raise ValueError(
            "position must be two fractions of the cell, each from 0 to 1, such as (0.5, 0.5), "
            f"got {position!r}."
        )
    return values[0], values[1]


def _followed_table(image: AtomLatticeImage) -> pd.DataFrame | None:
    """Give the table as it is now; None where none is there or can still be followed."""
    try:
        return record.current_table(image)
    except ValueError as error:
        if record.has_table(image):
            _logger.warning("the atoms from before are let go: %s", error)
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _by_frame(image: AtomLatticeImage, table: pd.DataFrame) -> list[pd.DataFrame]:
    return [table[table["frame"] == frame] for frame in range(frame_count(image))]


def _store(image: AtomLatticeImage, table: pd.DataFrame) -> None:
    record.write_table(image, as_table(table, frame_count(image), image.data.shape[-2:]))


def _check_name(sublattice: object) -> None:
    if not isinstance(sublattice, str) or not sublattice:
        raise ValueError(f"a sublattice needs a name, such as 'A', got {sublattice!r}.")
