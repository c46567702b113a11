"""How wide and how far apart the columns of an image are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.peaks import Peaks, find_blobs, noise_of, without_plateaus
from hyperspy_rvae.lattice.sublattices import find_places

_FAINT = 0.8  # of the brightest place, at most, for the columns of a place to be faint
_CLEARLY = 1.5  # standard deviations below it, at least
_STRAY = 0.5  # of its neighbours' strength, at most, for a column off the lattice to be none
_WIDTHS = (1.1, 1.5, 2.0)  # least distance between columns, in sizes; half of it is the filter's
_CLEAR = 0.25  # doubt below which a filter need not be wider


class Scale(NamedTuple):
    """What finds the columns of an image, and of others of its kind.

    Attributes
    ----------
    separation
        Least distance between two columns in pixels.
    size
        Sigma of all columns in pixels, the fainter ones between the bright included.
    """

    separation: float
    size: float


def measure_scale(pixels: np.ndarray) -> Scale:
    """Measure the separation that finds the columns of an image.

    The size of the columns is where the spectrum, weighted by a Laplacian of Gaussian, is
    strongest. Columns of that size are looked for, and the typical distance between neighbours
    is measured. If some of the places in their lattice are clearly fainter than others, the
    bright ones alone are measured, and the fainter ones are to be left out.

    Parameters
    ----------
    pixels
        Shape ``(h, w)``, float64, atoms bright.

    Returns
    -------
    scale
        Its separation is 0.4 of the distance between neighbours, 0.55 of that between bright ones.

    Raises
    ------
    ValueError
        If fewer than two columns stand out, or what does is less than a pixel apart.
    """
    pixels = without_plateaus(pixels)
    found = [_spacing(pixels, size) for size in column_sizes(pixels)]
    _, scale = min(found, key=lambda one: one[0])
    if scale.separation < 1:
        seen = (
            "what stands out of the noise lies too close"
            if scale.separation
            else ("fewer than 2 columns stand out of the noise")
        )
        raise ValueError(
            f"the separation cannot be estimated, because {seen}; give separation in pixels, or "
            "bin or average the image"
        )
    return scale


def find_columns_of(pixels: np.ndarray, size: float) -> Peaks:
    """Find columns of a size, with a filter as narrow as the noise allows.

    Parameters
    ----------
    pixels
        Shape ``(h, w)``, float64, atoms bright.
    size
        Sigma of the columns in pixels.
    """
    for width in _WIDTHS:
        peaks = find_blobs(pixels, width * size)
        if peaks.doubt < _CLEAR:
            break
    return peaks


def column_sizes(pixels: np.ndarray) -> np.ndarray:
    """Find the sigmas at which a Laplacian of Gaussian responds most, as it does to columns.

    There is one in most images. A background that varies, or noise that is not white, may add
    another; a larger one counts only if its response is the stronger.

    Parameters
    ----------
    pixels
        Shape ``(h, w)``, float64, columns bright or dark.

    Returns
    -------
    sigmas
        In pixels, one at least, smallest first.
    """
    window = np.hanning(pixels.shape[0])[:, None] * np.hanning(pixels.shape[1])
    power = np.abs(np.fft.rfft2((pixels - pixels.mean()) * window)) ** 2
    power -= noise_of(pixels) ** 2 * (window**2).sum()
    rows, columns = np.fft.fftfreq(pixels.shape[0]), np.fft.rfftfreq(pixels.shape[1])
    frequency = 2 * np.pi * np.hypot(rows[:, None], columns)
    ring = (100 * frequency).astype(int).ravel()
    radius = np.bincount(ring, frequency.ravel()) / np.maximum(np.bincount(ring), 1)
    sizes = np.geomspace(0.8, max(min(pixels.shape) / 10, 1.6), 60)
    reach = (sizes[:, None] * radius) ** 2
    response = (reach**2 * np.exp(-reach)) @ np.bincount(ring, power.ravel())
    tops = np.flatnonzero((response[1:-1] >= response[:-2]) & (response[1:-1] > response[2:])) + 1
    lowest = np.minimum.accumulate(response)
    tops = tops[response[tops] > 1.3 * lowest[tops]]
    tops = tops[response[tops] >= np.maximum.accumulate(response[tops])]
    return sizes[tops] if len(tops) else sizes[[np.argmax(response)]]


def _spacing(pixels: np.ndarray, size: float) -> tuple[float, Scale]:
    """Unevenness of the spacing of columns of this size, and the scale that finds them."""
    positions, strengths, _ = find_columns_of(pixels, size)
    if len(positions) < 2:
        return np.inf, Scale(0.0, size)
    everyone = _evenness(positions)
    bright = positions[bright_kind(positions, strengths, pixels, size)]
    if 1 < len(bright) < len(positions):
        unevenness, distance = _evenness(bright)
        if distance > 1.2 * everyone[1]:
            return unevenness, Scale(0.55 * distance, size)
    return everyone[0], Scale(0.4 * everyone[1], size)


def _evenness(positions: np.ndarray) -> tuple[float, float]:
    """Spread of the distances between neighbours over their median, and the median."""
    distances = np.asarray(KDTree(positions).query(positions, k=2)[0])[:, 1]
    low, median, high = np.percentile(distances, [25, 50, 75])
    spread = (high - low) / median if len(positions) > 8 else 1.0  # a few tell nothing
    return float(spread), float(median)


def bright_kind(
    positions: np.ndarray, strengths: np.ndarray, pixels: np.ndarray, size: float
) -> np.ndarray:
    """Tell columns from those of a clearly fainter kind, and from strays.

    A kind is a place in the lattice; where there is no lattice, one of two groups of heights. A
    stray is in no place of the lattice, and half as strong as its neighbours or less.

    Parameters
    ----------
    positions, strengths
        As :func:`~hyperspy_rvae.lattice.peaks.find_blobs` gives them.
    pixels
        Shape ``(h, w)``, float64, atoms bright.
    size
        Sigma of the columns in pixels.

    Returns
    -------
    bright
        Shape ``(n,)``, bool; all True where there is but one kind.
    """
    if not len(positions):
        return np.zeros(0, bool)
    try:
        places = find_places(positions, strengths[:, None])
    except ValueError:
        return _high_kind(_heights(pixels, positions, size))
    mean, scatter = places.mean[:, 0], places.scatter[:, 0]
    faint = np.zeros(len(mean) + 1, bool)  # the last one serves atoms in no grain
    for grain in range(len(np.unique(places.grain))):
        own = np.flatnonzero(places.grain == grain)
        top = own[np.argmax(mean[own])]
        apart = (mean[top] - mean[own]) / np.sqrt((scatter[top] ** 2 + scatter[own] ** 2) / 2)
        faint[own] = (mean[own] < _FAINT * mean[top]) & (apart > _CLEARLY)
    bright = ~faint[places.place]
    lost = places.place < 0
    around = np.asarray(KDTree(positions).query(positions[lost], k=min(9, len(positions)))[1])
    bright[lost] = strengths[lost] > _STRAY * np.median(strengths[around], axis=1)
    if faint.any():
        limit = (strengths[~lost & bright].mean() + strengths[~lost & ~bright].mean()) / 2
        bright[lost] &= strengths[lost] > limit
    return bright


def _heights(pixels: np.ndarray, positions: np.ndarray, size: float) -> np.ndarray:
    """Height of each column over the lowest place around it, as a share of its neighbours'."""
    smooth = ndimage.gaussian_filter(pixels, size / 2)
    floor = ndimage.minimum_filter(smooth, 2 * int(3 * size) + 1)
    x, y = np.rint(positions).astype(int).T
    heights = (smooth - floor)[y, x]
    around = KDTree(positions).query(positions, k=min(7, len(positions)))[1]
    return heights / heights[np.asarray(around)].max(axis=1)


def _high_kind(heights: np.ndarray) -> np.ndarray:
    """Which columns are the high of two kinds; all if there is but one kind.

    Two kinds are where the split that best separates the heights (Otsu's) explains more than
    0.8 of their variance (0.64 in a normal, 0.75 in a uniform distribution) and leaves a
    quarter of the columns at least on the high side.
    """
    ordered = np.sort(heights)
    count = np.arange(1, len(ordered))
    share = count / len(ordered)
    below = np.cumsum(ordered)[:-1] / count
    # Variance between the two sides, from the mean of one side and of all.
    between = share / (1 - share) * (below - ordered.mean()) ** 2
    split = int(np.argmax(between))
    two_kinds = between[split] > 0.8 * ordered.var() and share[split] <= 0.75
    return heights > ordered[split] if two_kinds else np.ones(len(heights), bool)
