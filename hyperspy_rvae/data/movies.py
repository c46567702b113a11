"""A synthetic movie of a crystal that drifts, whose atoms vanish and hop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hyperspy.api as hs
import numpy as np
import pandas as pd

from hyperspy_rvae.data.synthetic import WIDTH, gaussian_columns

if TYPE_CHECKING:
    from hyperspy_rvae.signals import AtomLatticeImage


def drifting_crystal(
    frames: int = 8,
    size: tuple[int, int] = (192, 160),
    *,
    lattice_px: float = 12.0,
    drift_px: tuple[float, float] = (2.3, -1.4),
    vacancies: float = 0.02,
    vanish: float = 0.004,
    hop: float = 0.02,
    jitter_px: float = 0.15,
    noise: float = 0.1,
    pixel_pm: float = 20.0,
    seed: int = 0,
) -> tuple[AtomLatticeImage, pd.DataFrame]:
    """Movie of a square lattice that drifts, and what became of every atom.

    The crystal is larger than the field of view, so atoms also leave and enter at its rim.

    Parameters
    ----------
    frames
        Number of frames.
    size
        Width and height of a frame in pixels.
    lattice_px
        Lattice parameter in pixels.
    drift_px
        Mean drift from frame to frame, x and y; it varies by a quarter of its length.
    vacancies
        Share of the sites that are empty at the start.
    vanish
        Share of the atoms that vanish from one frame to the next.
    hop
        Chance, from one frame to the next, that an atom next to a vacancy hops into it.
    jitter_px
        Standard deviation of each atom about its place, along x and along y, in each frame.
    noise
        Standard deviation of the white noise; the columns are 1 high and vary by a tenth.
    pixel_pm
        Size of a pixel in picometres.
    seed
        Of everything that is random.

    Returns
    -------
    image
        ``(time | x, y)``, float32, without atoms.
    truth
        Columns ``frame``, ``x``, ``y``, ``sublattice``, ``track`` (the atom), ``drift_x``,
        ``drift_y`` (of the frame since the first one, pixels) and ``hopped`` (whether since the
        frame before). Columns whose middle is outside the field of view are left out.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    steps = np.asarray(drift_px) + rng.normal(0, np.hypot(*drift_px) / 4, (frames, 2))
    steps[0] = 0.0
    drift = np.cumsum(steps, axis=0)
    reach = int(np.ceil(np.abs(drift).max() / lattice_px)) + 2
    shape = (height // int(lattice_px) + 2 * reach, width // int(lattice_px) + 2 * reach)
    sites = np.where(rng.random(shape) < vacancies, -1, np.arange(np.prod(shape)).reshape(shape))
    peaks = 1 + 0.1 * rng.normal(size=sites.size)
    pixels, tables = np.empty((frames, height, width), dtype=np.float32), []
    for frame in range(frames):
        hopped = _step(sites, vanish, hop, rng) if frame else np.empty(0, dtype=np.int64)
        rows, columns = np.nonzero(sites >= 0)
        track = sites[rows, columns]
        xy = lattice_px * (np.stack([columns, rows], -1) - reach + 0.5) + drift[frame]
        xy += rng.normal(0, jitter_px, xy.shape)
        pixels[frame] = gaussian_columns((height, width), xy, peaks[track], WIDTH * lattice_px)
        table = pd.DataFrame(xy, columns=["x", "y"]).assign(
            frame=frame, sublattice="A", track=track, hopped=np.isin(track, hopped)
        )
        tables.append(table.assign(drift_x=drift[frame, 0], drift_y=drift[frame, 1]))
    pixels += rng.normal(0, noise, pixels.shape).astype(np.float32)
    truth = pd.concat(tables, ignore_index=True)
    inside = truth["x"].between(0, width - 1) & truth["y"].between(0, height - 1)
    return _movie(pixels, pixel_pm), truth[inside].reset_index(drop=True)


def _step(sites: np.ndarray, vanish: float, hop: float, rng: np.random.Generator) -> np.ndarray:
    """Let atoms vanish and hop, in place; the atoms that hopped."""
    hopped = []
    for row, column in np.argwhere(sites < 0):
        step = [(0, 1), (0, -1), (1, 0), (-1, 0)][rng.integers(4)]
        there = row + step[0], column + step[1]
        within = 0 <= there[0] < sites.shape[0] and 0 <= there[1] < sites.shape[1]
        if rng.random() < 4 * hop and within and sites[there] >= 0 and sites[there] not in hopped:
            hopped.append(int(sites[there]))
            sites[row, column], sites[there] = sites[there], -1
    gone = (rng.random(sites.shape) < vanish) & ~np.isin(sites, hopped)
    sites[gone] = -1
    return np.array(hopped, dtype=np.int64)


def _movie(pixels: np.ndarray, pixel_pm: float) -> AtomLatticeImage:
    image = hs.signals.Signal2D(pixels)
    for axis, name in zip(image.axes_manager.signal_axes, "xy", strict=True):
        axis.name, axis.scale, axis.units = name, pixel_pm / 1000, "nm"
    image.axes_manager.navigation_axes[0].name = "time"
    image.metadata.General.title = "Drifting crystal"
    image.set_signal_type("atom_lattice")
    return image
