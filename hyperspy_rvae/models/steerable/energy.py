"""The energy of content on the support, by rings.

The energy is the sum of f^2 over the pixels of the support, as seen from each place and at each
angle. On every ring about the content's centre f^2 has a few harmonics in the angle, and what lies
between rings follows from them: as f is a sum of waves up to a band limit, f^2 is one up to twice
that, and its harmonic of order l is a sum of Bessel functions,

    g_l(r) = sum_k c_k J_l(k r),   k <= 2 lambda_max.

So weights on the rings are those that give every such sum on the pixels, by least squares. Where
an image is clear the energy is a hundred times the noise, and has to be right to much less than
a hundredth.
"""

from __future__ import annotations

import numpy as np
from scipy.special import jv

from hyperspy_rvae.models.steerable import channels as channel
from hyperspy_rvae.models.steerable.basis import Basis, polar_grid

HARMONICS = 8
_RING = 0.75  # px between the rings; enough for waves of 4.2 radians per pixel
_FINE_RING = 0.05  # px between those to which pixels are assigned
_LEAST_SINGULAR = 1e-3  # of the largest; smaller ones say nothing of waves that there are


def on_rings(
    basis: Basis, r: np.ndarray, angle: np.ndarray, channels: int
) -> dict[str, np.ndarray]:
    """Arrays that turn coefficients into harmonics of the energy.

    Parameters
    ----------
    r, angle
        Polar coordinates of the pixels as seen from each place, shape ``(S, pixels)``.
    channels
        How many images share the pose; the rings of each follow those of the last.

    Returns
    -------
    arrays
        ``rays`` ``(2 C D, C rings spokes)`` gives f on the spokes of each ring, ``waves``
        ``(spokes, 2 (L + 1))`` harmonics of its square, and ``cover``
        ``(L + 1, 2 C rings, 2 S)`` the energy's from these.
    """
    rings, spokes = int(basis.radius / _RING) + 2, 2 * basis.highest + HARMONICS + 2
    harmonic = np.arange(HARMONICS + 1)
    theta = 2 * np.pi * np.outer(np.arange(spokes), harmonic) / spokes
    twice = np.where(harmonic > 0, 2, 1) / spokes
    waves = np.concatenate([np.cos(theta) * twice, -np.sin(theta) * twice], 1)
    fine = int(basis.radius / _FINE_RING) + 2
    sums = np.einsum(
        "slf,lrf->lrs", _sums(basis.radius, fine, r, angle), _between(basis, rings, fine)
    )
    cover = np.zeros((len(harmonic), 2, rings, 2, len(r)))
    cover[:, 0, :, 0] = cover[:, 1, :, 1] = sums.real
    cover[:, 0, :, 1], cover[:, 1, :, 0] = sums.imag, -sums.imag
    every = np.tile(cover, (channels, 1, 1)).reshape(len(harmonic), -1, 2 * len(r))
    rays = basis.functions(*polar_grid(basis.radius, rings, spokes))
    rays = channel.outwards(rays.reshape(len(rays), -1), channels)
    return {"rays": rays, "waves": waves, "cover": every}


def _sums(radius: float, fine: int, r: np.ndarray, angle: np.ndarray) -> np.ndarray:
    # Harmonics (S, L + 1, F) of the pixels near each of many rings.
    place = np.minimum(r / (radius / (fine - 1)), fine - 1.001)
    ring, part = place.astype(int), place % 1
    sums = np.zeros((len(r), fine, HARMONICS + 1), complex)
    for s in range(len(r)):
        seen = np.exp(1j * np.arange(HARMONICS + 1)[:, None] * angle[s])
        np.add.at(sums[s], ring[s], ((1 - part[s]) * seen).T)
        np.add.at(sums[s], ring[s] + 1, (part[s] * seen).T)
    return sums.swapaxes(1, 2)


def _between(basis: Basis, rings: int, fine: int) -> np.ndarray:
    # Weights (L + 1, rings, F) that give harmonics of f^2 on many rings from those on a few.
    highest = 2 * basis.wave_numbers.max()
    count = 2 * int(highest * basis.radius / np.pi) + 8  # twice as many waves as are independent
    waves = np.linspace(0, highest, count)[:, None]
    few, many = (np.linspace(0, basis.radius, number) for number in (rings, fine))
    return np.stack(
        [
            np.linalg.lstsq(jv(order, waves * few), jv(order, waves * many), _LEAST_SINGULAR)[0]
            for order in range(HARMONICS + 1)
        ]
    )
