"""Noise between neighbours, and fields that are no physics, subtracted by name."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from hyperspy_rvae.lattice.corrections import Field, background_field
from hyperspy_rvae.lattice.mesh import BESIDE
from hyperspy_rvae.lattice.table import nearest_distance, rows_by_frame
from hyperspy_rvae.lattice.uncertainty import neighbour_noise
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import alike
from hyperspy_rvae.signals.checks import check_choice, is_number
from hyperspy_rvae.signals.neighbourhood import neighbours_of
from hyperspy_rvae.signals.regions import inside
from hyperspy_rvae.signals.vectors import has_vector

if TYPE_CHECKING:
    from hyperspy_rvae.signals.displacements import AtomDisplacements

_logger = logging.getLogger(__name__)

WIDE = 8.0  # distances between nearest neighbours
FEWEST = {"mean": 1, "plane": 3, "smooth": 1}


def noise(signal: AtomDisplacements) -> tuple[float, float]:
    """Noise between neighbours; as ``AtomDisplacements.noise``."""
    rows = signal.vector_rows()
    u, v = neighbour_noise(rows[["u", "v"]].to_numpy(), neighbours_of(rows, BESIDE))
    return float(u), float(v)


def correct(
    signal: AtomDisplacements, field: Field, region: Any, width: float | None
) -> AtomDisplacements:
    """Subtract; as ``AtomDisplacements.correct``."""
    check_choice(field, get_args(Field), "field")
    if width is not None and (field != "smooth" or not (is_number(width) and width > 0)):
        raise ValueError(
            f"width must be a number of pixels above 0, for field='smooth' alone, got {width!r} "
            f"for {field!r}."
        )
    rows = signal.vector_rows()
    chosen = np.ones(len(rows), dtype=bool)
    if region is not None:
        chosen = inside(record.stored_axes(signal), rows, region)
    wide = WIDE * nearest_distance(rows) if width is None else width
    data, places = np.full(signal.data.shape, np.nan), np.flatnonzero(has_vector(signal))
    xy, vectors = rows[["x", "y"]].to_numpy(), rows[["u", "v"]].to_numpy()
    for frame, here in rows_by_frame(rows["frame"].to_numpy()):
        part = chosen[here]
        if part.sum() < FEWEST[field]:
            raise ValueError(
                f"the region holds {part.sum()} vectors in frame {frame}; the field {field!r} "
                f"needs at least {FEWEST[field]}."
            )
        taken = background_field(xy[here], vectors[here], field, part, wide)
        data[places[here]] = vectors[here] - taken
        _logger.info(
            "frame %s: subtracted the field %r, on average (%.3g, %.3g) %s",
            frame,
            field,
            *np.nanmean(taken, axis=0),
            signal.units,
        )
    out = alike(signal, data=data)
    described = record.read_node(signal, "displacement")
    done = [*described.get("corrections", []), field]
    record.write(out, "displacement", described | {"corrections": done})
    return out
