"""Local cells of a lattice: strain, rotation, lengths, and gradients of fields on it."""

from __future__ import annotations

import numpy as np

FEWEST_BONDS = 3  # two unknown vectors, and one bond to spare


def local_gradients(
    positions: np.ndarray, values: np.ndarray, neighbours: np.ndarray
) -> np.ndarray:
    """Fit a linear field to each atom's neighbours, by least squares.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``.
    values
        Shape ``(n, c)``.
    neighbours
        Rows of the neighbours, without the atom itself, shape ``(n, m)``; -1 for none.

    Returns
    -------
    gradients
        Shape ``(n, c, 2)``: change of each value along x and along y; NaN where fewer than three
        neighbours are there, or they stand in one row.
    """
    there = (neighbours >= 0)[..., None]
    steps = np.where(there, positions[neighbours] - positions[:, None], 0.0)
    changes = np.where(there, values[neighbours] - values[:, None], 0.0)
    return _fit(steps, changes, there.sum((1, 2)))


def local_cells(positions: np.ndarray, neighbours: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Fit both lattice vectors to the bonds of each atom, by least squares.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``.
    neighbours
        Rows of the neighbours at each step, shape ``(n, m)``; -1 for none.
    offsets
        The steps along a and b, shape ``(m, 2)``.

    Returns
    -------
    cells
        Shape ``(n, 2, 2)``: rows a and b; NaN where fewer than three bonds are there, or all of
        one direction.
    """
    there = (neighbours >= 0)[..., None]
    bonds = np.where(there, positions[neighbours] - positions[:, None], 0.0)
    steps = np.where(there, np.broadcast_to(offsets, bonds.shape), 0.0)
    return _fit(steps, bonds, there.sum((1, 2))).transpose(0, 2, 1)


def strain_tensors(cells: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Strain and rotation of cells against a reference.

    The deformation that takes the reference to the cell is split into a stretch after a rotation,
    F = V R (polar decomposition); the strain is V - I, so that a rotation of any size is none.

    Parameters
    ----------
    cells
        Shape ``(n, 2, 2)``: rows a and b, x right and y down.
    reference
        Shape ``(2, 2)``.

    Returns
    -------
    tensors
        Shape ``(n, 4)``: exx, eyy, exy (half the engineering shear; x right, y down), fractions,
        and the rotation in radians, counter-clockwise as displayed.
    """
    deformation = (np.linalg.inv(reference) @ cells).transpose(0, 2, 1)
    # With y down, a turn that is counter-clockwise as displayed has this sign.
    rotation = np.arctan2(
        deformation[:, 0, 1] - deformation[:, 1, 0], deformation[:, 0, 0] + deformation[:, 1, 1]
    )
    cos, sin = np.cos(rotation), np.sin(rotation)
    back = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
    stretch = deformation @ back
    return np.stack(
        [stretch[:, 0, 0] - 1, stretch[:, 1, 1] - 1, stretch[:, 0, 1], rotation], axis=-1
    )


def cell_shapes(cells: np.ndarray) -> np.ndarray:
    """Lengths, angle, ratio and area of cells.

    Parameters
    ----------
    cells
        Shape ``(n, 2, 2)``: rows a and b.

    Returns
    -------
    shapes
        Shape ``(n, 5)``: length of a, length of b, b / a, angle between them (radians) and area.
    """
    a, b = np.hypot(*cells[:, 0].T), np.hypot(*cells[:, 1].T)
    dot = (cells[:, 0] * cells[:, 1]).sum(1)
    with np.errstate(invalid="ignore"):  # cells at the border are NaN
        area = np.abs(np.linalg.det(cells))
    return np.stack([a, b, b / a, np.arctan2(area, dot), area], axis=-1)


def _fit(steps: np.ndarray, changes: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Solve ``changes = steps @ g.T`` for each row; shape ``(n, c, 2)``."""
    normal = np.einsum("nmi,nmj->nij", steps, steps)
    # a row of atoms has a normal matrix of rank one
    scale = np.trace(normal, axis1=1, axis2=2) ** 2
    good = (count >= FEWEST_BONDS) & (np.linalg.det(normal) > 1e-4 * scale)
    out = np.full((len(steps), changes.shape[-1], 2), np.nan)
    right = np.einsum("nmi,nmc->nic", steps, changes)
    out[good] = np.linalg.solve(normal[good], right[good]).transpose(0, 2, 1)
    return out
