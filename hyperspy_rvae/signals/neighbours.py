"""Local crystallography of an image's atoms: where the neighbours of each of them are."""

from __future__ import annotations

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.bonds import bond_cut, doubled, nearest_distances
from hyperspy_rvae.lattice.displacements import coordination
from hyperspy_rvae.lattice.neighbours import moments, nearest_neighbours, within_reach
from hyperspy_rvae.lattice.table import REQUIRED, rows_by_frame, select_sublattice
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.checks import check_choice, check_image
from hyperspy_rvae.signals.maps import map_column
from hyperspy_rvae.signals.measuring import Units, vector_units

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hyperspy_rvae.analysis.configurations import Algorithm
    from hyperspy_rvae.signals.image import AtomLatticeImage


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest neighbours of each atom, in its frame.

    Attributes
    ----------
    atoms
        The table of the atoms with the column ``coordination``, the number of neighbours in the
        first shell (-1 if there are no shells), and ``cluster`` once clustered.
        ``s.set_atoms(n.atoms)`` keeps them with the image.
    ids
        Ids of the neighbours, shape ``(n, k)``, nearest first; -1 where there are too few.
    vectors
        From each atom to its neighbours, float32, shape ``(n, k, 2)``: u right, v down, in
        :attr:`units`; NaN where there are too few.
    complete
        Shape ``(n,)``: whether all k are known. They are not where a nearer one could lie beyond
        the image's border.
    units
        Of the vectors.
    """

    atoms: pd.DataFrame
    ids: np.ndarray
    vectors: np.ndarray
    complete: np.ndarray
    units: str
    _shape: tuple[int, int] = dataclasses.field(repr=False)
    _pixel: tuple[float, float, str] = dataclasses.field(repr=False)

    def __repr__(self) -> str:
        n, k = self.ids.shape
        return f"<Neighbours of {n} atoms, {k} each, {self.complete.sum()} complete>"

    @property
    def distances(self) -> np.ndarray:
        """Distances to the neighbours in :attr:`units`, shape ``(n, k)``."""
        return np.hypot(self.vectors[..., 0], self.vectors[..., 1])

    @property
    def angles(self) -> np.ndarray:
        """Directions, shape ``(n, k)``: radians, counter-clockwise as displayed."""
        angles = np.arctan2(-self.vectors[..., 1], self.vectors[..., 0])
        return np.where(angles <= -np.pi, np.pi, angles)

    def to_dataframe(self) -> pd.DataFrame:
        """One row a neighbour.

        Returns
        -------
        table
            ``atom`` and ``neighbour``, ids; ``u``, ``v`` and ``distance`` in :attr:`units`;
            ``angle`` in radians.
        """
        atom, place = np.nonzero(self.ids >= 0)
        u, v = self.vectors[atom, place].T
        return pd.DataFrame(
            {
                "atom": self.atoms.index.to_numpy()[atom],
                "neighbour": self.ids[atom, place],
                "u": u,
                "v": v,
                "distance": self.distances[atom, place],
                "angle": self.angles[atom, place],
            }
        )

    def cluster(
        self,
        n: int | None = None,
        *,
        algorithm: Algorithm = "gmm",
        rotation_invariant: bool = False,
        seed: int | None = None,
    ) -> Neighbours:
        """Sort the atoms by where their neighbours are.

        Parameters
        ----------
        n
            Number of clusters. If not given, that from 1 to 8 with the lowest Bayesian
            information criterion.
        algorithm
            "gmm", a Gaussian mixture, or "kmeans", which needs `n`.
        rotation_invariant
            Whether surroundings that are turned against each other are the same.
        seed
            Same seed, same clusters.

        Returns
        -------
        neighbours
            The same with a column ``cluster`` in :attr:`atoms`: 0 is the most frequent, and -1
            marks atoms that are not :attr:`complete`.

        Raises
        ------
        ValueError
            If there are fewer complete atoms than clusters, or `n` or `algorithm` are impossible.
        """
        from hyperspy_rvae.analysis.configurations import Algorithm, cluster_configurations

        check_choice(algorithm, get_args(Algorithm), "algorithm")
        if n is None and algorithm == "kmeans":
            raise ValueError("kmeans needs the number of clusters n; only gmm can estimate it.")
        if n is not None:
            _check_count(n, "n")
        known = int(self.complete.sum())
        if known < max(2, n or 0):
            raise ValueError(
                f"{known} atoms have all their neighbours on the image, which is too few for "
                f"{n or 'any'} clusters; take fewer neighbours or a larger image."
            )
        labels = np.full(len(self.atoms), -1)
        described = moments(self.vectors[self.complete].astype(np.float64))
        labels[self.complete] = cluster_configurations(
            described, n, algorithm, rotation_invariant, seed
        )
        return dataclasses.replace(self, atoms=self.atoms.assign(cluster=labels))

    def plot(self, column: str | None = None, *, ax: Axes | None = None, **kwargs: Any) -> Axes:
        """Plot the vectors to the neighbours of all complete atoms as one cloud.

        Parameters
        ----------
        column
            Column of :attr:`atoms` that gives the colours, such as "cluster", "coordination" or
            "sublattice".
        ax
            Axes to draw on; new ones if not given.
        **kwargs
            Passed to :meth:`matplotlib.axes.Axes.scatter`, or to
            :meth:`matplotlib.axes.Axes.hexbin` for more than 4,000 vectors without `column`.

        Returns
        -------
        axes
            The axes drawn on; v runs down, as in the image.
        """
        from hyperspy_rvae.plotting.neighbours import plot_cloud

        if column is not None and column not in self.atoms:
            raise ValueError(f"there is no column {column!r}; there are {', '.join(self.atoms)}.")
        if not self.complete.any():
            raise ValueError("no atom has all its neighbours on the image; take fewer of them.")
        labels = None if column is None else self.atoms[column].to_numpy()[self.complete]
        return plot_cloud(
            self.vectors[self.complete],
            labels=labels,
            name=column or "",
            units=self.units,
            ax=ax,
            **kwargs,
        )

    def plot_map(
        self,
        column: str = "coordination",
        *,
        frame: int = 0,
        image: Any = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes:
        """Plot a column of :attr:`atoms` at the atoms' places; as ``AtomLatents.plot_map``."""
        return map_column(self.atoms, column, frame, image, self._shape, self._pixel, ax, **kwargs)


def neighbours(
    image: AtomLatticeImage,
    k: int | None = None,
    *,
    sublattice: str | None = None,
    reference: str | None = None,
    units: Units = "px",
) -> Neighbours:
    """Vectors from each atom to its k nearest neighbours in the same frame.

    Parameters
    ----------
    k
        Number of neighbours. If not given, the most frequent number of atoms in the first shell.
    sublattice
        Whose neighbours; if not given, those of all atoms.
    reference
        Sublattice that the neighbours are of; if not given, any.
    units
        Of the vectors: "px", "axes" (the units of the image's axes) or "pm". Each axis' own scale
        is used.

    Returns
    -------
    neighbours
        With distances, angles, coordination, clusters and plots.

    Warns
    -----
    UserWarning
        If there are no shells, as in an amorphous image, so that coordination means nothing, or
        atoms share a column.

    Raises
    ------
    ValueError
        If no atom has a neighbour, `k` or a sublattice are impossible, or there are no shells
        and no `k`.
    """
    check_image(image)
    check_choice(units, get_args(Units), "units")
    if k is not None:
        _check_count(k, "k")
    table = record.current_table(image, copy=False)
    atoms = select_sublattice(table, sublattice)
    others = select_sublattice(table[list(REQUIRED)], reference)
    aspect = np.array([1.0, record.pixel_aspect(image)])
    pairs = _by_frame(atoms, others, aspect)
    if not any(len(here) and len(there) > (own >= 0).any() for here, there, own, *_ in pairs):
        raise ValueError("no atom has a neighbour in its frame; find more atoms.")
    _warn_doubled(pairs)
    height, width = image.data.shape[-2:]
    depth = np.full(len(atoms), np.inf)
    for name, length, factor in zip("xy", (width, height), aspect, strict=True):
        places = atoms[name].to_numpy()
        depth = np.minimum(depth, np.minimum(places, length - 1 - places) * factor)
    count, reach = _coordination(pairs, atoms, k is None)
    k = _most_frequent(count, depth >= reach) if k is None else int(k)
    axes = record.image_axes(image)
    factors, name = vector_units(axes[-1], axes[-2], units)
    kind = np.int32 if others.index.max() < 2**31 else np.int64
    ids, vectors, complete = _nearest(pairs, k, depth, factors / aspect, kind)
    del pairs, depth  # so that there is room for the copy
    return Neighbours(
        atoms.copy().assign(coordination=count),  # else the image's own numbers could be changed
        ids,
        vectors,
        complete,
        name,
        image.data.shape[-2:],
        record.image_pixel(image),
    )


Pair = tuple[np.ndarray, np.ndarray, np.ndarray, slice | np.ndarray, pd.Index]


def _by_frame(atoms: pd.DataFrame, others: pd.DataFrame, aspect: np.ndarray) -> list[Pair]:
    """Atoms and others of each frame, which of the others an atom is, its row, the others' ids."""
    around = dict(rows_by_frame(others["frame"].to_numpy()))
    xy = others[["x", "y"]].to_numpy() * aspect
    same = atoms.index.equals(others.index)
    places = xy if same else atoms[["x", "y"]].to_numpy() * aspect
    pairs = []
    for frame, rows in rows_by_frame(atoms["frame"].to_numpy()):
        there = around.get(frame, slice(0, 0))
        names = others.index[there]
        if same:
            own = np.arange(len(names), dtype=np.int32)
        else:
            own = names.get_indexer(atoms.index[rows]).astype(np.int32)
        pairs.append((places[rows], xy[there], own, rows, names))
    return pairs


def _nearest(
    pairs: list[Pair], k: int, depth: np.ndarray, factors: np.ndarray, kind: type[np.integer]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids of the k nearest others, the vectors to them, and whether none can lie outside."""
    ids = np.full((len(depth), k), -1, dtype=kind)
    vectors = np.full((len(depth), k, 2), np.nan, dtype=np.float32)
    complete = np.zeros(len(depth), dtype=bool)
    for here, there, own, rows, names in pairs:
        if not len(there):
            continue
        index, found = nearest_neighbours(here, there, k, own)
        far = np.hypot(*found[:, -1].T)
        complete[rows] = np.isfinite(far) & (far <= depth[rows])
        vectors[rows] = found * factors
        ids[rows] = np.where(index >= 0, np.asarray(names)[index], -1)
    return ids, vectors, complete


def _coordination(pairs: list[Pair], atoms: pd.DataFrame, needed: bool) -> tuple[np.ndarray, float]:
    """Count the atoms in the first shell, -1 where there are no shells, and how far it reaches."""
    same = any((own >= 0).any() for _, _, own, *_ in pairs)
    try:
        if same:
            reach = bond_cut([there for _, there, *_ in pairs])
        else:
            fullest = max(pairs, key=lambda pair: len(pair[1]))
            reach = coordination(*fullest[:2])[1]
    except ValueError as error:
        if needed:
            raise ValueError(f"k cannot be estimated: {error}") from error
        warnings.warn(f"the column coordination is -1: {error}", stacklevel=4)
        return np.full(len(atoms), -1), float("nan")
    count = np.zeros(len(atoms), dtype=np.int64)
    for here, there, own, rows, _ in pairs:
        count[rows] = within_reach(here, there, reach, itself=bool((own >= 0).any()))
    return count, reach


def _warn_doubled(pairs: list[Pair]) -> None:
    """Flag atoms that share a column with another, among all that can be neighbours."""
    among = [there for _, there, *_ in pairs if len(there) > 1]
    if not among:
        return
    spacing = float(np.median(np.concatenate([nearest_distances(xy) for xy in among])))
    twice = sum(int(doubled(xy, spacing).sum()) for xy in among)
    if twice:
        warnings.warn(
            f"{twice} atoms lie within half a spacing of another, as two seeds on one column do; "
            "they count as neighbours. Take one of each pair out of the table.",
            stacklevel=3,
        )


def _most_frequent(count: np.ndarray, inside: np.ndarray) -> int:
    """Most frequent coordination, of atoms away from the image's border if there are any."""
    found = count[inside & (count > 0)]
    return int(np.bincount(found if len(found) else count[count > 0]).argmax())


def _check_count(value: object, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1, got {value!r}.")
