"""Synthetic images whose answer is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hyperspy.api as hs
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from hyperspy_rvae.signals import AtomLatticeImage

WIDTH = 0.17
REACH = 5


def polar_perovskite(
    cells: tuple[int, int] = (16, 12),
    *,
    lattice_px: float = 16.0,
    displacement_px: tuple[float, float] = (0.4, -0.6),
    brightness: float = 0.5,
    noise: float = 0.02,
    pixel_pm: float = 25.0,
    seed: int = 0,
) -> tuple[AtomLatticeImage, pd.DataFrame]:
    """Perovskite [001] with two polar domains, divided by a sharp 180 degree wall.

    Parameters
    ----------
    cells
        Number of cells along x and y.
    lattice_px
        Lattice parameter in pixels.
    displacement_px
        Displacement of the B columns from the centres of their cells in the left half, u right
        and v down; the right half has the opposite.
    brightness
        Peak of the B columns; that of the A columns is 1.
    noise
        Standard deviation of the white noise.
    pixel_pm
        Size of a pixel in picometres.
    seed
        Of the noise.

    Returns
    -------
    image
        Gaussian columns on a background of 0.2, float32, without atoms.
    truth
        Table of all columns: ``frame``, ``x``, ``y``, ``sublattice``, and ``u``, ``v``, the
        displacement in pixels (0 for A).
    """
    across, down = cells
    margin = 1.5 * lattice_px
    corners = np.stack(np.meshgrid(np.arange(across + 1), np.arange(down + 1)), -1).reshape(-1, 2)
    centres = np.stack(np.meshgrid(np.arange(across), np.arange(down)), -1).reshape(-1, 2) + 0.5
    side = np.where(centres[:, :1] < across / 2, 1.0, -1.0)
    shifts = side * np.asarray(displacement_px, dtype=np.float64)
    truth = pd.concat(
        [
            _columns(corners * lattice_px + margin, np.zeros(corners.shape), "A"),
            _columns(centres * lattice_px + margin + shifts, shifts, "B"),
        ],
        ignore_index=True,
    )
    height, width = (int(np.ceil(n * lattice_px + 2 * margin)) + 1 for n in (down, across))
    shape = (height, width)
    peaks = np.where(truth["sublattice"] == "A", 1.0, brightness)
    pixels = 0.2 + gaussian_columns(shape, truth[["x", "y"]].to_numpy(), peaks, WIDTH * lattice_px)
    pixels += np.random.default_rng(seed).normal(0, noise, shape)
    image = hs.signals.Signal2D(pixels.astype(np.float32))
    for axis, name in zip(image.axes_manager.signal_axes, "xy", strict=True):
        axis.name, axis.scale, axis.units = name, pixel_pm / 1000, "nm"
    image.metadata.General.title = "Polar perovskite"
    image.set_signal_type("atom_lattice")
    return image, truth


def gaussian_columns(
    shape: tuple[int, int], positions: np.ndarray, peaks: np.ndarray, sigma: float
) -> np.ndarray:
    """Sum of round Gaussians.

    Parameters
    ----------
    shape
        Height and width in pixels.
    positions
        Shape ``(n, 2)``, x and y in pixels.
    peaks
        Shape ``(n,)``.
    sigma
        Standard deviation in pixels.

    Returns
    -------
    image
        float64.
    """
    image = np.zeros(shape)
    reach = int(np.ceil(REACH * sigma))
    for (x, y), peak in zip(positions, peaks, strict=True):
        rows = np.arange(max(0, int(y) - reach), min(shape[0], int(y) + reach + 1))
        columns = np.arange(max(0, int(x) - reach), min(shape[1], int(x) + reach + 1))
        along_y = np.exp(-((rows - y) ** 2) / (2 * sigma**2))
        along_x = np.exp(-((columns - x) ** 2) / (2 * sigma**2))
        image[np.ix_(rows, columns)] += peak * np.outer(along_y, along_x)
    return image


def _columns(positions: np.ndarray, shifts: np.ndarray, sublattice: str) -> pd.DataFrame:
    (x, y), (u, v) = positions.T, shifts.T
    return pd.DataFrame({"frame": 0, "x": x, "y": y, "sublattice": sublattice, "u": u, "v": v})
