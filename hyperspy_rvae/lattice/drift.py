"""Drift between the frames of a movie, by correlation to a fraction of a pixel."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.signal.windows import tukey

_TAPER = 0.2  # of the frame, half of it on each side
_BACKGROUND = 1 / 6  # of the frame; what varies more slowly is taken off
_FINEST = 20  # steps in a pixel
_MOST_LEFT = 2.0  # pixels after the first correlation; more is another peak


def correlation_ready(frame: np.ndarray, blur: float) -> np.ndarray:
    """Prepare a frame for :func:`frame_shift`: no noise, no background.

    Parameters
    ----------
    frame
        Shape ``(height, width)``.
    blur
        Standard deviation in pixels of the blur against noise and scan jitter.

    Returns
    -------
    ready
        Same shape, float64; 0 for a frame without contrast, or with pixels that are not finite.
    """
    pixels = np.asarray(frame, dtype=np.float64)
    if not np.isfinite(pixels).all() or pixels.min() == pixels.max():
        return np.zeros_like(pixels)  # the filters would leave rounding errors
    box = max(int(_BACKGROUND * min(pixels.shape)), int(5 * blur))
    background = ndimage.uniform_filter(ndimage.uniform_filter(pixels, box), box)
    return ndimage.gaussian_filter(pixels, blur) - background


def frame_shift(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How far the content moved from one frame to another.

    Frames are correlated by scikit-image (Guizar-Sicairos et al., Optics Letters 33, 156, 2008),
    and then once more on what both show, as their rims draw the shift towards zero. The spectra are
    not whitened: on noisy frames of crystals whitened ones pick a wrong peak.

    Parameters
    ----------
    before, after
        Two frames that :func:`correlation_ready` prepared, of one shape.

    Returns
    -------
    shift
        x and y in pixels, to a twentieth; NaN where either frame has no contrast.
    """
    if not before.any() or not after.any():
        return np.full(2, np.nan)
    shift = _correlate(before, after)
    whole = np.rint(shift).astype(int)
    (top, bottom), (left, right) = (
        (max(0, -by), size - max(0, by)) for by, size in zip(whole[::-1], before.shape, strict=True)
    )
    if min(bottom - top, right - left) < min(before.shape) / 4:
        return shift
    shared = after[top + whole[1] : bottom + whole[1], left + whole[0] : right + whole[0]]
    rest = _correlate(before[top:bottom, left:right], shared)
    return whole + rest if np.abs(rest).max() < _MOST_LEFT else shift


def _correlate(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Shift of the best correlation, x and y; rims fade out, and nothing wraps round."""
    from skimage.registration import phase_cross_correlation

    height, width = before.shape
    fade = tukey(height, _TAPER)[:, None] * tukey(width, _TAPER)
    room = [(height // 4, height // 4), (width // 4, width // 4)]
    padded = [np.pad(frame * fade, room) for frame in (before, after)]
    back = phase_cross_correlation(*padded, upsample_factor=_FINEST, normalization=None)[0]
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
        Since the first frame with contrast, x and y in pixels; NaN for a frame without.
    """
    ready = correlation_ready(frame, blur)
    if last is None or not last[0].any():
        return (ready, np.zeros(2)), np.zeros(2) if ready.any() else np.full(2, np.nan)
    drift = last[1] + frame_shift(last[0], ready)
    return ((ready, drift) if np.isfinite(drift).all() else last), drift
