"""Bring pixels of any unit to a scale that a network can read."""

from __future__ import annotations

import numpy as np

_TAILS = (0.1, 99.9)  # percent; dead and hot pixels lie outside
_SAMPLE = 4_000_000  # pixels
_FARTHEST = 20.0  # scales; a hot pixel counts for no more
_BLOCK = 4096


def location_and_scale(pixels: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of all pixels, the extreme thousandths drawn in.

    Parameters
    ----------
    pixels
        Shape ``(n, p)``.

    Raises
    ------
    ValueError
        If all pixels are the same.
    """
    step = max(1, pixels.size // _SAMPLE)
    sample = pixels[::step].astype(np.float64)
    kept = sample.clip(*np.percentile(sample, _TAILS))
    if np.ptp(kept) == 0:  # so sparse that the tails are all there is
        kept = sample
    # Scaled first, because the square of a large count or a small current can leave the range.
    centre, reach = float(kept.mean()), float(np.ptp(kept))
    scale = reach * float(((kept - centre) / reach).std()) if reach > 0 else 0.0
    if not 0 < scale < np.inf or not np.isfinite(centre):
        raise ValueError(
            f"the subimages must vary, got pixels from {sample.min():g} to {sample.max():g}; look "
            "at the image and at the positions that they were cut at"
        )
    return centre, scale


def by_channel(pixels: np.ndarray, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Location and scale of each channel, ``(C,)``, of pixels ``(n, C * p)``."""
    if channels == 1:
        found = [location_and_scale(pixels)]
    else:
        found = []
        for k, part in enumerate(np.split(pixels, channels, axis=1)):
            try:
                found.append(location_and_scale(part))
            except ValueError as error:
                raise ValueError(f"channel {k}: {error}; or leave that channel out") from error
    location, scale = np.array(found).T
    return location, scale


def standardise(pixels: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Pixels ``(n, C * p)`` in scales from the location of their channel, as float32."""
    result = np.empty(pixels.shape, np.float32)
    each = pixels.shape[1] // len(location)
    location, scale = location.repeat(each), scale.repeat(each)
    for start in range(0, len(pixels), _BLOCK):
        block = slice(start, start + _BLOCK)
        values = (pixels[block].astype(np.float64) - location) / scale
        result[block] = values.clip(-_FARTHEST, _FARTHEST)
    return result


def restore(standard: np.ndarray, location: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Undo `standardise`, but for what was drawn in."""
    each = standard.shape[1] // len(location)
    return standard.astype(np.float64) * scale.repeat(each) + location.repeat(each)
