"""Finding atoms in an image: how far apart they are, and where."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.atomap import find_peaks

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
    size = _column_size(pixels)
    positions = _columns(pixels, 1.1 * size)
    if len(positions) < 2:
        raise ValueError(
            f"the separation cannot be estimated: {len(positions)} columns stand out of the noise, "
            "2 are needed; give separation in pixels, or bin or average the image"
        )
    distance = _neighbour_distance(positions)
    bright = _bright_kind(_heights(pixels, positions, size))
    if bright.any() and _neighbour_distance(positions[bright]) > 1.2 * distance:
        return 0.55 * _neighbour_distance(positions[bright])
    return 0.4 * distance


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
    return positions


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


def _column_size(pixels: np.ndarray) -> float:
    """Sigma at which a Laplacian of Gaussian responds most, the noise's share taken off."""
    window = np.hanning(pixels.shape[0])[:, None] * np.hanning(pixels.shape[1])
    power = np.abs(np.fft.rfft2((pixels - pixels.mean()) * window)) ** 2
    power -= _noise(pixels) ** 2 * (window**2).sum()
    rows, columns = np.fft.fftfreq(pixels.shape[0]), np.fft.rfftfreq(pixels.shape[1])
    frequency = 2 * np.pi * np.hypot(rows[:, None], columns)
    ring = (100 * frequency).astype(int).ravel()
    count = np.maximum(np.bincount(ring), 1)
    radius = np.bincount(ring, frequency.ravel()) / count
    sigma = np.geomspace(0.8, max(min(pixels.shape) / 8, 1.6), 60)
    reach = (sigma[:, None] * radius) ** 2
    response = (reach**2 * np.exp(-reach)) @ np.bincount(ring, power.ravel())
    inner = response[1:-1]
    peaks = (inner >= response[:-2]) & (inner > response[2:]) & (inner > 0.3 * response.max())
    return float(sigma[1:-1][peaks][0] if peaks.any() else sigma[np.argmax(response)])


def _noise(pixels: np.ndarray) -> float:
    """Standard deviation of white noise, from the finest differences."""
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


def _neighbour_distance(positions: np.ndarray) -> float:
    return float(np.median(np.asarray(KDTree(positions).query(positions, k=2)[0])[:, 1]))


def _at(pixels: np.ndarray, positions: np.ndarray) -> np.ndarray:
    x, y = positions.astype(int).T
    return pixels[y, x]
