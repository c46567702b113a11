"""Finding atoms in an image: how far apart they are, and where."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.atomap_fits import find_peaks

Contrast = Literal["bright", "dark"]

_FAINTEST = 0.2  # of the strong peaks; what is weaker is taken for noise
_SECOND_DIFFERENCE = np.outer([1, -2, 1], [1, -2, 1]) / 6.0  # blind to atoms, unit gain for noise


def bright_atoms(image: np.ndarray, contrast: Contrast = "bright") -> np.ndarray:
    """Turn an image into one with bright atoms and no negative pixel.

    Parameters
    ----------
    image
        Shape ``(h, w)``, of any real type.
    contrast
        ``"dark"`` if the atoms are dark, as in ABF; the image is then inverted.

    Returns
    -------
    image
        Shape ``(h, w)``, float64, its lowest pixel 0.
    """
    if contrast not in ("bright", "dark"):
        raise ValueError(f'contrast must be "bright" or "dark", got {contrast!r}')
    pixels = np.asarray(image, dtype=np.float64)
    return pixels - pixels.min() if contrast == "bright" else pixels.max() - pixels


def estimate_separation(image: np.ndarray) -> float:
    """Estimate the separation that finds the columns of an image.

    The size of the columns is where the spectrum, weighted by a Laplacian of Gaussian, is
    strongest. Columns of that size are looked for, and the typical distance between neighbours
    is measured. If they fall into a bright and a fainter kind, one between the other, the
    bright one alone is measured, and the separation leaves the fainter one out.

    Parameters
    ----------
    image
        Shape ``(h, w)``, atoms bright.

    Returns
    -------
    separation
        In pixels; 0.4 of the distance between neighbours, 0.55 of that between bright ones.

    Raises
    ------
    ValueError
        If fewer than two columns stand out.
    """
    pixels = np.asarray(image, dtype=np.float64)
    spacings = [_spacing(pixels, size) for size in _column_sizes(pixels)]
    separation = min(spacings)[1]
    if not separation:
        raise ValueError(
            "the separation cannot be estimated, because fewer than 2 columns stand out of the "
            "noise; give separation in pixels, or bin or average the image"
        )
    return separation


def column_size(image: np.ndarray) -> float:
    """Size of the columns of an image, bright or dark.

    Parameters
    ----------
    image
        Shape ``(h, w)``.

    Returns
    -------
    sigma
        Of the Laplacian of Gaussian that responds most, in pixels.
    """
    return float(_column_sizes(np.asarray(image, dtype=np.float64))[0])


def find_positions(
    image: np.ndarray, separation: float | None = None, *, contrast: Contrast = "bright"
) -> np.ndarray:
    """Find the atomic columns of an image, to the pixel.

    The image is filtered by a Laplacian of Gaussian as wide as a column at that separation can
    be, which takes off the background and the noise, and atomap finds the peaks.

    Parameters
    ----------
    image
        Shape ``(h, w)``, of any real type.
    separation
        Least distance between two columns in pixels, at least 1 and less than half the image;
        None: :func:`estimate_separation`, which leaves a fainter sublattice between bright
        columns out. A smaller separation takes it in.
    contrast
        ``"bright"`` or ``"dark"`` columns.

    Returns
    -------
    positions
        Shape ``(n, 2)``, x and y in pixels, strongest first. Columns nearer than the separation
        to the border, and those less than a fifth as strong as the strong ones, are left out.

    Raises
    ------
    ValueError
        If the separation does not fit the image, or nothing is found.
    """
    pixels = bright_atoms(image, contrast)
    if separation is None:
        separation = estimate_separation(pixels)
    if not 1 <= separation < min(pixels.shape) / 2:
        raise ValueError(
            f"separation must be at least 1 px and less than half of the image, here "
            f"{min(pixels.shape) / 2:g} px, got {separation:g}; it should be about half of the "
            "distance between neighbouring columns"
        )
    positions = _columns(pixels, separation)
    if not len(positions):
        raise ValueError(
            f"no {contrast} columns found at a separation of {separation:g} px; give a smaller "
            "separation or the other contrast, or average the image over frames"
        )
    return _crests(pixels, positions, separation)


def _columns(pixels: np.ndarray, separation: float) -> np.ndarray:
    """Peaks of the filtered image that stand out of the noise and are not too weak."""
    sigma = separation / 2
    blobs = -ndimage.gaussian_laplace(pixels, sigma)
    positions = find_peaks(blobs, max(separation, 2.0))
    strengths = _at(blobs, positions)
    # The highest of n normal numbers is about sqrt(2 ln n).
    noise = _noise(pixels) / (np.sqrt(2 * np.pi) * sigma**3) * np.sqrt(2 * np.log(pixels.size))
    strong = np.percentile(strengths, 90) if len(strengths) else 0.0
    return positions[strengths > max(noise, _FAINTEST * strong)]


def _crests(pixels: np.ndarray, positions: np.ndarray, separation: float) -> np.ndarray:
    """Move each peak of the filtered image to the crest of its column.

    The wide filter draws peaks towards fainter neighbours. So the brightest pixel within a
    quarter of the separation is taken, of an image smoothed no more than its noise asks.
    """
    need = np.clip(4 * _noise(pixels) / pixels.std(), 0.2, 1.0)
    smooth = ndimage.gaussian_filter(pixels, need * separation / 2)
    smooth -= ndimage.gaussian_filter(pixels, separation)
    reach = int(separation / 4)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    around = np.stack([x, y], axis=-1)[np.hypot(x, y) <= separation / 4]
    places = positions[:, None] + around
    crest = np.argmax(_at(smooth, places), axis=1)
    return places[np.arange(len(places)), crest]


def _column_sizes(pixels: np.ndarray) -> np.ndarray:
    """Find the sigmas at which a Laplacian of Gaussian responds most, as it does to columns.

    There is one in most images. A background that varies, or noise that is not white, may add
    another; a larger one counts only if its response is the stronger.
    """
    window = np.hanning(pixels.shape[0])[:, None] * np.hanning(pixels.shape[1])
    power = np.abs(np.fft.rfft2((pixels - pixels.mean()) * window)) ** 2
    power -= _noise(pixels) ** 2 * (window**2).sum()
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


def _spacing(pixels: np.ndarray, size: float) -> tuple[float, float]:
    """Unevenness of the spacing of columns of this size, and the separation that finds them."""
    positions = _columns(pixels, 1.1 * size)
    if len(positions) < 2:
        return np.inf, 0.0
    everyone = _evenness(positions)
    bright = positions[_bright_kind(_heights(pixels, positions, size))]
    if len(bright) > 1:
        unevenness, distance = _evenness(bright)
        if distance > 1.2 * everyone[1]:
            return unevenness, 0.55 * distance
    return everyone[0], 0.4 * everyone[1]


def _evenness(positions: np.ndarray) -> tuple[float, float]:
    """Spread of the distances between neighbours over their median, and the median."""
    distances = np.asarray(KDTree(positions).query(positions, k=2)[0])[:, 1]
    low, median, high = np.percentile(distances, [25, 50, 75])
    spread = (high - low) / median if len(positions) > 8 else 1.0  # a few tell nothing
    return float(spread), float(median)


def _noise(pixels: np.ndarray) -> float:
    """Estimate the standard deviation of white noise from the finest differences."""
    return float(np.median(np.abs(ndimage.convolve(pixels, _SECOND_DIFFERENCE))) / 0.6745)


def _heights(pixels: np.ndarray, positions: np.ndarray, size: float) -> np.ndarray:
    """Height of each column over the lowest place around it, as a share of its neighbours'."""
    smooth = ndimage.gaussian_filter(pixels, size / 2)
    floor = ndimage.minimum_filter(smooth, 2 * int(3 * size) + 1)
    heights = _at(smooth - floor, positions)
    around = KDTree(positions).query(positions, k=min(7, len(positions)))[1]
    return heights / heights[np.asarray(around)].max(axis=1)


def _bright_kind(heights: np.ndarray) -> np.ndarray:
    """Which columns are the bright of two kinds; none if there is but one kind.

    Two kinds are where the split that best separates the heights (Otsu's) explains more than
    0.8 of their variance (0.64 in a normal, 0.75 in a uniform distribution) and leaves a
    quarter of the columns at least on the bright side.
    """
    ordered = np.sort(heights)
    count = np.arange(1, len(ordered))
    share = count / len(ordered)
    below = np.cumsum(ordered)[:-1] / count
    # Variance between the two sides, from the mean of one side and of all.
    between = share / (1 - share) * (below - ordered.mean()) ** 2
    split = int(np.argmax(between))
    two_kinds = between[split] > 0.8 * ordered.var() and share[split] <= 0.75
    return heights > ordered[split] if two_kinds else np.zeros(len(heights), bool)


def _at(pixels: np.ndarray, positions: np.ndarray) -> np.ndarray:
    x, y = np.moveaxis(positions.astype(int), -1, 0)
    return pixels[y, x]
