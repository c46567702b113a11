"""How much of the subimages is noise, and how fine their content is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_MOST = 3000  # subimages that are looked at
_NOISE_ONLY = 2.4  # radians per pixel; beyond, images of atoms hold no more than noise
_BIN = 0.2  # radians per pixel
_LOST = 0.015  # at most, of the content's energy
_LOST_NOISE = 0.02  # at most, of the noise's
_BANDS = (0.6, 2.4)  # radians per pixel
_LEAST_POWER = 0.05  # of the noise; fainter is no content
_LEAST_SIGNAL = 1e-3  # of the variance


class Spectrum(NamedTuple):
    """Variances of a pixel's noise and content, and the content's highest wave number."""

    noise: float
    signal: float
    band: float


def measure(windows: np.ndarray) -> Spectrum:
    """Noise, signal and band limit of windows ``(n, C, h, w)``, whose noise is taken as white.

    The level beyond ``_NOISE_ONLY`` is the noise; what lies above it, as far as it is connected
    with low wave numbers, is the content. What the band leaves out is at most 1.5 % of its
    energy and 2 % of the noise's. Of several channels it is the mean of noise and of signal, and
    the highest band.
    """
    chosen = np.random.default_rng(0).permutation(len(windows))[:_MOST]
    each = [_measure(channel) for channel in windows[np.sort(chosen)].swapaxes(0, 1)]
    noise, signal, band = zip(*each, strict=True)
    return Spectrum(sum(noise) / len(each), sum(signal) / len(each), max(band))


def _measure(windows: np.ndarray) -> Spectrum:
    windows = windows.astype(np.float64)
    side = min(windows.shape[1:])
    top, left = ((size - side) // 2 for size in windows.shape[1:])
    power, wave_number = _power(windows[:, top : top + side, left : left + side])
    noise = float(np.median(power[wave_number > _NOISE_ONLY]))
    signal = max(float(windows.var()) - noise, _LEAST_SIGNAL * float(windows.var()))
    return Spectrum(max(noise, 1e-6), signal, _band(power - noise, wave_number, noise))


def _power(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    side = windows.shape[1]
    taper = np.hanning(side + 2)[1:-1]
    taper = np.outer(taper, taper)
    taper /= np.sqrt(np.square(taper).mean())
    waves = np.fft.fft2((windows - windows.mean(0)) * taper)
    frequency = 2 * np.pi * np.fft.fftfreq(side)
    return np.square(np.abs(waves)).mean(0) / side**2, np.hypot(frequency, frequency[:, None])


def _band(power: np.ndarray, wave_number: np.ndarray, noise: float) -> float:
    ring = (wave_number / _BIN).astype(int).ravel()
    energy, count = np.bincount(ring, power.ravel()), np.bincount(ring)
    silent = (count > 0) & (energy <= _LEAST_POWER * noise * count)
    loud = np.flatnonzero((count > 0) & ~silent)
    if not len(loud):
        return float(np.mean(_BANDS))
    ends = np.flatnonzero(silent & (np.arange(len(silent)) > loud[0]))
    last = ends[0] if len(ends) else len(energy)
    share = np.cumsum(np.where(silent, 0, energy)[:last])
    lost = min(_LOST, _LOST_NOISE * noise * len(power) ** 2 / share[-1])
    band = (np.searchsorted(share, (1 - lost) * share[-1]) + 0.5) * _BIN
    return float(np.clip(band, *_BANDS))
