"""Synthetic graphene: a sheet with named defects and an edge, and a small-angle boundary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import hyperspy.api as hs
import numpy as np
import pandas as pd
from scipy.spatial import Delaunay, KDTree

from hyperspy_rvae.data.springs import relaxed
from hyperspy_rvae.data.synthetic import gaussian_columns

if TYPE_CHECKING:
    from hyperspy_rvae.signals import AtomLatticeImage

Defect = Literal["stone-wales", "vacancy", "divacancy", "5-8-5"]
COLUMN_WIDTH = 0.27
BOND_PM = 142.0
ROOM = 9.0  # bonds between the middle of a defect and the next defect or the rim


def graphene(
    defects: Sequence[Defect] = get_args(Defect),
    size: tuple[int, int] = (512, 420),
    *,
    edge: bool = True,
    bond_px: float = 10.0,
    turn: float = 0.1,
    jitter: float = 0.02,
    noise: float = 0.1,
    seed: int = 0,
) -> tuple[AtomLatticeImage, pd.DataFrame]:
    """Graphene with defects, and a zigzag edge at the right.

    Parameters
    ----------
    defects
        Out of "stone-wales" (a bond turned by a quarter), "vacancy" (an atom gone), "divacancy"
        (two neighbours gone) and "5-8-5" (a divacancy whose loose ends have joined); the same may
        come more than once.
    size
        Width and height of the image in pixels.
    edge
        Whether the sheet ends before the image does.
    bond_px
        Length of a bond in pixels.
    turn
        Angle of the sheet in radians, counter-clockwise as displayed.
    jitter
        Standard deviation of the atoms' places, in bonds, along x and along y.
    noise
        Standard deviation of the white noise; an atom is 1 high.
    seed
        Of jitter and noise.

    Returns
    -------
    image
        Float32, without atoms.
    truth
        Columns ``frame``, ``x``, ``y``, ``sublattice``, and ``defect``: that in whose rings the
        atom is ("divacancy" for a "5-8-5"), "edge" for atoms of hexagons that the edge has cut,
        else "".
    """
    rng = np.random.default_rng(seed)
    extent = np.asarray(size) / bond_px
    places, hexagons = _honeycomb(np.hypot(*extent) / 2 + 4)
    pairs = KDTree(places).query_pairs(1.1, output_type="ndarray")
    label = np.full(len(places), "", dtype=object)
    limit = 1.5 * np.floor((extent[0] / 2 - 5) / 1.5) + 0.3  # just behind a row of zigzag atoms
    gone = places[:, 0] > limit if edge else np.zeros(len(places), dtype=bool)
    _label(label, places, hexagons, gone, "edge")
    settled = places.copy()
    middles = _middles(len(defects), extent, edge) @ _turn(turn).T
    for kind, middle in zip(defects, middles, strict=True):
        changed = _pair_at(pairs, places, middle)[: 1 if kind == "vacancy" else 2]
        touched = np.zeros(len(places), dtype=bool)
        touched[changed] = True
        _label(label, places, hexagons, touched, "divacancy" if kind == "5-8-5" else kind)
        if kind == "stone-wales":
            pairs, settled[changed] = _turned(pairs, settled, changed)
        else:
            gone[changed] = True
            pairs = np.concatenate([pairs, _joined(pairs, changed)]) if kind == "5-8-5" else pairs
    new = np.cumsum(~gone) - 1
    bonds = new[pairs[~gone[pairs].any(1)]]
    kept, label = settled[~gone], label[~gone]
    kept = relaxed(kept, bonds, np.hypot(*kept.T) < np.hypot(*extent) / 2 + 2)
    return _image(kept, label, size, bond_px, turn, jitter, noise, rng, "Graphene")


def graphene_boundary(
    misorientation: float = 0.14,
    size: tuple[int, int] = (420, 512),
    *,
    bond_px: float = 10.0,
    jitter: float = 0.02,
    noise: float = 0.1,
    seed: int = 0,
) -> tuple[AtomLatticeImage, pd.DataFrame]:
    """Graphene with a small-angle boundary along y: a row of dislocations.

    The middles of graphene's rings are a triangular lattice. Two such lattices are put side by
    side; the triangles of their points are the atoms, and the number of neighbours of a point is
    the size of its ring.

    Parameters
    ----------
    misorientation
        Angle between the halves in radians. The dislocations are a lattice parameter over it
        apart.
    size, bond_px, jitter, noise, seed
        As for :func:`graphene`.

    Returns
    -------
    image
        Float32, without atoms.
    truth
        Columns ``frame``, ``x``, ``y``, ``sublattice``, and ``rings``, the sizes of the three
        rings of the atom, such as "5-6-7".
    """
    rng = np.random.default_rng(seed)
    extent = np.asarray(size) / bond_px
    middles = _two_grains(misorientation, extent / 2 + 8)
    mesh = Delaunay(middles)
    corners = np.sort(mesh.simplices, axis=1)
    around = np.bincount(mesh.simplices.ravel())
    sizes = np.sort(around[corners], axis=1)
    first = np.repeat(np.arange(len(corners)), 3)
    bonds = np.stack([first, mesh.neighbors.ravel()], 1)
    bonds = bonds[(bonds[:, 1] > bonds[:, 0])]
    places = middles[corners].mean(1)
    inside = (np.abs(places) < extent / 2 + 4).all(1)
    new = np.cumsum(inside) - 1
    bonds = new[bonds[inside[bonds].all(1)]]
    places, sizes = places[inside], sizes[inside]
    places = relaxed(places, bonds, (np.abs(places) < extent / 2 + 2).all(1))
    rings = np.array(["-".join(map(str, row)) for row in sizes], dtype=object)
    image, truth = _image(
        places, rings, size, bond_px, 0.0, jitter, noise, rng, "Small-angle boundary"
    )
    return image, truth.rename(columns={"defect": "rings"})


def _honeycomb(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Atoms and middles of hexagons of graphene in bonds, some bonds along x."""
    n = int(radius) + 2
    i, j = np.meshgrid(np.arange(-n, n + 1), np.arange(-n, n + 1))
    cells = np.stack([1.5 * (i + j), np.sqrt(3) / 2 * (i - j)], -1).reshape(-1, 2)
    atoms = np.concatenate([cells, cells + [1.0, 0.0]])
    return atoms[np.hypot(*atoms.T) < radius], cells - [1.0, 0.0]


def _middles(n: int, extent: np.ndarray, edge: bool) -> np.ndarray:
    """Places for n defects, evenly spread over the part of the sheet that is whole."""
    room = extent - 2 * ROOM - (np.array([5.0, 0.0]) if edge else 0.0)
    if n and (room < 0).any():
        raise ValueError(
            f"the image is {extent[0]:.0f} by {extent[1]:.0f} bonds, too small for a defect; a "
            f"margin of {ROOM:g} bonds is needed all around, and 5 more for an edge."
        )
    across = int(np.ceil(np.sqrt(max(n, 1) * max(room[0], 1) / max(room[1], 1))))
    down = int(np.ceil(n / across))
    grid = np.stack(np.meshgrid(_spread(across), _spread(down)), -1).reshape(-1, 2)[:n]
    places = grid * room - room / 2 - ([2.5, 0.0] if edge else [0.0, 0.0])
    if n > 1 and KDTree(places).query(places, k=2)[0][:, 1].min() < ROOM:
        raise ValueError(f"{n} defects do not fit {ROOM:g} bonds apart; give a larger size.")
    return places


def _turn(angle: float) -> np.ndarray:
    """Matrix that turns rows of x and y, y down, counter-clockwise as displayed."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def _spread(n: int) -> np.ndarray:
    return np.linspace(0, 1, n) if n > 1 else np.full(n, 0.5)


def _pair_at(pairs: np.ndarray, places: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Give the two atoms of the bond that is nearest to a place."""
    return pairs[np.argmin(np.hypot(*(places[pairs].mean(1) - middle).T))]


def _label(
    label: np.ndarray, places: np.ndarray, hexagons: np.ndarray, changed: np.ndarray, name: str
) -> None:
    """Name the atoms of all hexagons that hold a changed atom."""
    if not changed.any():
        return
    hit = np.isfinite(KDTree(places[changed]).query(hexagons, distance_upper_bound=1.1)[0])
    near = KDTree(hexagons[hit]).query(places, distance_upper_bound=1.1)[0]
    label[np.isfinite(near)] = name


def _turned(
    pairs: np.ndarray, places: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn a bond by a quarter; each end takes the outer neighbours on its new side."""
    middle = places[ends].mean(0)
    half = np.diff(places[ends], axis=0)[0] / 2
    across = np.array([-half[1], half[0]])
    changed = pairs.copy()
    theirs = np.isin(pairs, ends).sum(1) == 1
    outer = np.where(np.isin(pairs[theirs, 0], ends), pairs[theirs, 1], pairs[theirs, 0])
    side = ((places[outer] - middle) @ across > 0).astype(int)
    changed[theirs] = np.stack([ends[side], outer], 1)
    return changed, middle + np.stack([-across, across])


def _joined(pairs: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Bonds between the two loose neighbours of each of two atoms that are gone."""
    return np.array(
        [np.setdiff1d(pairs[(pairs == end).any(1)].ravel(), ends) for end in ends]
    ).reshape(-1, 2)


def _two_grains(angle: float, half: np.ndarray) -> np.ndarray:
    """Points of two triangular lattices, their rows along x, that meet at x = 0.

    The rows of each grain run on for a quarter of their period beyond the boundary, and points
    that come too close there become one. So the rows of both parities gain a point at the same
    height, which makes one dislocation with the least disorder.
    """
    period = np.sqrt(3)
    n = int(np.hypot(*half)) + 2
    i, j = np.meshgrid(np.arange(-n, n + 1), np.arange(-n, n + 1))
    lattice = period * np.stack([i + j / 2, j * np.sqrt(3) / 2], -1).reshape(-1, 2)
    grains = []
    for sign in (-1, 1):
        cos, sin = np.cos(sign * angle / 2), np.sin(sign * angle / 2)
        turned = lattice @ np.array([[cos, sin], [-sin, cos]])
        grains.append(turned[sign * turned[:, 0] > -period / 4])
    points = np.concatenate(grains)
    points = points[(np.abs(points) < half).all(1)]
    close = KDTree(points).query_pairs(0.55 * period, output_type="ndarray")
    points[close[:, 0]] = points[close].mean(1)
    return np.delete(points, np.unique(close[:, 1]), axis=0)


def _image(
    places: np.ndarray,
    label: np.ndarray,
    size: tuple[int, int],
    bond_px: float,
    turn: float,
    jitter: float,
    noise: float,
    rng: np.random.Generator,
    title: str,
) -> tuple[AtomLatticeImage, pd.DataFrame]:
    """Draw the atoms, places in bonds from the middle of the image."""
    moved = places + rng.normal(0, jitter, places.shape)
    xy = bond_px * moved @ _turn(turn) + (np.asarray(size) - 1) / 2
    shape = size[::-1]
    pixels = gaussian_columns(shape, xy, np.ones(len(xy)), COLUMN_WIDTH * bond_px)
    pixels += rng.normal(0, noise, shape)
    image = hs.signals.Signal2D(pixels.astype(np.float32))
    for axis, name in zip(image.axes_manager.signal_axes, "xy", strict=True):
        axis.name, axis.scale, axis.units = name, BOND_PM / bond_px / 1000, "nm"
    image.metadata.General.title = title
    image.set_signal_type("atom_lattice")
    truth = pd.DataFrame(xy, columns=["x", "y"]).assign(frame=0, sublattice="A", defect=label)
    inside = ((xy >= 0) & (xy <= np.asarray(size) - 1)).all(1)
    return image, truth.loc[inside, ["frame", "x", "y", "sublattice", "defect"]].reset_index(
        drop=True
    )
