"""Peaks of a filtered image that stand out of its noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.refinement.weights import saturated

_FAINTEST = 0.2  # of the strong peaks; what is weaker is taken for noise
_SECOND_DIFFERENCE = np.outer([1, -2, 1], [1, -2, 1]) / 6.0  # blind to atoms, unit gain for noise
_BLOCK = 16  # least side in pixels of the blocks in which the noise is measured


class Peaks(NamedTuple):
    """Peaks of a filtered image, strongest first.

    Attributes
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    strengths
        Shape ``(n,)``: height of the filtered image.
    doubt
        Height that the highest peaks of the noise reach, as a share of the strong peaks'.
    """

    positions: np.ndarray
    strengths: np.ndarray
    doubt: float


def without_plateaus(pixels: np.ndarray) -> np.ndarray:
    """Let saturated columns rise on, as steeply as their rims, so that each has one peak.

    Parameters
    ----------
    pixels
        Shape ``(h, w)``, float64, atoms bright.

    Returns
    -------
    image
        Same shape; the same where no plateau is at the highest value.
    """
    top = saturated(pixels)
    rim = ndimage.binary_dilation(top) & ~top
    if not rim.any():
        return pixels
    depth = ndimage.distance_transform_edt(top)
    labels, count = ndimage.label(top)
    usual = np.median(ndimage.maximum(depth, labels, np.arange(1, count + 1)))
    # Larger plateaus, as of dirt, are no columns.
    return pixels + (pixels.max() - pixels[rim].mean()) * np.minimum(depth, 1.5 * usual)


def find_blobs(pixels: np.ndarray, separation: float) -> Peaks:
    """Find peaks of the filtered image that stand out of the noise and are not too weak.

    Parameters
    ----------
    pixels
        Shape ``(h, w)``, float64, atoms bright.
    separation
        Least distance between two peaks in pixels; the filter's sigma is half of it.

    Returns
    -------
    peaks
        None on the outermost pixels, none less than a fifth as strong as the strong ones.
    """
    sigma = separation / 2
    blobs = -ndimage.gaussian_laplace(pixels, sigma)
    inner = np.zeros(pixels.shape, bool)
    inner[1:-1, 1:-1] = True
    y, x = np.nonzero((blobs == ndimage.maximum_filter(blobs, 3)) & (blobs > 0) & inner)
    strengths = blobs[y, x]
    # The highest of n normal numbers is about sqrt(2 ln n).
    gain = np.sqrt(2 * np.log(pixels.size)) / (np.sqrt(2 * np.pi) * sigma**3)
    noise = gain * noise_at(pixels, np.column_stack([x, y]), separation)
    stands_out = strengths > noise
    strong = np.percentile(strengths[stands_out], 90) if stands_out.any() else np.inf
    kept = np.flatnonzero(stands_out & (strengths > _FAINTEST * strong))
    kept = kept[np.argsort(-strengths[kept], kind="stable")]
    places = np.column_stack([x, y])[kept]
    first = strongest(places, max(separation, 2.0))
    doubt = float(np.median(noise[kept]) / strong) if len(kept) else 1.0
    return Peaks(places[first] + vertex(blobs, places[first]), strengths[kept][first], doubt)


def vertex(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Offset of the top of a parabola through each peak and its neighbours, along x and y.

    Parameters
    ----------
    image
        Shape ``(h, w)``.
    places
        Shape ``(n, 2)``, int: x and y of peaks, none on the outermost pixels.

    Returns
    -------
    offsets
        Shape ``(n, 2)``, pixels, half a pixel at most.
    """
    x, y = places.T
    here = image[y, x]
    offsets = []
    for before, after in ((image[y, x - 1], image[y, x + 1]), (image[y - 1, x], image[y + 1, x])):
        bend = 2 * here - before - after
        offsets.append((after - before) / (2 * np.where(bend > 0, bend, np.inf)))
    return np.clip(np.stack(offsets, axis=1), -0.5, 0.5)


def noise_at(pixels: np.ndarray, places: np.ndarray, separation: float) -> np.ndarray:
    """Measure the standard deviation of the noise around places, as if it were white.

    Parameters
    ----------
    pixels
        Shape ``(h, w)``, float64.
    places
        Shape ``(n, 2)``, x and y in pixels.
    separation
        Distance between columns in pixels; the noise is measured in blocks of several columns.

    Returns
    -------
    noise
        Shape ``(n,)``.
    """
    rough = np.abs(ndimage.convolve(pixels, _SECOND_DIFFERENCE))
    side = max(_BLOCK, int(np.ceil(4 * separation)))
    count = np.maximum(np.array(pixels.shape) // side, 1)
    # The mean, not the median: where counts are few, most pixels of a vacuum are alike.
    for axis, blocks in enumerate(count):
        starts = np.arange(blocks) * pixels.shape[axis] // blocks
        sizes = np.diff(np.append(starts, pixels.shape[axis]))
        sums = np.add.reduceat(rough, starts, axis=axis)
        rough = sums / np.expand_dims(sizes, 1 - axis)
    middle = (places[:, ::-1] + 0.5) * count / pixels.shape - 0.5
    noise = ndimage.map_coordinates(rough, middle.T, order=1, mode="nearest")
    return noise * np.sqrt(np.pi / 2)


def noise_of(pixels: np.ndarray) -> float:
    """Measure the standard deviation of white noise in an image, from its finest differences."""
    return float(np.median(np.abs(ndimage.convolve(pixels, _SECOND_DIFFERENCE))) / 0.6745)


def strongest(places: np.ndarray, separation: float) -> np.ndarray:
    """Tell which places have no stronger kept one nearer than the separation.

    Parameters
    ----------
    places
        Shape ``(n, 2)``, strongest first.
    separation
        In pixels.

    Returns
    -------
    kept
        Shape ``(n,)``, bool.
    """
    kept = np.ones(len(places), bool)
    if len(places):
        pairs = np.sort(KDTree(places).query_pairs(separation, output_type="ndarray"), axis=1)
        for stronger, weaker in pairs[np.argsort(pairs[:, 0], kind="stable")]:
            kept[weaker] &= not kept[stronger]
    return kept
