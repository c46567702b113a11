"""From positions and vectors to strain, tilt, cells, gradients and polarization."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.constants import elementary_charge

from hyperspy_rvae.lattice.axes import Axis, unit_factor
from hyperspy_rvae.lattice.displacements import coordination
from hyperspy_rvae.lattice.mesh import BESIDE, lattice_indices, lattice_neighbours, square_offsets
from hyperspy_rvae.lattice.strain import cell_shapes, local_cells, local_gradients, strain_tensors
from hyperspy_rvae.lattice.table import (
    AT_ONCE,
    REQUIRED,
    rows_by_frame,
    select_sublattice,
    settled,
)
from hyperspy_rvae.lattice.tilt import shell_tilts
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import alike
from hyperspy_rvae.signals.checks import is_number
from hyperspy_rvae.signals.neighbourhood import lattices_of, repeats
from hyperspy_rvae.signals.properties import as_properties
from hyperspy_rvae.signals.regions import inside
from hyperspy_rvae.signals.vectors import has_vector

if TYPE_CHECKING:
    from hyperspy_rvae.signals.displacements import AtomDisplacements
    from hyperspy_rvae.signals.image import AtomLatticeImage
    from hyperspy_rvae.signals.properties import AtomProperties
    from hyperspy_rvae.signals.vectors import AtomVectors

_logger = logging.getLogger(__name__)

FEW_NEIGHBOURS = "fewer than three neighbours on its lattice, or a fit that did not converge"
NEUTRAL = 1e-3  # of the largest charge: what tables of rounded charges leave
C_PER_A2_IN_UC_PER_CM2 = 1e6 * 1e16


def strain_map(image: AtomLatticeImage, sublattice: str, reference: Any) -> AtomProperties:
    """Measure strain; as ``AtomLatticeImage.strain_map``."""
    table = record.current_table(image, copy=False)
    atoms = select_sublattice(table[_needed(table)], sublattice)
    sizes = np.array(_sizes(image)[0])
    cells = np.full((len(atoms), 2, 2), np.nan)
    for rows, found in _cells(atoms, sizes, sublattice):
        cells[rows] = found
    unstrained = _reference_cell(image, atoms, cells, reference, sizes)
    tensors = cells.reshape(-1, 4)
    for first in range(0, len(cells), AT_ONCE):  # in the cells' own memory
        part = slice(first, first + AT_ONCE)
        tensors[part] = strain_tensors(cells[part], unstrained)
    _count_gaps(tensors, "strain", FEW_NEIGHBOURS)
    units = {"exx": "", "eyy": "", "exy": "", "rotation": "rad"}
    noted = {"sublattice": sublattice, "reference": unstrained / sizes}
    return as_properties(image, tensors, atoms.index.to_numpy(), units, table, **noted)


def cell_map(image: AtomLatticeImage, sublattice: str) -> AtomProperties:
    """Measure cells; as ``AtomLatticeImage.cell_map``."""
    table = record.current_table(image, copy=False)
    atoms = select_sublattice(table[_needed(table)], sublattice)
    sizes, length = _sizes(image)
    shapes = np.full((len(atoms), 5), np.nan)
    for rows, found in _cells(atoms, np.array(sizes), sublattice):
        shapes[rows] = cell_shapes(found)
    _count_gaps(shapes, "cell", FEW_NEIGHBOURS)
    units = {"a": length, "b": length, "ratio": "", "gamma": "rad", "area": f"{length}²"}
    return as_properties(image, shapes, atoms.index.to_numpy(), units, table, sublattice=sublattice)


def tilt_map(image: AtomLatticeImage, sublattice: str, centre: str) -> AtomProperties:
    """Measure tilt; as ``AtomLatticeImage.tilt_map``."""
    if sublattice == centre:
        raise ValueError(
            f"sublattice and centre are both {centre!r}; a tilt is that of atoms around others."
        )
    table = record.current_table(image, copy=False)
    known = table[_needed(table)]
    shell, atoms = select_sublattice(known, sublattice), select_sublattice(known, centre)
    sizes = np.array(_sizes(image)[0])
    vectors = repeats(atoms, centre)
    out = np.full((len(atoms), 2), np.nan)
    around = {frame: places for frame, _, places in _settled_by_frame(shell)}
    for frame, rows, xy in _settled_by_frame(atoms):
        if len(around.get(frame, ())) < 3:
            continue
        parity = lattice_indices(xy, vectors).sum(1) % 2
        neighbours, reach = coordination(xy * sizes, around[frame] * sizes)
        tilts = shell_tilts(xy * sizes, around[frame] * sizes, neighbours, reach, parity)
        out[rows] = np.stack([tilts, tilts * (1 - 2 * parity)], axis=-1)
    _count_gaps(
        out,
        "tilt",
        f"fewer {sublattice!r} atoms around it than others have, or a fit that did not converge",
    )
    units = {"tilt": "rad", "staggered": "rad"}
    noted = {"sublattice": sublattice, "centre": centre}
    return as_properties(image, out, atoms.index.to_numpy(), units, table, **noted)


def gradient_map(signal: AtomVectors) -> AtomProperties:
    """Gradients; as ``AtomVectors.gradient_map``."""
    rows = signal.vector_rows()
    width, height, length = record.pixel(signal)
    xy, vectors = rows[["x", "y"]].to_numpy() * (width, height), rows[["u", "v"]].to_numpy()
    columns = np.full((len(rows), 6), np.nan)
    for here, neighbours in lattices_of(rows, BESIDE):
        found = local_gradients(xy[here], vectors[here], neighbours)
        (ux, uy), (vx, vy) = found[:, 0].T, found[:, 1].T
        columns[here] = np.stack([ux, uy, vx, vy, ux + vy, uy - vx], axis=-1)
    per = f"{signal.units}/{length or 'px'}"
    names = ["du_dx", "du_dy", "dv_dx", "dv_dy", "divergence", "curl"]
    return as_properties(signal, columns, rows.index.to_numpy(), dict.fromkeys(names, per))


def polarization(
    signal: AtomDisplacements, born_charges: Mapping[str, float], cell_volume: float
) -> AtomDisplacements:
    """Polarization; as ``AtomDisplacements.polarization``."""
    described = record.read_node(signal, "displacement")
    if "born_charges" in described:
        raise ValueError("these vectors are a polarization already; take it of the displacements.")
    rows = signal.vector_rows()
    moved = list(dict.fromkeys(rows["sublattice"]))
    if not isinstance(described.get("reference"), str):
        raise ValueError("these vectors have no reference; they come from displacement_map().")
    _check_charges(born_charges, [*moved, described["reference"]])
    if not (is_number(cell_volume) and cell_volume > 0):
        raise ValueError(f"cell_volume must be above 0, in cubic angstrom, got {cell_volume!r}.")
    shifts = rows[["u", "v"]].to_numpy() * _angstrom(signal)
    first = rows["sublattice"].to_numpy() == moved[0]
    moments = born_charges[moved[0]] * shifts[first]
    for name in moved[1:]:
        moments = moments + born_charges[name] * _mean_around(rows, shifts, moved[0], name)
    factor = elementary_charge * C_PER_A2_IN_UC_PER_CM2 / cell_volume
    data = np.full((len(record.atom_ids(signal)), 2), np.nan)
    data[np.flatnonzero(has_vector(signal))[first]] = moments * factor
    out = alike(signal, data=data, without=("u_std", "v_std"))
    noted = {"units": "µC/cm²", "born_charges": dict(born_charges), "cell_volume": cell_volume}
    record.write(out, "displacement", described | noted)
    return out


def _sizes(image: AtomLatticeImage) -> tuple[tuple[float, float], str]:
    """Width and height of a pixel, and their units; pixels where they have none in common."""
    y_axis, x_axis = record.image_axes(image)[-2:]
    if not x_axis.units and not y_axis.units:
        return (1.0, abs(y_axis.scale / x_axis.scale)), "px"
    factor = unit_factor(y_axis.units, x_axis.units)
    return (abs(x_axis.scale), abs(y_axis.scale) * factor), x_axis.units


def _needed(table: pd.DataFrame) -> list[str]:
    """Columns that say where atoms are, and which of them were found."""
    return [name for name in (*REQUIRED, "converged") if name in table]


def _settled_by_frame(atoms: pd.DataFrame) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Go through the frames: number, rows that a fit has found, and their places ``(n, 2)``."""
    good, numbers = settled(atoms), np.arange(len(atoms), dtype=np.int32)
    for frame, rows in rows_by_frame(atoms["frame"].to_numpy()):
        here = numbers[rows][good[rows]]
        if len(here):
            yield frame, here, atoms[["x", "y"]].iloc[here].to_numpy()


def _cells(
    atoms: pd.DataFrame, sizes: np.ndarray, name: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Go through the frames: rows, and their lattice vectors ``(n, 2, 2)`` in units of `sizes`."""
    offsets = square_offsets(1)[1:]
    vectors = repeats(atoms, name)
    for _, rows, xy in _settled_by_frame(atoms):
        neighbours = lattice_neighbours(xy, vectors, offsets)
        yield rows, local_cells(xy * sizes, neighbours, offsets)


def _reference_cell(
    image: AtomLatticeImage, atoms: pd.DataFrame, cells: np.ndarray, given: Any, sizes: np.ndarray
) -> np.ndarray:
    """Find the cell that counts as unstrained, shape ``(2, 2)``, in units of `sizes`."""
    if isinstance(given, (np.ndarray, list, tuple)):
        cell = np.asarray(given, dtype=np.float64)
        if cell.shape != (2, 2) or not np.isfinite(cell).all() or np.linalg.det(cell) == 0:
            raise ValueError(
                "reference must be two lattice vectors in pixels, rows a and b, that span a cell, "
                f"got {given!r}."
            )
        return cell * sizes
    chosen = np.isfinite(cells).all((1, 2))
    if given is not None:
        chosen &= inside_image(image, atoms, given)
    if not chosen.any():
        raise ValueError(
            "no atom of the reference has three neighbours on its lattice, so there is nothing to "
            "compare with; take a larger region."
        )
    return cells.mean(axis=0, where=chosen[:, None, None])


def inside_image(image: AtomLatticeImage, atoms: pd.DataFrame, roi: Any) -> np.ndarray:
    """Whether atoms of an image lie in a HyperSpy ROI, shape ``(n,)``."""
    return inside(record.image_axes(image), atoms, roi)


def _angstrom(signal: AtomDisplacements) -> np.ndarray:
    """Find what u and v are to be multiplied with to be in angstrom."""
    axes: list[Axis] = record.stored_axes(signal)[-2:]
    if signal.units == "px":
        return np.array([abs(axis.scale) * unit_factor(axis.units, "A") for axis in axes[::-1]])
    return np.full(2, unit_factor("" if signal.units == "axes" else signal.units, "A"))


def _mean_around(rows: pd.DataFrame, shifts: np.ndarray, centre: str, name: str) -> np.ndarray:
    """Mean shift of one sublattice's atoms around each atom of another, shape ``(n, 2)``."""
    from scipy.spatial import KDTree

    means = []
    for _, here in rows.assign(row=np.arange(len(rows))).groupby("frame"):
        centres, others = here[here["sublattice"] == centre], here[here["sublattice"] == name]
        if not len(centres):
            continue
        count, reach = coordination(centres[["x", "y"]].to_numpy(), others[["x", "y"]].to_numpy())
        tree = KDTree(others[["x", "y"]].to_numpy())
        distance, index = map(np.asarray, tree.query(centres[["x", "y"]].to_numpy(), k=count))
        mean = shifts[others["row"].to_numpy()][index].mean(axis=1)
        mean[distance[:, -1] > reach] = np.nan
        means.append(mean)
    return np.concatenate(means)


def _check_charges(charges: Any, needed: list[str]) -> None:
    if not isinstance(charges, Mapping) or not charges:
        raise TypeError(f"born_charges must be charges by sublattice, got {charges!r}.")
    missing = [name for name in dict.fromkeys(needed) if name not in charges]
    if missing:
        raise ValueError(
            f"born_charges has no charge of {', '.join(map(repr, missing))}; needed are those of "
            "the displaced sublattices and of their reference."
        )
    wrong = [value for value in charges.values() if not is_number(value)]
    if wrong:
        raise ValueError(f"born_charges must be numbers, in units of e, got {wrong[0]!r}.")
    values = np.array(list(charges.values()), dtype=np.float64)
    if abs(values.sum()) > NEUTRAL * np.abs(values).max():
        raise ValueError(
            f"the charges {dict(charges)} sum to {values.sum():g} e and not to 0, so that the "
            "polarization would depend on the origin; give all of the cell's, measured or not."
        )


def _count_gaps(values: np.ndarray, what: str, why: str) -> None:
    gaps = int((~np.isfinite(values).all(axis=1)).sum())
    if gaps == len(values):
        raise ValueError(f"no atom has a {what}: each has {why}.")
    if gaps:
        _logger.info("%d of %d atoms have no %s: %s", gaps, len(values), what, why)
