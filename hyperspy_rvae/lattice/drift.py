"""Drift between the frames of a movie, by correlation to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.signal.windows import tukey

_TAPER = 0.2  # of the frame, half of it on each side
_BACKGROUND = 1 / 6  # of the frame; what varies more slowly is taken off
_FINEST = 20  # steps in a pixel


def correlation_ready(frame: np.ndarray, blur: float) -> np.ndarray:
    """Prepare a frame for :func:`frame_shift`.

    The frame is blurred against noise and scan jitter, its background is taken off, its rim
    fades out, and it is embedded in zeros, so that nothing wraps round.

    Parameters
    ----------
    frame
        Shape ``(height, width)``, finite.
    blur
        Standard deviation of the blur in pixels.

    Returns
    -------
    ready
        Shape ``(1.5 height, 1.5 width)`` or a pixel less, float64; 0 for a frame without contrast.
    """
    pixels = np.asarray(frame, dtype=np.float64)
    height, width = pixels.shape
    if pixels.min() == pixels.max():
        pixels = np.zeros_like(pixels)  # the filters would leave rounding errors
    band = ndimage.gaussian_filter(pixels, blur)
    box = max(int(_BACKGROUND * min(pixels.shape)), int(5 * blur))
    band -= ndimage.uniform_filter(ndimage.uniform_filter(pixels, box), box)
    band *= tukey(height, _TAPER)[:, None] * tukey(width, _TAPER)
    return np.pad(band, [(height // 4, height // 4), (width // 4, width // 4)])


def frame_shift(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How far the content moved from one frame to another.

    By scikit-image's registration (Guizar-Sicairos et al., Optics Letters 33, 156, 2008). The
    spectra are not whitened: on noisy frames of crystals whitened ones pick a wrong peak.

    Parameters
    ----------
    before, after
        Two frames that :func:`correlation_ready` prepared, of one shape.

    Returns
    -------
    shift
        x and y in pixels, to a twentieth; NaN where either frame has no contrast.
    """
    from skimage.registration import phase_cross_correlation

    if not before.any() or not after.any():
        return np.full(2, np.nan)
    back = phase_cross_correlation(before, after, upsample_factor=_FINEST, normalization=None)[0]
    return -np.asarray(back, dtype=np.float64)[::-1]


def next_drift(
    last: tuple[np.ndarray, np.ndarray] | None, frame: np.ndarray, blur: float
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Carry the drift on to the next frame.

    Parameters
    ----------
    last
        The last frame with contrast, prepared, and its drift; None at the start.
    frame
        The next frame, shape ``(height, width)``.
    blur
        As in :func:`correlation_ready`.

    Returns
    -------
    last
        What the frame after this one is compared with.
    drift
        Since the first frame, x and y in pixels; NaN for a frame without contrast.
    """
    ready = correlation_ready(frame, blur)
    if last is None or not last[0].any():
        return (ready, np.zeros(2)), np.zeros(2)
    drift = last[1] + frame_shift(last[0], ready)
    return ((ready, drift) if np.isfinite(drift).all() else last), drift
