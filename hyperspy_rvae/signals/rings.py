"""The bond graph of an image's atoms: its rings, and the defects that they show."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.bonds import bond_cut, bond_pairs, doubled
from hyperspy_rvae.lattice.defects import name_atoms, name_faces, regular_size, sizes_of_atoms
from hyperspy_rvae.lattice.rings import trace_faces
from hyperspy_rvae.lattice.table import nearest_distance, rows_by_frame, select_sublattice
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.checks import check_image, check_number
from hyperspy_rvae.signals.frames import each_table, frame_of
from hyperspy_rvae.signals.maps import map_column, rows_of_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from networkx import Graph

    from hyperspy_rvae.signals.image import AtomLatticeImage

BORDER = 2.5  # bonds; a ring that the image's border cuts reaches so far into it
RING_COLUMNS = ["frame", "size", "x", "y", "area", "defect", "group", "atoms"]


@dataclass(frozen=True, eq=False)
class Rings:
    """Bonds and rings of the atoms, frame by frame.

    Attributes
    ----------
    atoms
        The table of the atoms with the columns ``coordination`` (number of bonds), ``rings``
        (sizes of the atom's rings, such as "5-6-7") and ``defect``. ``s.set_atoms(r.atoms)``
        keeps them with the image.
    bonds
        One row a bond: ``frame``, ids ``first`` and ``second`` of its atoms, ``length`` in pixels.
    cut
        Largest length of a bond in pixels.
    """

    atoms: pd.DataFrame
    bonds: pd.DataFrame
    cut: float
    _rings: pd.DataFrame = field(repr=False)
    _shape: tuple[int, int] = field(repr=False)
    _pixel: tuple[float, float, str] = field(repr=False)

    def __repr__(self) -> str:
        sizes = self._rings["size"].value_counts().sort_index()
        named = self.defects()["defect"].value_counts()
        return (
            f"<Rings of {len(self.atoms)} atoms; "
            f"sizes {', '.join(f'{size}: {n}' for size, n in sizes.items()) or 'none'}; "
            f"defects {', '.join(f'{name}: {n}' for name, n in named.items()) or 'none'}>"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """One row a ring.

        Returns
        -------
        rings
            ``frame``; ``size``, its number of atoms; ``x`` and ``y`` of its middle in pixels;
            ``area`` in square pixels; ``defect``, its name or ""; ``group``, the same number for
            the rings of one defect of a frame, -1 for none; ``atoms``, their ids in order.
        """
        return self._rings.copy()

    def defects(self) -> pd.DataFrame:
        """One row a defect of rings.

        Returns
        -------
        defects
            ``frame``, ``defect``, ``x`` and ``y`` of its middle in pixels, and ``sizes`` of its
            rings, such as "5-5-7-7".
        """
        found = self._rings[self._rings["group"] >= 0].sort_values(["frame", "group", "size"])
        found = found.assign(sizes=found["size"].astype(str))
        groups = found.groupby(["frame", "group"])
        table = groups.agg(
            {"defect": "first", "x": "mean", "y": "mean", "sizes": "-".join}
        ).reset_index()
        return table.drop(columns="group")

    def graph(self, frame: int = 0) -> Graph:
        """Bond graph of one frame as networkx has it.

        Parameters
        ----------
        frame
            Flat navigation index.

        Returns
        -------
        graph
            Nodes are the ids of the atoms, with ``x`` and ``y``; edges have a ``length``.
        """
        import networkx as nx

        graph = nx.Graph()
        here = rows_of_frame(self.atoms, frame)
        graph.add_nodes_from((i, {"x": x, "y": y}) for i, x, y in here[["x", "y"]].itertuples())
        bonds = self.bonds[self.bonds["frame"] == frame]
        graph.add_weighted_edges_from(
            bonds[["first", "second", "length"]].itertuples(index=False), weight="length"
        )
        return graph

    def plot(
        self, *, frame: int = 0, image: Any = None, ax: Axes | None = None, **kwargs: Any
    ) -> Axes:
        """Plot rings, coloured by size, and bonds of one frame.

        Parameters
        ----------
        frame
            Flat navigation index.
        image
            Image to draw below: a signal, of which `frame` is taken, or an array.
        ax
            Axes to draw on; new ones if not given.
        **kwargs
            Passed to :class:`matplotlib.collections.PolyCollection`, such as ``alpha``.

        Returns
        -------
        axes
            The axes drawn on.
        """
        from hyperspy_rvae.plotting.rings import plot_rings

        places = rows_of_frame(self.atoms, frame)[["x", "y"]]
        bonds = self.bonds.loc[self.bonds["frame"] == frame, ["first", "second"]].to_numpy()
        rings = self._rings.loc[self._rings["frame"] == frame, "atoms"]
        row = places.index.get_indexer
        xy = places.to_numpy()
        return plot_rings(
            [xy[row(ids)] for ids in rings],
            xy[row(bonds.ravel())].reshape(-1, 2, 2),
            image=None if image is None else frame_of(image, frame, self._shape),
            pixel=self._pixel,
            ax=ax,
            **kwargs,
        )

    def plot_map(
        self,
        column: str = "defect",
        *,
        frame: int = 0,
        image: Any = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes:
        """Plot a column of :attr:`atoms` at the atoms' places; as ``AtomLatents.plot_map``."""
        return map_column(self.atoms, column, frame, image, self._shape, self._pixel, ax, **kwargs)


def rings(
    image: AtomLatticeImage,
    sublattice: str | None = None,
    *,
    cut: float | None = None,
    show_progressbar: bool | None = None,
) -> Rings:
    """Bonds between neighbouring atoms, the rings that they make, and their defects.

    Parameters
    ----------
    sublattice
        Whose atoms; if not given, all.
    cut
        Largest length of a bond in pixels. If not given, it lies in the gap between nearest
        neighbours and those further out.
    show_progressbar
        If not given, HyperSpy's preference.

    Returns
    -------
    rings
        With a table of atoms, of rings and of defects, the graph and a plot.

    Warns
    -----
    UserWarning
        If atoms share a column, or there are no rings.

    Raises
    ------
    ValueError
        If no frame has two atoms, or these form no lattice, so that there is no gap for the cut.
    """
    check_image(image)
    table = select_sublattice(record.current_table(image, copy=False), sublattice)
    aspect = np.array([1.0, record.pixel_aspect(image)])
    places = table[["x", "y"]].to_numpy() * aspect
    rows_of_all = np.arange(len(table))
    frames = {frame: rows_of_all[rows] for frame, rows in rows_by_frame(table["frame"].to_numpy())}
    spacing = nearest_distance(table.assign(y=places[:, 1]))
    second = np.zeros(len(table), dtype=bool)
    for rows in frames.values():
        second[rows] = doubled(places[rows], spacing)
    _warn_doubled(second)
    whole = {frame: rows[~second[rows]] for frame, rows in frames.items()}
    if cut is None:
        cut = bond_cut([places[rows] for rows in whole.values()])
    check_number(cut, "cut")
    height, width = image.data.shape[-2:]
    depth = np.minimum(places, np.array([width, height]) * aspect - aspect - places).min(1)
    traced = each_table(
        partial(_trace, cut=float(cut)),
        [(places[rows], depth[rows] < BORDER * cut) for rows in whole.values()],
        show_progressbar,
    )
    return _gather(image, table, whole, second, traced, float(cut))


def _trace(frame: tuple[np.ndarray, np.ndarray], cut: float) -> dict[str, Any]:
    """Find the bonds and rings of one frame, by the atoms' places in it."""
    xy, unknown = frame
    bonds = bond_pairs(xy, cut)
    faces = trace_faces(xy, bonds)
    names, groups = name_faces(faces, regular_size(faces))
    none = np.zeros(len(xy), dtype=bool)
    inner = [(f, n, g) for f, n, g in zip(faces, names, groups, strict=True) if f.ring]
    return {
        "bonds": bonds,
        "length": np.hypot(*(xy[bonds[:, 0]] - xy[bonds[:, 1]]).T),
        "coordination": np.bincount(bonds.ravel(), minlength=len(xy)),
        "rings": sizes_of_atoms(len(xy), faces),
        "defect": name_atoms(len(xy), faces, names, unknown, none),
        "members": [face.atoms for face, _, _ in inner],
        "area": [face.area for face, _, _ in inner],
        "name": [name for _, name, _ in inner],
        "group": [int(group) for _, _, group in inner],
    }


def _gather(
    image: AtomLatticeImage,
    table: pd.DataFrame,
    frames: dict[int, np.ndarray],
    second: np.ndarray,
    traced: list[dict[str, Any]],
    cut: float,
) -> Rings:
    """Put the frames together, by atom ids."""
    ids, xy = table.index.to_numpy(), table[["x", "y"]].to_numpy()
    coordination = np.zeros(len(table), dtype=np.int64)
    sizes = np.full(len(table), "", dtype=object)
    defect = np.where(second, "doubled", "").astype(object)
    bonds, rows_of_rings = [], []
    aspect = record.pixel_aspect(image)
    for (frame, rows), found in zip(frames.items(), traced, strict=True):
        coordination[rows], sizes[rows] = found["coordination"], found["rings"]
        defect[rows] = found["defect"]
        first, last = ids[rows][found["bonds"]].T
        bonds.append(
            pd.DataFrame(
                {"frame": frame, "first": first, "second": last, "length": found["length"]}
            )
        )
        for members, area, name, group in zip(
            found["members"], found["area"], found["name"], found["group"], strict=True
        ):
            x, y = xy[rows[members]].mean(0)
            atoms = tuple(ids[rows[members]].tolist())
            rows_of_rings.append((frame, len(atoms), x, y, area / aspect, name, group, atoms))
    listed = pd.DataFrame(rows_of_rings, columns=RING_COLUMNS)
    if listed.empty:
        warnings.warn(
            f"bonds of up to {cut:.1f} px join the atoms into no ring; see the column "
            "coordination, and give another cut if bonds are missing.",
            stacklevel=3,
        )
    own = table.copy()  # else the image's numbers could be changed through it
    return Rings(
        own.assign(coordination=coordination, rings=sizes, defect=defect),
        pd.concat(bonds, ignore_index=True),
        cut,
        listed,
        image.data.shape[-2:],
        record.image_pixel(image),
    )


def _warn_doubled(second: np.ndarray) -> None:
    if second.any():
        warnings.warn(
            f"{second.sum()} atoms lie within half a spacing of another, as two seeds on one "
            'column do; they are named "doubled" and left out of the bonds.',
            stacklevel=3,
        )
