"""The bridge to atomap's peak search."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from hyperspy_rvae.lattice.atomap import bright_pixels


def find_peaks(image: np.ndarray, separation: float, *, threshold: float = 0.02) -> np.ndarray:
    """Find the brightest pixels, as atomap's ``get_atom_positions`` does.

    Parameters
    ----------
    image
        Shape ``(h, w)``.
    separation
        Least distance between two peaks, and to the border, in pixels; at least 1.
    threshold
        Least height, as a fraction of the highest pixel.

    Returns
    -------
    positions
        Shape ``(n, 2)``, x and y in pixels, brightest first.
    """
    from atomap.api import get_atom_positions

    # atomap reads nothing of a signal but its data, so no signal is made.
    signal = SimpleNamespace(data=bright_pixels(image))
    peaks = get_atom_positions(signal, separation=separation, threshold_rel=threshold)
    return np.asarray(peaks, float).reshape(-1, 2)
