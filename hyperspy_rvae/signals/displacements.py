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
from hyperspy_rvae.signals.build import atom_axis, like
from hyperspy_rvae.signals.checks import check_choice

if TYPE_CHECKING:
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
        return record.stored_table(self).loc[record.atom_ids(self)]

    @property
    def columns(self) -> list[str]:
        """Names of the components, in order."""
        index = np.rint(self.axes_manager.signal_axes[0].axis).astype(int)
        return [COMPONENTS[k] for k in index]

    @property
    def units(self) -> str:
        """Units of the vectors, such as "px" or "pm"."""
        return str(record.read(self, "displacement")["units"])

    def to_dataframe(self) -> pd.DataFrame:
        """Put the vectors beside the table of the atoms."""
        vectors = pd.DataFrame(
            np.asarray(self.data), columns=self.columns, index=record.atom_ids(self)
        )
        return self.atoms.join(vectors)

    def to_temul(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Positions and vectors as temul's functions take them.

        Returns
        -------
        x, y, u, v
            float64, shape ``(n,)`` each; positions in pixels, vectors in :attr:`units` with v
            down, atom minus ideal site, as temul's ``find_polarisation_vectors(ideal, atoms)``.
            Atoms without a displacement are left out.
        """
        table = self.to_dataframe()[["x", "y", *COMPONENTS]].dropna().to_numpy(dtype=np.float64)
        return tuple(np.ascontiguousarray(column) for column in table.T)

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

        here = self.to_dataframe()
        here = here[here["frame"] == frame].dropna(subset=list(COMPONENTS))
        if here.empty:
            raise ValueError(f"frame {frame!r} has no displacements.")
        return plot_vectors(
            here[["x", "y"]].to_numpy(),
            here[list(COMPONENTS)].to_numpy(),
            units=self.units,
            image=None if image is None else frame_of(image, frame),
            pixel=record.pixel(self),
            **kwargs,
        )


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
    if sublattice == reference:
        raise ValueError(
            f"sublattice and reference are both {reference!r}; displacements need two sublattices."
        )
    axes = record.image_axes(image)
    factors, name = _units(axes[-1], axes[-2], units)
    vectors = _by_frame(atoms, around)
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
    references = dict(list(around.groupby("frame")))
    shell = None
    for frame, rows in atoms.groupby("frame"):
        if frame not in references:
            continue
        xy, corners = rows[["x", "y"]].to_numpy(), references[frame][["x", "y"]].to_numpy()
        shell = shell or coordination(xy, corners)
        vectors.loc[rows.index] = displacements(xy, neighbour_centres(xy, corners, *shell))
    check_centred(vectors.to_numpy(), shell[1] if shell else 0.0)
    return vectors.to_numpy()


def _units(x_axis: Any, y_axis: Any, units: Units) -> tuple[np.ndarray, str]:
    """Find what u and v in pixels are to be multiplied with, and the units then."""
    if units == "px":
        return np.ones(2), "px"
    target = "pm" if units == "pm" else x_axis.units
    factors = [abs(axis.scale) * unit_factor(axis.units, target) for axis in (x_axis, y_axis)]
    return np.array(factors), target or "axes"
