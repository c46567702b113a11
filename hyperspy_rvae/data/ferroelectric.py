"""A synthetic ferroelectric: domains of displaced columns, seen through a bent foil."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hyperspy.api as hs
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from hyperspy_rvae.signals import AtomLatticeImage

LATTICE_NM = 0.4
SIGMA_NM = 0.045
DECAY_NM = {"A": 8.0, "B": 16.0}
LEVEL = 0.2
CORNER = 0.25
REACH = 4.5


def ferroelectric(
    cells: tuple[int, int] = (32, 24),
    *,
    lattice_px: float = 16.0,
    displacement_px: float = 1.0,
    wall_cells: float = 1.0,
    tilt_mrad: float = 6.0,
    thickness_nm: float = 20.0,
    brightness: float = 0.4,
    jitter_px: float = 0.05,
    dose: float = 400.0,
    seed: int = 0,
) -> tuple[AtomLatticeImage, pd.DataFrame]:
    """Perovskite [001] with domains of four polarizations, in a foil that is bent.

    The B columns are displaced along the diagonals of their cells. Curved walls of two kinds, at
    one of which u turns over and at the other v, divide the field into domains; across a wall the
    displacement goes as a hyperbolic tangent. Its length varies slowly, by up to a third.

    The mis-tilt grows along its own direction, from zero, as in a bent foil. A tilted column is
    drawn out along the tilt, and as the signal of heavy columns comes from nearer to the surface
    where electrons enter, heavy and light ones seem to move apart [1]_. Here it decays with
    depth as an exponential, over 8 nm in A and 16 nm in B columns, and a column's image is the
    elliptical Gaussian that has the mean and the variance of its signal along the tilt. A shift
    that all columns share is left out.

    Parameters
    ----------
    cells
        Number of cells along x and y.
    lattice_px
        Lattice parameter, which is 0.4 nm, in pixels.
    displacement_px
        Largest displacement of a B column in pixels.
    wall_cells
        Distance from the middle of a wall, in cells, at which the component that turns over there
        has 76 % of what it has far away.
    tilt_mrad
        Mis-tilt at the far end of the field in milliradians.
    thickness_nm
        Of the foil, in nanometres.
    brightness
        Peak of a B column that is not tilted; that of an A column is 1.
    jitter_px
        Standard deviation of the columns' places along x and y, in pixels.
    dose
        Electrons counted in a pixel where the image is 1; infinite for an image without noise.
    seed
        Of the walls, the tilt's direction, the jitter and the noise.

    Returns
    -------
    image
        Columns on a level of 0.2, float32, without atoms.
    truth
        Table of all columns inside: ``frame``, ``x``, ``y``, ``sublattice``; ``ideal_x`` and
        ``ideal_y``, its place in the lattice of the A columns; ``u`` and ``v``, the displacement
        of the B columns, pixels, right and down (0 for A); ``tilt_x`` and ``tilt_y`` in
        milliradians; ``domain``, 0 to 3, of which 1 and 3 have u > 0, and 2 and 3 v > 0. A column
        is off its ideal place by u and v, jitter and, in B, the shift that the tilt feigns.

    References
    ----------
    .. [1] Y. Liu, Y. L. Zhu, Y. L. Tang, X. L. Ma, An effect of crystal tilt on the determination
       of ions displacements in perovskite oxides under BF/HAADF-STEM imaging mode, Journal of
       Materials Research.

    Examples
    --------
    >>> import hyperspy_rvae as hrv
    >>> s, truth = hrv.data.ferroelectric((8, 6))
    >>> s.set_atoms(truth[["x", "y", "sublattice"]])
    >>> s.atoms["sublattice"].value_counts().to_dict()
    {'A': 48, 'B': 48}
    """
    rng = np.random.default_rng(seed)
    ideal, sublattice = _sites(cells)
    field, tilt = _polarization(ideal, cells, wall_cells, rng), _tilt(ideal, cells, rng)
    depth, spread = np.array([_depth(DECAY_NM[name], thickness_nm) for name in sublattice]).T
    shift = np.where(sublattice == "B", 1.0, 0.0)[:, None] * displacement_px * field
    per_nm = lattice_px / LATTICE_NM
    lean = tilt * tilt_mrad * 1e-3 * per_nm  # pixels along the tilt for a nanometre of depth
    reference = _depth(DECAY_NM["A"], thickness_nm)[0]
    places = (ideal + CORNER) * lattice_px
    found = places + shift + (depth - reference)[:, None] * lean
    found += rng.normal(0, jitter_px, found.shape)
    peaks = np.where(sublattice == "A", 1.0, brightness)
    shape = tuple(round(n * lattice_px) for n in cells[::-1])
    image = LEVEL + _tilted_columns(shape, found, peaks, SIGMA_NM * per_nm, spread[:, None] * lean)
    if np.isfinite(dose):
        image = rng.poisson(image * dose) / dose
    truth = {"frame": 0, "x": found[:, 0], "y": found[:, 1], "sublattice": sublattice}
    truth |= {"ideal_x": places[:, 0], "ideal_y": places[:, 1], "u": shift[:, 0], "v": shift[:, 1]}
    truth |= dict(zip(("tilt_x", "tilt_y"), tilt_mrad * tilt.T, strict=True))
    table = pd.DataFrame({**truth, "domain": (field > 0) @ np.array([1, 2])})
    inside = table["x"].between(0, shape[1] - 1) & table["y"].between(0, shape[0] - 1)
    return _signal(image, 1 / per_nm), table[inside].reset_index(drop=True)


def _sites(cells: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Ideal places ``(n, 2)`` in cells, a cell beyond the field, and sublattices ``(n,)``."""
    across, down = cells
    corners = np.stack(np.meshgrid(np.arange(-1, across + 1), np.arange(-1, down + 1)), -1)
    corners = corners.reshape(-1, 2)
    names = np.repeat(["A", "B"], len(corners)).astype(object)
    return np.concatenate([corners, corners + 0.5]), names


def _polarization(
    places: np.ndarray, cells: tuple[int, int], wall: float, rng: np.random.Generator
) -> np.ndarray:
    """Displacement field ``(n, 2)`` at places in cells, at most 1 long."""
    parts = []
    for axis in range(2):
        along, across = places[:, axis], places[:, 1 - axis]
        period = cells[axis] * rng.uniform(0.8, 1.2)
        bend = 0.08 * cells[axis] * np.sin(2 * np.pi * (across / cells[1 - axis] + rng.random()))
        lean = rng.uniform(-0.5, 0.5) * (across - cells[1 - axis] / 2)
        phase = 2 * np.pi * ((along + lean + bend - cells[axis] / 2) / period)
        phase += rng.uniform(-0.2, 0.2) * 2 * np.pi
        # Near a wall the sine is the distance from it, in units of the period over 2 pi.
        parts.append(np.tanh(np.sin(phase) * period / (2 * np.pi) / wall))
    slow = np.cos(2 * np.pi * (places / np.asarray(cells) @ rng.uniform(-1, 1, 2) + rng.random()))
    return np.stack(parts, 1) / np.sqrt(2) * (5 + slow)[:, None] / 6


def _tilt(places: np.ndarray, cells: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Mis-tilt ``(n, 2)`` at places in cells: zero at one end of the field, 1 at the other."""
    angle = rng.uniform(-np.pi, np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    along = (places - np.asarray(cells) / 2) @ direction
    return (along - along.min())[:, None] / np.ptp(along) * direction


def _depth(decay: float, thickness: float) -> tuple[float, float]:
    """Mean and standard deviation of the depth that a signal comes from.

    Those of an exponential of the given decay, cut off at the thickness.
    """
    grown = np.expm1(thickness / decay)
    mean = decay - thickness / grown
    variance = decay**2 - thickness**2 * (grown + 1) / grown**2
    return mean, np.sqrt(variance)


def _tilted_columns(
    shape: tuple[int, ...], places: np.ndarray, peaks: np.ndarray, sigma: float, drawn: np.ndarray
) -> np.ndarray:
    """Sum of Gaussians of one volume for one peak, drawn out by vectors ``(n, 2)`` in pixels."""
    image = np.zeros(shape)
    for (x, y), peak, (dx, dy) in zip(places, peaks, drawn, strict=True):
        covariance = sigma**2 * np.eye(2) + np.outer([dx, dy], [dx, dy])
        inverse, area = np.linalg.inv(covariance), np.sqrt(np.linalg.det(covariance))
        reach = int(np.ceil(REACH * np.sqrt(covariance.diagonal().max())))
        rows = np.arange(max(0, int(y) - reach), min(shape[0], int(y) + reach + 2))
        columns = np.arange(max(0, int(x) - reach), min(shape[1], int(x) + reach + 2))
        off_y, off_x = (rows - y)[:, None], (columns - x)[None]
        square = inverse[0, 0] * off_x**2 + inverse[1, 1] * off_y**2
        square = square + 2 * inverse[0, 1] * off_x * off_y
        image[np.ix_(rows, columns)] += peak * sigma**2 / area * np.exp(-square / 2)
    return image


def _signal(image: np.ndarray, pixel_nm: float) -> AtomLatticeImage:
    signal = hs.signals.Signal2D(image.astype(np.float32))
    for axis, name in zip(signal.axes_manager.signal_axes, "xy", strict=True):
        axis.name, axis.scale, axis.units = name, pixel_nm, "nm"
    signal.metadata.General.title = "Ferroelectric"
    signal.set_signal_type("atom_lattice")
    return signal
