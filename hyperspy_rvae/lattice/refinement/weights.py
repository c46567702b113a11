"""How much each pixel counts: where the columns are known, and how noisy it is there."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.optimize import nnls

from hyperspy_rvae.lattice.refinement.compiled import compiled

DILATION, RIM = 0.95, 0.45  # of the distance between neighbours, around a list taken as complete
COARSE = 6  # pixels of the coarse mask in that distance
CORE = 0.35  # of it, that counts around each column in any case
LEVELS = 32
SAMPLE = 200_000
ROUNDING = 1e-5  # of the model's range: no image is known better than that
LEAST = 0.02  # of the mean variance


UNIFORM = np.array([1.0, 0.0, 0.0, 0.0])  # the noise as long as nothing is known of it


def discs(shape: tuple[int, int], xy: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Mark the pixels within a radius of any column, float32 0 or 1."""
    mask = np.zeros(shape, np.float32)
    _fill_discs(mask, np.ascontiguousarray(xy, dtype=np.float64), np.asarray(radii, np.float64))
    return mask


@compiled
def _fill_discs(mask, xy, radii):  # type: ignore[no-untyped-def]
    rows, columns = mask.shape
    for i in range(len(xy)):
        x, y, r = xy[i, 0], xy[i, 1], radii[i]
        for row in range(max(0, int(np.ceil(y - r))), min(rows, int(np.floor(y + r)) + 1)):
            reach = np.sqrt(r * r - (row - y) ** 2)
            start, stop = int(np.ceil(x - reach)), int(np.floor(x + reach)) + 1
            for c in range(max(0, start), min(columns, stop)):
                mask[row, c] = 1.0


def coverage(shape: tuple[int, int], xy: np.ndarray, spacing: float) -> np.ndarray:
    """Mark the pixels where the list of columns is complete.

    These lie between the columns, and no farther than 0.45 of the spacing outside of them. What
    lies beyond may hold columns that are not in the list, which would draw the background and
    the widths towards them.

    Parameters
    ----------
    shape
        Height and width of the image in pixels.
    xy
        Columns, shape ``(n, 2)``, x and y in pixels.
    spacing
        Distance between neighbours in pixels.

    Returns
    -------
    mask
        float32, 0 or 1.
    """
    step = max(1, int(spacing / COARSE))
    coarse = (-(-shape[0] // step), -(-shape[1] // step))
    places = (xy - (step - 1) / 2) / step
    around = discs(coarse, places, np.full(len(xy), DILATION * spacing / step))
    framed = np.pad(around > 0, 1)
    inside = ndimage.distance_transform_edt(framed)[1:-1, 1:-1]
    known = inside > (DILATION - RIM) * spacing / step
    mask = known.repeat(step, axis=0).repeat(step, axis=1)[: shape[0], : shape[1]]
    near = discs(shape, xy, np.full(len(xy), CORE * spacing))
    return np.maximum(mask, near).astype(np.float32)


def saturated(image: np.ndarray) -> np.ndarray:
    """Mark pixels at the highest value, if that is a plateau and not a single peak.

    Parameters
    ----------
    image
        Shape ``(height, width)``, columns bright.

    Returns
    -------
    mask
        bool; all False where no pixel at the highest value has four neighbours like it.
    """
    top = image == image.max()
    cross = ndimage.binary_erosion(top)
    return top if cross.any() else np.zeros_like(top)


def noise_model(model: np.ndarray, residual: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Variance of a pixel as a constant and a part that grows with the model.

    Counting noise grows in proportion to the intensity; a detector's own noise does not.

    Parameters
    ----------
    model, residual
        The fit and what it leaves, shape ``(height, width)``.
    mask
        Pixels that count.

    Returns
    -------
    noise
        Variance at the lowest model value, increase per unit of the model, that lowest value, and
        the least variance that any pixel is given.
    """
    step = max(1, mask.size // SAMPLE)
    chosen = np.flatnonzero(mask.ravel() > 0)[::step]
    values = model.ravel()[chosen].astype(np.float64)
    squares = residual.ravel()[chosen].astype(np.float64) ** 2
    order = np.argsort(values)
    parts = np.array_split(order, LEVELS)
    level = np.array([values[part].mean() for part in parts if len(part)])
    square = np.array([squares[part].mean() for part in parts if len(part)])
    square = np.maximum(square, ROUNDING**2 * np.ptp(values) ** 2)
    count = np.array([len(part) for part in parts if len(part)])
    lowest = level.min()
    terms = np.stack([np.ones_like(level), level - lowest], axis=1)
    least = max(1e-3 * float(square.mean()), 1e-30)
    spread = np.maximum(square, least)
    for _ in range(3):  # the spread of a mean square is in proportion to what is expected
        weight = np.sqrt(count) / spread
        line = nnls(terms * weight[:, None], square * weight)[0]
        spread = np.maximum(terms @ line, least)
    mean = float((count * (terms @ line)).sum() / count.sum())
    return np.array([line[0], line[1], lowest, LEAST * mean + 1e-30])


def weigh(noise: np.ndarray, model: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Weights of the pixels, one over their variance where they count, float32."""
    constant, slope, lowest, least = noise.astype(np.float32)
    variance = np.maximum(model, lowest)
    variance -= lowest
    variance *= slope
    variance += constant
    return mask / np.maximum(variance, least)
