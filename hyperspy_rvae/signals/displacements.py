"""A vector per atom, with its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from hyperspy.signals import LazySignal1D, Signal1D

from hyperspy_rvae.lattice.axes import pack_axes, unit_factor
from hyperspy_rvae.lattice.displacements import (
    check_centred,
    coordination,
    displacements,
    neighbour_centres,
)
from hyperspy_rvae.lattice.table import pack, select_sublattice
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import atom_axis, beside, like
from hyperspy_rvae.signals.checks import check_choice

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.image import AtomLatticeImage

Units = Literal["px", "axes", "pm"]
COMPONENTS = ("u", "v")


class AtomDisplacements(Signal1D):
    """A vector per atom, with its reference: ``(atom | component)``.

    The components are u, right, and v, down as displayed; atom minus ideal site.
    """

    _signal_type = "atom_displacements"
    _alias_signal_types = ["AtomDisplacements"]

    @property
    def atoms(self) -> pd.DataFrame:
        """Table of these atoms, row for row with the atom axis; positions in pixels."""
        return record.listed_atoms(self)

    def rebin(self, *args: Any, **kwargs: Any) -> BaseSignal | None:
        """Rebin as HyperSpy does; sums over atoms have no row of the table any more."""
        rebinned = super().rebin(*args, **kwargs)
        if rebinned is not None:
            record.note_rebin(self, rebinned)
        return rebinned

    @property
    def columns(self) -> list[str]:
        """Names of the components, in order."""
        index = record.whole_axis(self.axes_manager.signal_axes[0], "component")
        if not 0 <= index.min() <= index.max() < len(COMPONENTS):
            raise ValueError(f"a displacement has the components u and v, not {len(index)} others.")
        return [COMPONENTS[k] for k in index]

    @property
    def units(self) -> str:
        """Units of the vectors, such as "px" or "pm"."""
        described = record.read(self, "displacement")
        if not isinstance(described, dict) or not isinstance(described.get("units"), str):
            raise ValueError("these vectors have no units; they come from displacement_map().")
        return described["units"]

    def to_dataframe(self) -> pd.DataFrame:
        """Put the vectors beside the table of the atoms.

        Returns
        -------
        table
            One row an atom, indexed by its id: the columns of :attr:`atoms`, then u (right) and v
            (down) in :attr:`units`, NaN where there is none. They take the place of columns of
            their name.
        """
        return beside(self.atoms, np.asarray(self.data), self.columns)

    def to_temul(self, frame: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Positions and vectors of one frame as temul's functions take them.

        Parameters
        ----------
        frame
            Flat navigation index of the image.

        Returns
        -------
        x, y, u, v
            float64, shape ``(n,)`` each; positions in pixels, vectors in :attr:`units` with v
            down, atom minus ideal site, as temul's ``find_polarisation_vectors(ideal, atoms)``.
            Atoms without a displacement are left out.

        Raises
        ------
        ValueError
            If `frame` has no displacements, or a component was cut off.
        """
        table = self._vectors(frame)[["x", "y", *COMPONENTS]].to_numpy(dtype=np.float64)
        x, y, u, v = (np.ascontiguousarray(column) for column in table.T)
        return x, y, u, v

    def plot(self, *, frame: int = 0, image: Any = None, **kwargs: Any) -> Axes:
        """Plot the vectors of one frame as coloured arrows, by temul.

        Parameters
        ----------
        frame
            Flat navigation index of the image.
        image
            Image to draw below them: a signal, of which `frame` is taken, or an array. If not
            given, the background is plain.
        **kwargs
            Arguments of temul's ``plot_polarisation_vectors``, such as ``plot_style`` ("colormap",
            "vector", "contour", "colorwheel", "polar_colorwheel"), ``scale`` or ``cmap``; and
            ``save``, the file to write the figure to. Nothing is written without it.

        Returns
        -------
        axes
            The axes drawn on, of a figure of their own; the colour bar has the vectors' units.

        Raises
        ------
        ValueError
            If `frame` has no displacements.
        """
        from hyperspy_rvae.plotting.temul import plot_vectors
        from hyperspy_rvae.signals.frames import frame_of

        here = self._vectors(frame)
        return plot_vectors(
            here[["x", "y"]].to_numpy(),
            here[list(COMPONENTS)].to_numpy(),
            units=self.units,
            image=None if image is None else frame_of(image, frame, record.image_shape(self)),
            pixel=record.pixel(self),
            **kwargs,
        )

    def _vectors(self, frame: int) -> pd.DataFrame:
        """Rows of one frame that have a displacement."""
        missing = [name for name in COMPONENTS if name not in self.columns]
        if missing:
            raise ValueError(f"the component {missing[0]} was cut off; take both before slicing.")
        table = self.to_dataframe()
        here = table[table["frame"] == frame].dropna(subset=list(COMPONENTS))
        if here.empty:
            raise ValueError(
                f"frame {frame!r} has no displacements; there are frames {table['frame'].min()} to "
                f"{table['frame'].max()}."
            )
        return here


class LazyAtomDisplacements(LazySignal1D, AtomDisplacements):
    """Lazy :class:`AtomDisplacements`."""

    plot = AtomDisplacements.plot


def map_displacements(
    image: AtomLatticeImage, sublattice: str, reference: str, units: Units
) -> AtomDisplacements:
    """Displacements from the neighbours' centres; as ``AtomLatticeImage.displacement_map``."""
    check_choice(units, get_args(Units), "units")
    table = image.atoms
    atoms = select_sublattice(table, sublattice)
    around = select_sublattice(table, reference)
    if "converged" in table and table["converged"].any():
        around = around[around["converged"]]
    if sublattice == reference:
        raise ValueError(
            f"sublattice and reference are both {reference!r}; displacements need two sublattices."
        )
    axes = record.image_axes(image)
    factors, name = _units(axes[-1], axes[-2], units)
    vectors = _by_frame(atoms, around)
    if "converged" in table and table["converged"].any():
        vectors = np.where(atoms[["converged"]], vectors, np.nan)
    return like(
        image,
        vectors * factors,
        [atom_axis(atoms.index.to_numpy()), {"name": "component", "size": 2, "navigate": False}],
        "atom_displacements",
        {
            "table": pack(table),
            "axes": pack_axes(axes),
            "displacement": {"sublattice": sublattice, "reference": reference, "units": name},
        },
    )


def _by_frame(atoms: pd.DataFrame, around: pd.DataFrame) -> np.ndarray:
    """Vectors in pixels, row for row with `atoms`."""
    vectors = pd.DataFrame(np.nan, index=atoms.index, columns=list(COMPONENTS))
    references = {frame: rows[["x", "y"]].to_numpy() for frame, rows in around.groupby("frame")}
    both = {
        frame: rows for frame, rows in atoms.groupby("frame") if len(references.get(frame, ())) > 0
    }
    if not both:
        raise ValueError("no frame has atoms of both sublattices, so there is nothing to measure.")
    fullest = max(both, key=lambda frame: len(references[frame]))
    neighbours, reach = coordination(both[fullest][["x", "y"]].to_numpy(), references[fullest])
    for frame, rows in both.items():
        xy = rows[["x", "y"]].to_numpy()
        centres = neighbour_centres(xy, references[frame], neighbours, reach)
        vectors.loc[rows.index] = displacements(xy, centres)
    check_centred(vectors.to_numpy(), reach)
    return vectors.to_numpy()


def _units(x_axis: Any, y_axis: Any, units: Units) -> tuple[np.ndarray, str]:
    """Find what u and v in pixels are to be multiplied with, and the units then."""
    if units == "px":
        return np.ones(2), "px"
    target = "pm" if units == "pm" else x_axis.units
    factors = [abs(axis.scale) * unit_factor(axis.units, target) for axis in (x_axis, y_axis)]
    return np.array(factors), target or "axes"
