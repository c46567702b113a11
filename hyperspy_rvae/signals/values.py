"""What signals with a few numbers per atom have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from hyperspy.signals import Signal1D

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import beside

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal, Signal2D
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.regions import Regions


class AtomValues(Signal1D):
    """A few numbers per atom, measured and not learned; what its kinds have in common."""

    @property
    def atoms(self) -> pd.DataFrame:
        """Table of these atoms, row for row with the atom axis; positions in pixels."""
        return record.listed_atoms(self)

    @property
    def columns(self) -> list[str]:
        """Names of the numbers, in order."""
        raise NotImplementedError

    def units_of(self, column: str) -> str:
        """Units of a column, "" where it has none."""
        raise NotImplementedError

    def rebin(self, *args: Any, **kwargs: Any) -> BaseSignal | None:
        """Rebin as HyperSpy does; sums over atoms have no row of the table any more."""
        rebinned = super().rebin(*args, **kwargs)
        if rebinned is not None:
            record.note_rebin(self, rebinned)
        return rebinned

    def to_dataframe(self) -> pd.DataFrame:
        """Put the numbers beside the table of the atoms.

        Returns
        -------
        table
            One row an atom, indexed by its id: the columns of :attr:`atoms`, then those of
            :attr:`columns`, NaN where there is none. They take the place of columns of their name.
            ``to_dataframe().to_csv(path)`` writes it as text.
        """
        return beside(record.listed_atoms(self), np.asarray(self.data), self.columns)

    def to_image(
        self, columns: str | list[str] | None = None, *, frame: int = 0, step: int = 1
    ) -> Signal2D:
        """Interpolate the numbers onto a regular grid.

        Parameters
        ----------
        columns
            Names of numbers, of this signal or of the table; if not given, :attr:`columns`.
        frame
            Flat navigation index of the image.
        step
            Pixels of the image between points of the grid.

        Returns
        -------
        image
            ``(column | x, y)``, or ``(| x, y)`` for one name, calibrated as the image is; linear
            between the atoms, NaN outside them.

        Raises
        ------
        ValueError
            If a column is unknown or no number, or the frame has fewer than four atoms.
        """
        from hyperspy_rvae.signals.regions import to_image

        return to_image(self, self.columns if columns is None else columns, frame, step)

    def average_in_regions(self, regions: Regions = 8, *, frame: int = 0) -> pd.DataFrame:
        """Average the numbers in parts of the image.

        Parameters
        ----------
        regions
            Number of parts along x and y, or both numbers; or a HyperSpy ROI, or several by name,
            in the units of the image's axes.
        frame
            Flat navigation index of the image.

        Returns
        -------
        table
            One row a region that has atoms: ``x`` and ``y`` (mean position, pixels), the means, the
            same with ``_sem`` (standard error of the mean, NaN for one atom), and ``count``.

        Raises
        ------
        ValueError
            If there is no atom with numbers in any region.
        """
        from hyperspy_rvae.signals.regions import average_in_regions

        return average_in_regions(self, regions, frame)

    def line_profile(self, line: Any, *, frame: int = 0, step: float | None = None) -> pd.DataFrame:
        """Average the numbers across a line, as a profile along it.

        Parameters
        ----------
        line
            A :class:`hyperspy.api.roi.Line2DROI`; its width takes in the atoms to either side.
        frame
            Flat navigation index of the image.
        step
            Length of a bin in the units of the image's axes; if not given, half the distance
            between nearest neighbours.

        Returns
        -------
        profile
            Indexed by ``distance`` from the line's start (mean of the bin's atoms, units of the
            axes): the means, the same with ``_sem``, and ``count``. Displacements come with
            ``along`` and ``across``, the components in the line's direction and 90 degrees
            counter-clockwise of it as displayed.

        Raises
        ------
        ValueError
            If no atom with numbers lies within the line's width.
        """
        from hyperspy_rvae.signals.regions import line_profile

        return line_profile(self, line, frame, step)

    def plot_map(
        self,
        column: str,
        *,
        frame: int = 0,
        image: Any = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes:
        """Plot a number, or a column of the table, at the atoms' places.

        Parameters
        ----------
        column
            Name of one of :attr:`columns` or of a column of the table. Angles get cyclic colours,
            and numbers of both signs colours that diverge from zero.
        frame
            Flat navigation index of the image.
        image
            Image to draw below the atoms: a signal, of which `frame` is taken, or an array.
        ax
            Axes to draw on; new ones if not given.
        **kwargs
            Passed to :meth:`matplotlib.axes.Axes.scatter`, such as ``s``, ``cmap``, ``vmin``.

        Returns
        -------
        axes
            With a colour bar that has units, and a scale bar where the image is calibrated.

        Raises
        ------
        ValueError
            If there is no such column, or `frame` has no atoms.
        """
        from hyperspy_rvae.signals.drawing import draw_map

        return draw_map(self, column, frame, image, ax, kwargs)
