"""Which sublattice each atom belongs to, when all were found together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from hyperspy_rvae.lattice.cells import index_cells

_LARGEST_ORDER = 4  # cells of the found lattice in one of the ordered structure
_SHARE = 0.05  # of the variance that a larger cell must explain beyond a smaller one
_DISTINCT = 0.5  # standard deviations between sites of two sublattices
_CERTAIN = 5.0  # standard errors between them
_FINE, _COARSE = 0.2, 0.3  # sigmas of the filters, in distances between neighbours


class Places(NamedTuple):
    """Equivalent places of a structure: every atom of a place is a lattice vector from another.

    Attributes
    ----------
    place
        Shape ``(n,)``: -1 for atoms in no grain.
    grain
        Shape ``(places,)``: the grain that each place is of, 0 the largest.
    mean, scatter
        Shape ``(places, f)``: mean and standard deviation of each feature over the atoms of each
        place.
    size
        Shape ``(places,)``: atoms of each place.
    """

    place: np.ndarray
    grain: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray
    size: np.ndarray


def column_features(image: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Measure the brightness and the narrowness of columns.

    Parameters
    ----------
    image
        Shape ``(h, w)``, atoms bright.
    positions
        Shape ``(n, 2)``, x and y in pixels.

    Returns
    -------
    features
        Shape ``(n, 2)``: height over the surroundings in the image's units, by a Laplacian of
        Gaussian that fits the distance between neighbours; and the share of it that a narrower
        filter sees.
    """
    points = np.asarray(positions, dtype=np.float64)
    spacing = np.median(np.asarray(KDTree(points).query(points, k=2)[0])[:, 1])
    sigmas = [max(share * spacing, 0.8) for share in (_FINE, _COARSE)]
    fine, coarse = (
        ndimage.map_coordinates(
            -(sigma**2) * ndimage.gaussian_laplace(np.asarray(image, np.float64), sigma),
            points[:, ::-1].T,
            order=1,
            mode="nearest",
        )
        for sigma in sigmas
    )
    whole = np.abs(fine) + np.abs(coarse)
    return np.column_stack([fine, fine / np.where(whole > 0, whole, 1.0)])


def find_places(positions: np.ndarray, features: np.ndarray) -> Places:
    """Find the equivalent places of a structure by its lattice and the order of its columns.

    The lattice of all atoms gives the first places. Where columns alternate on it, as A and B of
    a perovskite do, the places are those of the smallest cell, of up to four, that explains what
    the columns look like. A place is one throughout its grain, however bright single columns are.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    features
        Shape ``(n, f)``.

    Returns
    -------
    places
        Of all grains.

    Raises
    ------
    ValueError
        If the atoms form no lattice.
    """
    cells = index_cells(positions)
    place = np.full(len(cells.grain), -1)
    grains: list[int] = []
    for grain in range(len(cells.vectors)):
        own = np.flatnonzero(cells.grain == grain)
        found = _ordered(cells.indices[own], cells.site[own], features[own])
        place[own] = found + len(grains)
        grains.extend([grain] * (int(found.max()) + 1))
    inside = place >= 0
    count, mean, scatter = _moments(place[inside], features[inside])
    return Places(place, np.array(grains), mean, scatter, count)


def sort_columns(
    positions: np.ndarray, features: np.ndarray, kinds: int | None = None
) -> np.ndarray:
    """Sort atoms into sublattices.

    Places that look alike are one sublattice. The number of these is taken from the largest
    grain, where places are kept apart that differ by half a standard deviation of their columns
    and beyond doubt. Atoms in no grain go to the sublattice they look most like.

    Parameters
    ----------
    positions
        Shape ``(n, 2)``, x and y in pixels.
    features
        Shape ``(n, f)``, the brightness first.
    kinds
        Number of sublattices; None: as many as can be told apart.

    Returns
    -------
    sublattice
        Shape ``(n,)``: 0 is the brightest.

    Raises
    ------
    ValueError
        If the atoms form no lattice, or it has fewer places than `kinds`.
    """
    places = find_places(positions, features)
    first = np.flatnonzero(places.grain == 0)
    groups = _alike(places, first, kinds)
    if kinds is not None and len(groups) < kinds:
        raise ValueError(
            f"{kinds} sublattices are asked for, and the lattice of these {len(places.place)} "
            f"atoms has only {len(groups)} places that can be told apart; give fewer names, or "
            "find the missing atoms first."
        )
    levels = np.array([_level(places, group) for group in groups])
    spread = _spread(places, first)
    kind_of = np.empty(len(places.grain), dtype=np.int64)
    for grain in range(int(places.grain.max()) + 1):
        own = np.flatnonzero(places.grain == grain)
        alike = _alike(places, own, len(groups))
        if len(alike) == len(groups):
            for number, group in enumerate(alike):
                kind_of[group] = number
        else:
            kind_of[own] = _most_like(places.mean[own], levels, spread)
    lost = places.place < 0
    sublattice = kind_of[places.place]
    sublattice[lost] = _most_like(features[lost], levels, spread)
    return sublattice


def _ordered(indices: np.ndarray, site: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Places of one grain, numbered from 0, in the smallest cell that explains the features."""
    candidates = []
    for cell in _cells_up_to(_LARGEST_ORDER):
        kind = np.column_stack([site, _coset(indices, cell)])
        candidates.append(np.unique(kind, axis=0, return_inverse=True)[1].ravel())
    explained = np.array([_explained(place, features) for place in candidates])
    return candidates[int(np.argmax(explained >= explained.max() - _SHARE))]


def _cells_up_to(order: int) -> list[tuple[int, int, int]]:
    """All lattices of up to so many cells, as (p, q, r): rows (p, q) and (0, r), small first."""
    return [
        (p, q, size // p)
        for size in range(1, order + 1)
        for p in range(1, size + 1)
        if size % p == 0
        for q in range(size // p)
    ]


def _coset(indices: np.ndarray, cell: tuple[int, int, int]) -> np.ndarray:
    p, q, r = cell
    i, j = indices.T
    return (i % p) * r + (j - (i // p) * q) % r


def _explained(place: np.ndarray, features: np.ndarray) -> float:
    """Share of the variance between places, of the feature where it is largest, adjusted."""
    count, _, scatter = _moments(place, features)
    freedom = len(place) - len(count)
    total = features.var(axis=0)
    if freedom < 1 or not total.all():
        return 0.0
    within = (count[:, None] * scatter**2).sum(axis=0) / freedom
    return float(np.max(1 - within / (total * len(place) / (len(place) - 1))))


def _moments(place: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = np.bincount(place)
    mean = np.stack([np.bincount(place, f) for f in features.T], axis=1) / count[:, None]
    square = [np.bincount(place, f**2) for f in (features - mean[place]).T]
    return count, mean, np.sqrt(np.stack(square, axis=1) / count[:, None])


def _alike(places: Places, own: np.ndarray, kinds: int | None) -> list[np.ndarray]:
    """Join the most alike of one grain's places until the rest differ; brightest group first."""
    groups = [np.array([place]) for place in own]
    spread = _spread(places, own)
    while len(groups) > (kinds or 1):
        levels = [_level(places, group) for group in groups]
        pairs = [(i, j) for i in range(len(groups)) for j in range(i)]
        apart = [float(np.linalg.norm((levels[i] - levels[j]) / spread)) for i, j in pairs]
        least = int(np.argmin(apart))
        i, j = pairs[least]
        n, m = places.size[groups[i]].sum(), places.size[groups[j]].sum()
        certain = apart[least] * np.sqrt(n * m / (n + m)) > _CERTAIN
        if kinds is None and apart[least] > _DISTINCT and certain:
            break
        groups[j] = np.concatenate([groups[j], groups.pop(i)])
    return sorted(groups, key=lambda group: -_level(places, group)[0])


def _level(places: Places, group: np.ndarray) -> np.ndarray:
    """Mean features of the atoms of several places."""
    return np.average(places.mean[group], axis=0, weights=places.size[group])


def _spread(places: Places, group: np.ndarray) -> np.ndarray:
    """Give the standard deviation of each feature inside places."""
    variance = np.average(places.scatter[group] ** 2, axis=0, weights=places.size[group])
    return np.where(variance > 0, np.sqrt(variance), 1.0)


def _most_like(features: np.ndarray, levels: np.ndarray, spread: np.ndarray) -> np.ndarray:
    apart = (features[:, None] - levels) / spread
    return np.argmin((apart**2).sum(axis=2), axis=1)
