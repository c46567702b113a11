"""Centres of mass of the pixels around each column, as atomap takes them."""

from __future__ import annotations

import numpy as np

from hyperspy_rvae.lattice.refinement.compiled import compiled, in_threads


def centers_of_mass(image: np.ndarray, positions: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Find the centre of mass of the pixels within a radius of each position.

    The mask is centred on the nearest pixel, and nothing is subtracted, as in atomap's
    ``refine_position_using_center_of_mass``; unlike there, a mask that leaves the image is cut
    off at its border.

    Parameters
    ----------
    image
        Shape ``(height, width)``, columns bright and no pixel negative.
    positions
        Shape ``(n, 2)``, x and y in pixels.
    radii
        Of the masks in pixels, shape ``(n,)``.

    Returns
    -------
    centres
        Shape ``(n, 2)``; NaN where all pixels of the mask are 0.
    """
    centres = np.empty((len(positions), 2))
    pixels = np.ascontiguousarray(image, dtype=np.float64)
    places = np.rint(positions).astype(np.int64)
    in_threads(_sum_masks, len(centres), centres, pixels, places, np.asarray(radii, np.float64))
    return centres


@compiled
def _sum_masks(first, last, centres, image, places, radii):  # type: ignore[no-untyped-def]
    rows, columns = image.shape
    for i in range(first, last):
        x, y, r = places[i, 0], places[i, 1], radii[i]
        h = int(np.ceil(r))
        total, across, down = 0.0, 0.0, 0.0
        for row in range(max(0, y - h), min(rows, y + h + 1)):
            for c in range(max(0, x - h), min(columns, x + h + 1)):
                if (row - y) ** 2 + (c - x) ** 2 <= r * r:
                    value = image[row, c]
                    total += value
                    across += value * (c - x)
                    down += value * (row - y)
        centres[i, 0] = x + across / total
        centres[i, 1] = y + down / total
