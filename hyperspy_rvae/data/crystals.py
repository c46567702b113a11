"""Synthetic images of crystals whose columns, and their sublattices, are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import hyperspy.api as hs
import numpy as np
import pandas as pd

from hyperspy_rvae.data.synthetic import gaussian_columns

if TYPE_CHECKING:
    from hyperspy_rvae.signals import AtomLatticeImage

Material = Literal["MoS2", "perovskite", "CdTe"]


class Motif(NamedTuple):
    """One cell: vectors in nanometres, and each sublattice's places and peak."""

    vectors: tuple[tuple[float, float], tuple[float, float]]
    columns: tuple[tuple[str, float, float, float], ...]
    sigma_nm: float


# Peaks go as atomic number to the 1.7, times the atoms that lie in the column.
MOTIFS = {
    "MoS2": Motif(
        ((0.316, 0.0), (0.158, 0.2737)),
        (("Mo", 0.0, 0.0, 1.0), ("S", 1 / 3, 1 / 3, 0.39)),
        0.05,
    ),
    "perovskite": Motif(
        ((0.3905, 0.0), (0.0, 0.3905)),
        (("Sr", 0.0, 0.0, 1.0), ("Ti", 0.5, 0.5, 0.55)),
        0.06,
    ),
    "CdTe": Motif(
        ((0.458, 0.0), (0.229, 0.324)),
        (("Te", 0.0, 0.0, 1.0), ("Cd", -0.25, 0.5, 0.87)),
        0.045,
    ),
}


def crystal(
    material: Material = "perovskite",
    size: tuple[int, int] = (320, 256),
    *,
    pixel_pm: float = 18.0,
    rotation: float = 0.1,
    misfit: float = 0.0,
    vacancies: float = 0.0,
    jitter: float = 0.02,
    noise: float = 0.1,
    seed: int = 0,
) -> tuple[AtomLatticeImage, pd.DataFrame]:
    """Two sublattices of a crystal, in one grain or two.

    MoS2 is seen along [001], the perovskite (SrTiO3) along [001], CdTe along [110] as dumbbells.

    Parameters
    ----------
    material
        Which crystal.
    size
        Pixels along x and y.
    pixel_pm
        Size of a pixel in picometres.
    rotation
        Of the crystal, radians, counter-clockwise as displayed.
    misfit
        Radians by which the right half is turned farther; a gap of half a column's distance is
        left between the halves.
    vacancies
        Share of columns that are missing.
    jitter
        Standard deviation of the columns' positions along x and y, in nanometres times 0.1, and of
        their peaks, as a share.
    noise
        Standard deviation of the white noise; the brighter sublattice's peak is 1.
    seed
        Of all that is random.

    Returns
    -------
    image
        Gaussian columns on a background of 0.2, float32, without atoms.
    truth
        Table of all columns inside: ``frame``, ``x``, ``y``, ``sublattice``, ``grain`` (0 left, 1
        right), ``cell_a`` and ``cell_b``.

    Examples
    --------
    >>> import hyperspy_rvae as hrv
    >>> s, truth = hrv.data.crystal("MoS2")
    >>> s.set_atoms(truth[["x", "y"]])
    >>> s.assign_sublattices(("Mo", "S"))
    >>> bool((s.atoms["sublattice"] == truth["sublattice"]).all())
    True
    """
    if material not in MOTIFS:
        raise ValueError(f"material must be one of {get_args(Material)}, got {material!r}.")
    motif, rng = MOTIFS[material], np.random.default_rng(seed)
    halves = [_half(motif, size, pixel_pm, rotation, 0)]
    if misfit:
        halves = [halves[0], _half(motif, size, pixel_pm, rotation + misfit, 1)]
        gap = 0.25 * np.sqrt(abs(np.linalg.det(motif.vectors))) * 1000 / pixel_pm
        edge = size[0] / 2
        halves = [halves[0][halves[0]["x"] < edge - gap], halves[1][halves[1]["x"] > edge + gap]]
    truth = pd.concat(halves, ignore_index=True)
    truth = truth[rng.random(len(truth)) >= vacancies].reset_index(drop=True)
    truth[["x", "y"]] += rng.normal(0, 100 * jitter / pixel_pm, (len(truth), 2))
    inside = truth["x"].between(0, size[0] - 1) & truth["y"].between(0, size[1] - 1)
    peaks = truth["peak"] * rng.normal(1, jitter, len(truth))
    positions, shape = truth[["x", "y"]].to_numpy(), (size[1], size[0])
    sigma = 1000 * motif.sigma_nm / pixel_pm
    pixels = 0.2 + gaussian_columns(shape, positions, peaks.to_numpy(), sigma)
    pixels += rng.normal(0, noise, shape)
    image = hs.signals.Signal2D(pixels.astype(np.float32))
    for axis, name in zip(image.axes_manager.signal_axes, "xy", strict=True):
        axis.name, axis.scale, axis.units = name, pixel_pm / 1000, "nm"
    image.metadata.General.title = material
    image.set_signal_type("atom_lattice")
    return image, truth[inside].drop(columns="peak").reset_index(drop=True)


def _half(
    motif: Motif, size: tuple[int, int], pixel_pm: float, rotation: float, grain: int
) -> pd.DataFrame:
    """All columns of one grain on the image and a little beyond."""
    cos, sin = np.cos(rotation), np.sin(rotation)
    vectors = np.array(motif.vectors) @ [[cos, -sin], [sin, cos]] * 1000 / pixel_pm
    reach = int(np.hypot(*size) / np.hypot(*vectors.T).min()) + 3
    a, b = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    margin = 500 * motif.sigma_nm * 5 / pixel_pm
    parts = []
    for name, along_a, along_b, peak in motif.columns:
        x, y = (np.stack([a + along_a, b + along_b], 1) @ vectors + np.array(size) / 2).T
        part = {"frame": 0, "x": x, "y": y, "sublattice": name, "grain": grain}
        parts.append(pd.DataFrame({**part, "cell_a": a, "cell_b": b, "peak": peak}))
    table = pd.concat(parts)
    near_x = table["x"].between(-margin, size[0] + margin)
    return table[near_x & table["y"].between(-margin, size[1] + margin)]
