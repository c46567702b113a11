"""From a table of atoms to displacements from their ideal places."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.axes import Axis, pack_axes, unit_factor
from hyperspy_rvae.lattice.displacements import (
    check_centred,
    coordination,
    displacements,
    neighbour_centres,
)
from hyperspy_rvae.lattice.ideal import (
    cell_places,
    indices_in,
    lattice_places,
    mean_over_time,
    plane_crossings,
)
from hyperspy_rvae.lattice.packing import pack
from hyperspy_rvae.lattice.table import (
    REQUIRED,
    nearest_distance,
    rows_by_frame,
    select_sublattice,
    settled_rows,
)
from hyperspy_rvae.lattice.uncertainty import centre_variances
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import atom_axis, like
from hyperspy_rvae.signals.checks import check_choice
from hyperspy_rvae.signals.finding import check_position
from hyperspy_rvae.signals.neighbourhood import repeats
from hyperspy_rvae.signals.regions import inside

if TYPE_CHECKING:
    from hyperspy_rvae.signals.displacements import AtomDisplacements
    from hyperspy_rvae.signals.image import AtomLatticeImage

Units = Literal["px", "axes", "pm"]
Ideal = Literal["neighbours", "cells", "lattice", "planes", "time"]
NEEDED = (*REQUIRED, "x_std", "y_std", "converged", "track")
STDS = ["u_std", "v_std"]
UNEVEN = (0.02, 0.1)  # lattice vectors that differ by so much may be the scan's doing

_logger = logging.getLogger(__name__)


def map_displacements(
    image: AtomLatticeImage,
    sublattice: str | Sequence[str],
    reference: str,
    method: Ideal,
    position: tuple[float, float],
    region: Any,
    units: Units,
) -> AtomDisplacements:
    """Measure; the parameters are those of ``AtomLatticeImage.displacement_map``."""
    check_choice(units, get_args(Units), "units")
    check_choice(method, get_args(Ideal), "method")
    names = [sublattice] if isinstance(sublattice, str) else list(dict.fromkeys(sublattice))
    if not names:
        raise ValueError("sublattice must name at least one, got none.")
    table = record.current_table(image, copy=False)
    axes = record.image_axes(image)
    factors, unit = vector_units(axes[-1], axes[-2], units)
    if method == "time":
        reference = names[0]
    known = table[[name for name in NEEDED if name in table]]
    around = settled_rows(select_sublattice(known, reference))
    chosen = np.ones(len(around), dtype=bool)
    if region is not None:
        if method != "lattice":
            raise ValueError(
                "a region is what the lattice is fitted to; it needs method='lattice'."
            )
        chosen = inside(axes, around, region)
    _warn_uneven(around, reference, axes)
    places = {name: _place(name, reference, method, position) for name in names}
    found = _of_sublattices(known, around, method, places, chosen)
    entries: dict[str, Any] = {"axes": pack_axes(axes)}
    if STDS[0] in found and found[STDS].notna().to_numpy().any():
        table = table.drop(columns=STDS, errors="ignore").join(found[STDS] * factors)
        entries["table"] = pack(table)
    elif not record.is_current(image):  # else the image's own table serves
        entries["table"] = pack(table)
    described = {"sublattice": ", ".join(names), "reference": reference, "method": method}
    return like(
        image,
        found[["u", "v"]].to_numpy() * factors,
        [atom_axis(found.index.to_numpy()), {"name": "component", "size": 2, "navigate": False}],
        "atom_displacements",
        entries | {"displacement": described | {"units": unit}},
    )


def _of_sublattices(
    known: pd.DataFrame,
    around: pd.DataFrame,
    method: Ideal,
    places: Mapping[str, tuple[float, float]],
    chosen: np.ndarray,
) -> pd.DataFrame:
    """Vectors of all atoms of the sublattices that have places, in pixels, by their ids."""
    parts, unsettled = [], 0
    for name, place in places.items():
        atoms = select_sublattice(known, name)
        good = settled_rows(atoms)
        vectors, variances = _by_frame(good, around, method, place, chosen)
        part = pd.DataFrame(vectors, index=good.index, columns=["u", "v"])
        if variances is not None:
            part[STDS] = np.sqrt(variances)
        parts.append(part if good is atoms else part.reindex(atoms.index))
        unsettled += len(atoms) - len(good)
    found = parts[0] if len(parts) == 1 else pd.concat(parts).sort_index()
    _count_gaps(found, method, unsettled)
    return found


def _place(
    name: str, reference: str, method: Ideal, position: tuple[float, float]
) -> tuple[float, float]:
    """Place in the reference's cell: (0, 0) for the reference's own atoms."""
    if name != reference:
        return check_position(position)
    if method in ("neighbours", "cells"):
        raise ValueError(
            f"sublattice and reference are both {reference!r}; displacements from "
            f"{method} need two sublattices. The methods 'lattice', 'planes' and 'time' take one."
        )
    return (0.0, 0.0)


def _by_frame(
    atoms: pd.DataFrame,
    around: pd.DataFrame,
    method: Ideal,
    place: tuple[float, float],
    chosen: np.ndarray,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Vectors in pixels, row for row with `atoms`, and their variances if known; (n, 2) each."""
    variances = _variances(atoms)
    if method == "time":
        return _from_time(atoms), variances
    places, others, doubt = _xy(atoms), _xy(around), _variances(around)
    references = dict(rows_by_frame(around["frame"].to_numpy()))
    frames = rows_by_frame(atoms["frame"].to_numpy())
    both = [(rows, references[frame]) for frame, rows in frames if frame in references]
    if not both:
        raise ValueError("no frame has atoms of both sublattices, so there is nothing to measure.")
    rows, there = max(both, key=lambda pair: len(others[pair[1]]))
    if method == "neighbours":
        neighbours, reach = coordination(places[rows], others[there])
    else:
        lattice = repeats(around.iloc[there], str(around["sublattice"].iloc[0]))
    vectors = np.full(places.shape, np.nan)
    if variances is not None:
        variances[~atoms["frame"].isin(references).to_numpy()] = np.nan
    for rows, there in both:
        xy, corners = places[rows], others[there]
        if method == "neighbours":
            ideal = neighbour_centres(xy, corners, neighbours, reach)
            if variances is not None:
                variances[rows] += centre_variances(xy, corners, doubt[there], neighbours)
        else:
            ideal = _ideal(method, xy, corners, lattice, place, chosen[there])
        vectors[rows] = displacements(xy, ideal)
    if method == "neighbours":
        check_centred(vectors, reach)
    return vectors, variances


def _ideal(
    method: Ideal,
    xy: np.ndarray,
    reference: np.ndarray,
    vectors: np.ndarray,
    place: tuple[float, float],
    chosen: np.ndarray,
) -> np.ndarray:
    """Ideal places in one frame, by all methods but the neighbours and time."""
    if method == "cells":
        return cell_places(xy, reference, vectors, place)
    cells, indices = indices_in(xy, reference, vectors, place)
    if method == "planes":
        return plane_crossings(cells, place, reference, indices)
    return lattice_places(cells, place, reference, indices, chosen)


def _from_time(atoms: pd.DataFrame) -> np.ndarray:
    frames = [rows for _, rows in rows_by_frame(atoms["frame"].to_numpy())]
    if len(frames) < 2:
        raise ValueError(
            "a mean over time needs a movie, and the atoms are in one frame; choose another method."
        )
    track = atoms["track"].to_numpy() if "track" in atoms else None
    tracks = None if track is None else [track[rows] for rows in frames]
    vectors = _xy(atoms)
    places = [vectors[rows] for rows in frames]
    ideal = mean_over_time(places, nearest_distance(atoms), tracks)
    for rows, there in zip(frames, ideal, strict=True):
        vectors[rows] -= there
    return vectors


def _variances(atoms: pd.DataFrame) -> np.ndarray | None:
    """Squares of ``x_std`` and ``y_std``; None where the table has none."""
    if not {"x_std", "y_std"} <= set(atoms):
        return None
    return atoms[["x_std", "y_std"]].to_numpy(dtype=np.float64) ** 2


def _xy(rows: pd.DataFrame) -> np.ndarray:
    return np.stack([rows["x"], rows["y"]], axis=1)


def _count_gaps(found: pd.DataFrame, method: Ideal, unsettled: int) -> None:
    gaps = int(found["u"].isna().sum())
    why = {
        "neighbours": "a reference atom around them is missing",
        "cells": "their cell of the reference is not whole",
        "planes": "a plane of theirs has fewer than four atoms",
        "time": "they were seen in one frame only",
    }.get(method, "their frame has no reference atoms")
    if unsettled:
        _logger.info(
            "%d of %d atoms have no displacement: their fit did not converge", unsettled, len(found)
        )
    if gaps == len(found):
        raise ValueError(
            f"no atom has a displacement: {why}. Look at the sublattices with plot_atoms(); "
            "perhaps they are exchanged, or `position` is another."
        )
    if gaps > unsettled:
        _logger.info("%d of %d atoms have no displacement: %s", gaps - unsettled, len(found), why)


def _warn_uneven(around: pd.DataFrame, name: str, axes: Sequence[Axis]) -> None:
    """Warn where a lattice that should be square is not, by the axes' own scales."""
    try:
        a, b = repeats(around, name) * [abs(axes[-1].scale), abs(axes[-2].scale)]
    except ValueError:
        return  # what is no lattice has no two lengths to compare
    lengths = np.hypot(*a), np.hypot(*b)
    uneven = abs(lengths[0] - lengths[1]) / max(lengths)
    square = abs(a @ b) < 0.1 * lengths[0] * lengths[1]
    if square and UNEVEN[0] < uneven < UNEVEN[1]:
        _logger.warning(
            "the lattice of %r repeats every %.4g along x and every %.4g along y, which differ by "
            "%.1f %%: unless the crystal does, a pixel size is wrong, and so are lengths and "
            "angles by as much; calibrate both axes on the lattice.",
            name,
            *lengths,
            100 * uneven,
        )


def vector_units(x_axis: Axis, y_axis: Axis, units: Units) -> tuple[np.ndarray, str]:
    """Find what u and v in pixels are to be multiplied with, and the units then."""
    if units == "px":
        return np.ones(2), "px"
    target = "pm" if units == "pm" else x_axis.units
    factors = [abs(axis.scale) * unit_factor(axis.units, target) for axis in (x_axis, y_axis)]
    return np.array(factors), target or "axes"
