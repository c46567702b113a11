"""Finding atoms in an image: where the columns are."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.atomap_peaks import find_peaks
from hyperspy_rvae.lattice.peaks import find_blobs, noise_at, strongest, vertex, without_plateaus
from hyperspy_rvae.lattice.scale import Scale, bright_kind, find_columns_of, measure_scale
from hyperspy_rvae.lattice.sites import nearest

Contrast = Literal["bright", "dark"]
Finder = Literal["laplacian_of_gaussian", "atomap"]

_SAME = 0.5  # of the separation, at most, between what two filters say of one column,
_LIKE = 0.45  # of the strength of bright columns, at least, for one that the other filter adds
_APART = 1.6  # or of the size of the columns, the larger of the two


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


def find_positions(
    image: np.ndarray,
    separation: float | Scale | None = None,
    *,
    contrast: Contrast = "bright",
    method: Finder = "laplacian_of_gaussian",
) -> np.ndarray:
    """Find the atomic columns of an image.

    The image is filtered by a Laplacian of Gaussian as wide as a column at that separation can
    be, which takes off the background and the noise. Its peaks that rise above the local noise
    are columns.

    Parameters
    ----------
    image
        Shape ``(h, w)``, of any real type.
    separation
        Least distance between two columns in pixels, at least 1 and less than half the image; or
        what :func:`~hyperspy_rvae.lattice.scale.measure_scale` says of an image of this kind;
        None: of this image. Where that tells a fainter sublattice between bright columns, it is
        left out; a separation in pixels takes in whatever is that far apart.
    contrast
        ``"bright"`` or ``"dark"`` columns.
    method
        ``"laplacian_of_gaussian"``, or ``"atomap"`` for the peaks of the image as it is, as
        ``atomap.api.get_atom_positions`` finds them, none nearer to the border than the separation.

    Returns
    -------
    positions
        Shape ``(n, 2)``, x and y in pixels, strongest first. Columns whose centre is on the
        outermost pixels, and those less than a fifth as strong as the strong ones, are left out.

    Raises
    ------
    ValueError
        If the separation does not fit the image, or nothing is found.
    """
    pixels = bright_atoms(image, contrast)
    if separation is None:
        separation = measure_scale(pixels)
    distance = separation.separation if isinstance(separation, Scale) else float(separation)
    if not 1 <= distance < min(pixels.shape) / 2:
        raise ValueError(
            f"separation must be at least 1 px and less than half of the image, here "
            f"{min(pixels.shape) / 2:g} px, got {distance:g}; it should be about half of the "
            "distance between neighbouring columns"
        )
    if method == "atomap":
        positions = find_peaks(pixels, distance)
    else:
        pixels = without_plateaus(pixels)
        if isinstance(separation, Scale):
            columns = _bright_columns(pixels, separation)
        else:
            columns = find_blobs(pixels, distance).positions
        positions = _crests(pixels, columns, distance)
    if not len(positions):
        raise ValueError(
            f"no {contrast} columns found at a separation of {distance:g} px; give a smaller "
            "separation or the other contrast, or average the image over frames"
        )
    return positions


def _bright_columns(pixels: np.ndarray, scale: Scale) -> np.ndarray:
    """Columns of the bright kind, by a filter of their size and by one of their separation.

    The first keeps fainter neighbours apart and sees columns near the border. The second adds
    what noise has torn, where it is the wider one, or what has run together, where it is not.
    """
    columns, strengths, _ = find_columns_of(pixels, scale.size)
    bright = columns[bright_kind(columns, strengths, pixels, scale.size)]
    others, strengths, _ = find_blobs(pixels, scale.separation)
    apart = max(_APART * scale.size, _SAME * scale.separation)
    known = nearest(KDTree(bright), others)[0] <= apart
    new = bright_kind(others, strengths, pixels, scale.size)
    new &= nearest(KDTree(columns), others)[0] > apart
    new &= strengths > _LIKE * (np.median(strengths[known]) if known.any() else 0)
    return np.concatenate([bright, others[new]])


def _crests(pixels: np.ndarray, positions: np.ndarray, separation: float) -> np.ndarray:
    """Move each peak of the filtered image to the crest of its column.

    The wide filter draws peaks towards fainter neighbours. So the brightest pixel within a
    quarter of the separation is taken, of an image smoothed no more than its noise asks, and the
    top of a parabola through it. Crests on the outermost pixels are no columns, and two that meet
    are one.
    """
    if not len(positions):
        return positions
    need = np.clip(4 * np.median(noise_at(pixels, positions, separation)) / pixels.std(), 0.2, 1.0)
    smooth = ndimage.gaussian_filter(pixels, need * separation / 2)
    smooth -= ndimage.gaussian_filter(pixels, separation)
    reach = int(separation / 4)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    around = np.stack([x, y], axis=-1)[np.hypot(x, y) <= separation / 4]
    last = np.array(pixels.shape[::-1]) - 1
    places = np.clip(np.rint(positions).astype(int)[:, None] + around, 0, last)
    crest = np.argmax(smooth[places[..., 1], places[..., 0]], axis=1)
    places = places[np.arange(len(places)), crest]
    places = places[((places > 0) & (places < last)).all(axis=1)]
    crests = places + vertex(smooth, places)
    return crests[strongest(crests, _SAME * separation)]
