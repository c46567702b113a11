"""Vectors of atoms: their components, their field, and how it is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.values import AtomValues

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.properties import AtomProperties

COMPONENTS = ("u", "v")


def has_vector(signal: AtomVectors) -> np.ndarray:
    """Whether each atom of the axis has a vector, shape ``(n,)``; those of ``vector_rows`` do."""
    return ~np.isnan(np.asarray(signal.data)).any(axis=1)


class AtomVectors(AtomValues):
    """A vector per atom: u, right, and v, down as displayed."""

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
        units = record.read_node(self, "displacement").get("units")
        if not isinstance(units, str):
            raise ValueError("these vectors have no units; they come from displacement_map().")
        return units

    def units_of(self, column: str) -> str:
        """Units of a column: those of the vectors, radians for ``angle``, "" for others."""
        lengths = {*COMPONENTS, "magnitude", "u_std", "v_std"}
        return self.units if column in lengths else {"angle": "rad"}.get(column, "")

    def vector_rows(self) -> pd.DataFrame:
        """Rows of :meth:`to_dataframe` that have both components.

        Raises
        ------
        ValueError
            If a component was cut off, or no atom has a vector.
        """
        rows = self._components().dropna(subset=list(COMPONENTS))
        if rows.empty:
            raise ValueError("no atom has a vector; all are NaN.")
        return rows

    def vectors_of(self, frame: int) -> pd.DataFrame:
        """Rows of :meth:`vector_rows` that are in one frame.

        Raises
        ------
        ValueError
            If there are none.
        """
        rows = self.vector_rows()
        here = rows[rows["frame"] == frame]
        if here.empty:
            raise ValueError(
                f"frame {frame!r} has no displacements; there are frames {rows['frame'].min()} to "
                f"{rows['frame'].max()}."
            )
        return here

    def _components(self) -> pd.DataFrame:
        missing = [name for name in COMPONENTS if name not in self.columns]
        if missing:
            raise ValueError(f"the component {missing[0]} was cut off; take both before slicing.")
        return self.to_dataframe()

    def magnitude(self) -> pd.Series:
        """Length of each vector, in :attr:`units`, by atom id; NaN where there is none."""
        table = self._components()
        return np.hypot(table["u"], table["v"]).rename("magnitude")

    def angle(self) -> pd.Series:
        """Direction of each vector by atom id, radians, counter-clockwise as displayed.

        In (-pi, pi]; 0 is to the right. NaN where there is no vector.
        """
        table = self._components()
        # 0 - v, so that a vector to the left has the angle pi and not -pi
        return np.arctan2(0.0 - table["v"], table["u"]).rename("angle")

    def gradient_map(self) -> AtomProperties:
        """Divergence and curl of the field, and its gradient, from the four neighbours.

        Returns
        -------
        properties
            ``du_dx``, ``du_dy``, ``dv_dx``, ``dv_dy`` (y down), ``divergence`` and ``curl``
            (counter-clockwise as displayed), in :attr:`units` per unit of the image's axes; NaN
            where neighbours do not lie on two sides at least.
        """
        from hyperspy_rvae.signals.physics import gradient_map

        return gradient_map(self)

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
        table = self.vectors_of(frame)[["x", "y", *COMPONENTS]].to_numpy(dtype=np.float64)
        x, y, u, v = (np.ascontiguousarray(column) for column in table.T)
        return x, y, u, v

    def plot(
        self, column: str | None = None, *, frame: int = 0, image: Any = None, **kwargs: Any
    ) -> Axes:
        """Plot the vectors of one frame as coloured arrows.

        Parameters
        ----------
        column
            Column of the table that colours the arrows: ``cluster``, ``class``, ``domain``. If not
            given, ``class`` or ``cluster`` where there is one and no style is asked for; else
            temul draws them, coloured by magnitude.
        frame
            Flat navigation index of the image.
        image
            Image to draw below them: a signal, of which `frame` is taken, or an array. If not
            given, the background is plain.
        **kwargs
            Arguments of temul's ``plot_polarisation_vectors``, such as ``plot_style`` ("colormap",
            "vector", "contour", "colorwheel", "polar_colorwheel"), ``cmap`` or ``scale`` (length of
            a vector for one pixel of arrow; a long one spans a lattice step if not given); and
            ``save``, the file to write the figure to. Nothing is written without it. With a
            `column`, arguments of :meth:`matplotlib.axes.Axes.quiver`, and ``ax``.

        Returns
        -------
        axes
            The axes drawn on; the colour bar has the vectors' units, colour wheels a legend.

        Raises
        ------
        ValueError
            If `frame` has no displacements, or there is no such column.
        """
        from hyperspy_rvae.signals.drawing import draw_vectors

        return draw_vectors(self, column, frame, image, kwargs)

    def plot_comparison(
        self, other: AtomVectors, *, frame: int = 0, image: Any = None, **kwargs: Any
    ) -> np.ndarray:
        """Plot these vectors beside others, such as before and after denoising.

        Parameters
        ----------
        other
            Vectors of the same image, drawn on the right with the same colours and lengths.
        frame, image
            As in :meth:`plot`.
        **kwargs
            Passed to :meth:`matplotlib.axes.Axes.quiver`.

        Returns
        -------
        axes
            Both, left and right.
        """
        from hyperspy_rvae.signals.drawing import draw_comparison

        return draw_comparison(self, other, frame, image, kwargs)

    def plot_histograms(self, *, frame: int | None = None, bins: int = 36) -> np.ndarray:
        """Plot histograms of magnitude and, on the circle, of direction.

        Parameters
        ----------
        frame
            Flat navigation index of the image; all frames if not given.
        bins
            Number of bins of each.

        Returns
        -------
        axes
            Of the magnitude, and polar of the direction, counter-clockwise as displayed.
        """
        from hyperspy_rvae.signals.drawing import draw_histograms

        return draw_histograms(self, frame, bins)

    def plot_tsne(
        self,
        column: str | None = None,
        *,
        radius: int = 1,
        perplexity: float = 30.0,
        seed: int | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes:
        """Plot the neighbourhoods in a plane, alike ones beside each other, by t-SNE.

        Parameters
        ----------
        column
            Column of the table that colours them; the angle if not given.
        radius
            Lattice steps of the neighbourhood; 0 for the vector alone.
        perplexity
            About how many neighbours a sample has.
        seed
            Of the start.
        ax
            Axes to draw on; new ones if not given.
        **kwargs
            Passed to :meth:`matplotlib.axes.Axes.scatter`.
        """
        from hyperspy_rvae.signals.drawing import draw_tsne

        return draw_tsne(self, column, radius, perplexity, seed, ax, kwargs)
