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
    before = record.current_table(image) if record.has_table(image) else None
    movie = movie_of(image)
    if separation is None:
        first = check_frame(np.asarray(movie[0]))
        separation = estimate_separation(bright_atoms(first, contrast))
        _logger.info("separation is %.1f px, as estimated from the first frame", separation)
    given = [(separation, contrast, refine)] * len(movie)
    found = each_frame(find_columns, movie, given, show_progressbar)
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
    table = image.atoms
    select_sublattice(table, reference)
    table = table[table["sublattice"] != sublattice]
    given = [(rows, reference, tuple(position)) for rows in _by_frame(image, table)]
    found = each_frame(find_second_columns, movie_of(image), given, show_progressbar)
    _store(image, replace_sublattice(table, sublattice, found))


def refine(
    image: AtomLatticeImage,
    sublattice: str | None,
    method: Refinement,
    percent_to_nn: float | None,
    show_progressbar: bool | None,
) -> None:
    """Refine in place; as ``AtomLatticeImage.refine_atoms``."""
    check_image(image)
    check_choice(method, get_args(Refinement), "method")
    table = image.atoms
    select_sublattice(table, sublattice)
    given = [(rows, sublattice, method, percent_to_nn) for rows in _by_frame(image, table)]
    _store(image, each_frame(refine_columns, movie_of(image), given, show_progressbar))


def _by_frame(image: AtomLatticeImage, table: pd.DataFrame) -> list[pd.DataFrame]:
    return [table[table["frame"] == frame] for frame in range(frame_count(image))]


def _store(image: AtomLatticeImage, table: pd.DataFrame) -> None:
    record.write_table(image, as_table(table, frame_count(image), image.data.shape[-2:]))


def _check_name(sublattice: object) -> None:
    if not isinstance(sublattice, str) or not sublattice:
        raise ValueError(f"a sublattice needs a name, such as 'A', got {sublattice!r}.")
