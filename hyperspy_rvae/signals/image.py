"""Image or movie with the table of its atoms."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from hyperspy.signals import LazySignal2D, Signal2D

from hyperspy_rvae.lattice.table import as_table, replace_sublattice, select_sublattice
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.checks import check_choice, check_image, movie_of
from hyperspy_rvae.signals.displacements import AtomDisplacements, Units, map_displacements
from hyperspy_rvae.signals.extraction import Centres, extract
from hyperspy_rvae.signals.frames import each_frame
from hyperspy_rvae.subimages.windows import Edge

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.latents import AtomLatents
    from hyperspy_rvae.signals.subimages import AtomSubimages

Contrast = Literal["bright", "dark"]
Refinement = Literal["gaussian", "center_of_mass"]

_logger = logging.getLogger(__name__)


class AtomLatticeImage(Signal2D):
    """Image or movie with the table of its atoms: ``(any navigation | x, y)``.

    The table follows crops, rebins and slices. What moves pixels but no axis (``align2D``,
    ``map``, ``hs.stack``, a transpose) leaves it behind; set the atoms again after those.
    """

    _signal_type = "atom_lattice"
    _alias_signal_types = ["AtomLatticeImage"]

    def _slicer(self, slices, isNavigation=None, out=None):
        array_slices = self._get_array_slices(slices, isNavigation)
        sliced = super()._slicer(slices, isNavigation, out)
        record.note_slice(self, sliced if out is None else out, array_slices)
        return sliced

    @property
    def atoms(self) -> pd.DataFrame:
        """Table of the atoms on the image as it is now; a copy.

        Indexed by atom id, with the columns ``frame`` (flat navigation index), ``x``, ``y``
        (pixels, column and row, integer = pixel centre), ``sublattice``, and what the fit gave:
        ``sigma_x``, ``sigma_y`` (pixels), ``rotation`` (of the axis of sigma_x, radians,
        counter-clockwise as displayed), ``amplitude`` (volume under the Gaussian, as atomap's;
        negative for dark columns).

        Raises
        ------
        ValueError
            If there are no atoms yet, or the image was changed so that they cannot be followed.
        """
        return record.current_table(self)

    def set_atoms(self, atoms: pd.DataFrame | np.ndarray | Mapping[int, np.ndarray]) -> None:
        """Set the table of atoms; what was there is replaced.

        Parameters
        ----------
        atoms
            A DataFrame with ``x`` and ``y`` in pixels and, where they matter, ``frame`` and
            ``sublattice``; or an ``(n, 2)`` array of x and y for a single image; or a dict of
            frame number to such an array. It is sorted by frame, and the ids are the rows.

        Raises
        ------
        TypeError
            If `atoms` is none of the three.
        ValueError
            If a column is missing, or a position is not finite, outside the image, of a frame
            that is not there, or given twice.

        Examples
        --------
        >>> import hyperspy.api as hs
        >>> import numpy as np
        >>> s = hs.signals.Signal2D(np.random.default_rng(0).random((20, 30)))
        >>> s.set_signal_type("atom_lattice")
        >>> s.set_atoms(np.array([[4.0, 5.5], [12.25, 6.0]]))
        >>> len(s.atoms)
        2
        """
        check_image(self)
        record.write_table(self, as_table(atoms, self._frame_count, self.data.shape[-2:]))

    def find_atoms(
        self,
        separation: float | None = None,
        *,
        sublattice: str = "A",
        contrast: Contrast = "bright",
        refine: bool = True,
        show_progressbar: bool | None = None,
    ) -> None:
        """Find the atoms of every frame, by atomap's peak finding.

        Atoms of the same sublattice found before are replaced; the ids start anew.

        Parameters
        ----------
        separation
            Smallest distance between two atoms in pixels. If not given, it is estimated from the
            first frame.
        sublattice
            Name of the sublattice that the atoms become.
        contrast
            Whether atoms are brighter or darker than their surroundings.
        refine
            Whether positions are refined by centre of mass and then by a 2-D Gaussian fit.
        show_progressbar
            If not given, HyperSpy's preference.

        Raises
        ------
        ValueError
            If nothing is found, `separation` is impossible, or pixels are not finite.
        """
        from hyperspy_rvae.lattice.finding import bright_atoms, estimate_separation
        from hyperspy_rvae.lattice.routes import find_columns

        check_image(self)
        check_choice(contrast, get_args(Contrast), "contrast")
        self._check_name(sublattice)
        movie = movie_of(self)
        if separation is None:
            separation = estimate_separation(bright_atoms(np.asarray(movie[0]), contrast))
            _logger.info("atoms are at least %.1f px apart, as estimated from the first frame", separation)
        found = each_frame(
            find_columns,
            movie,
            [(separation, contrast, refine)] * len(movie),
            show_progressbar,
        )
        before = record.current_table(self) if record.has_table(self) else None
        self._replace(replace_sublattice(before, sublattice, found))

    def find_sublattice(
        self,
        sublattice: str = "B",
        *,
        reference: str = "A",
        position: tuple[float, float] = (0.5, 0.5),
        show_progressbar: bool | None = None,
    ) -> None:
        """Find a second sublattice at a fraction of the cell of a first one.

        The columns of every sublattice found before are subtracted first, so that a faint column
        between bright ones is not drawn towards them; then the positions are refined by centre of
        mass and a 2-D Gaussian fit.

        Parameters
        ----------
        sublattice
            Name of the new sublattice; if it is there already, it is replaced.
        reference
            Sublattice whose lattice vectors span the cell.
        position
            Fractions of the two lattice vectors. (0.5, 0.5) is the centre of the cell.
        show_progressbar
            If not given, HyperSpy's preference.

        Raises
        ------
        ValueError
            If `reference` is unknown, or its atoms form no lattice.
        """
        from hyperspy_rvae.lattice.routes import find_second_columns

        check_image(self)
        self._check_name(sublattice)
        if sublattice == reference:
            raise ValueError(f"the new sublattice needs another name than its reference, {reference!r}.")
        table = self.atoms
        select_sublattice(table, reference)
        table = table[table["sublattice"] != sublattice]
        found = each_frame(
            find_second_columns,
            movie_of(self),
            [(rows, reference, tuple(position)) for rows in self._by_frame(table)],
            show_progressbar,
        )
        self._replace(replace_sublattice(table, sublattice, found))

    def refine_atoms(
        self,
        sublattice: str | None = None,
        *,
        method: Refinement = "gaussian",
        percent_to_nn: float | None = None,
        show_progressbar: bool | None = None,
    ) -> None:
        """Refine the positions in place, one sublattice after the other.

        Each sublattice is fitted after those that stand before it in the table have been
        subtracted. An atom whose fit fails keeps its position, and its widths are NaN.

        Parameters
        ----------
        sublattice
            Which to refine; if not given, all.
        method
            2-D Gaussian fit or centre of mass, both atomap's.
        percent_to_nn
            Radius of the mask around each atom, as a fraction of the distance to its nearest
            neighbour in its sublattice. If not given, 0.25 for the centre of mass, 0.4 for the
            Gaussian, and 0.3 for Gaussians of sublattices after the first, which lie between.
        show_progressbar
            If not given, HyperSpy's preference.

        Raises
        ------
        ValueError
            If `sublattice` is unknown or there are no atoms yet.
        """
        from hyperspy_rvae.lattice.routes import refine_columns

        check_image(self)
        check_choice(method, get_args(Refinement), "method")
        table = self.atoms
        select_sublattice(table, sublattice)
        refined = each_frame(
            refine_columns,
            movie_of(self),
            [(rows, sublattice, method, percent_to_nn) for rows in self._by_frame(table)],
            show_progressbar,
        )
        self._replace(refined)

    def extract_subimages(
        self,
        window_size: int | None = None,
        sublattice: str | None = None,
        *,
        centres: Centres = "atoms",
        step: int | None = None,
        order: int = 3,
        edge: Edge = "drop",
    ) -> AtomSubimages:
        """Cut a window around every atom, or around every point of a grid.

        Parameters
        ----------
        window_size
            Side of the window in pixels, odd or even. If not given, the odd number nearest to 2.5
            distances between nearest neighbours; it is logged and kept in
            ``metadata.Atoms.window``.
        sublattice
            Whose atoms; if not given, all.
        centres
            "atoms", or "grid" for a window that slides over the image.
        step
            Distance between the points of the grid in pixels; half a window if not given.
        order
            Order of the spline that samples the window at the sub-pixel centre: 1 linear, 3 cubic.
        edge
            "drop" leaves out windows that leave the image, "reflect" fills them by mirroring it.

        Returns
        -------
        subimages
            ``(atom | x, y)``, float32; the values of the atom axis are the atoms' ids. Lazy if
            the image is, with chunks that are known at once.

        Raises
        ------
        ValueError
            If the window is smaller than 5 pixels or larger than the image, no atom has a whole
            window, or `sublattice` is unknown.
        """
        return extract(self, window_size, sublattice, centres, step, order, edge)

    def fit_rvae(
        self, window_size: int | None = None, sublattice: str | None = None, **parameters: Any
    ) -> AtomLatents:
        """Cut subimages and fit a rotationally and translationally invariant VAE to them.

        Parameters
        ----------
        window_size, sublattice
            As in :meth:`extract_subimages`.
        **parameters
            As in :meth:`AtomSubimages.fit_rvae`.

        Returns
        -------
        latents
            ``(atom | latent)``, with the model inside.
        """
        return self.extract_subimages(window_size, sublattice).fit_rvae(**parameters)

    def fit_vae(
        self, window_size: int | None = None, sublattice: str | None = None, **parameters: Any
    ) -> AtomLatents:
        """Cut subimages and fit a VAE without invariances to them; see :meth:`fit_rvae`."""
        return self.extract_subimages(window_size, sublattice).fit_vae(**parameters)

    def displacement_map(
        self, sublattice: str = "B", reference: str = "A", *, units: Units = "px"
    ) -> AtomDisplacements:
        """Displacement of each atom from the centre of the reference atoms around it.

        Parameters
        ----------
        sublattice
            Whose displacements.
        reference
            Sublattice whose nearest atoms, taken together, mark the ideal site.
        units
            "px", "axes" (the units of the image's axes) or "pm". Each axis' own scale is used.

        Returns
        -------
        displacements
            ``(atom | component)``: u right, v down; atom minus ideal site. NaN where a reference
            atom is missing, as at the rim and beside a vacancy.

        Raises
        ------
        ValueError
            If a sublattice is unknown, the atoms do not sit between the reference atoms, or the
            axes are not calibrated in a length.
        """
        return map_displacements(self, sublattice, reference, units)

    def to_atomap(self, frame: int = 0) -> Any:
        """One frame and its atoms as an ``atomap.atom_lattice.Atom_Lattice``.

        Parameters
        ----------
        frame
            Flat navigation index.

        Returns
        -------
        lattice
            One ``Sublattice`` for each sublattice of the frame. atomap has one pixel size; it is
            that of the x axis.
        """
        from hyperspy_rvae.lattice.atomap import to_atom_lattice

        table = self.atoms
        if frame not in range(self._frame_count):
            raise ValueError(f"frame {frame!r} is not there; the image has frames 0 to {self._frame_count - 1}.")
        rows = table[table["frame"] == frame]
        if rows.empty:
            raise ValueError(f"frame {frame} has no atoms.")
        axis = record.image_axes(self)[-1]
        image = np.asarray(movie_of(self)[frame])
        return to_atom_lattice(image, rows, pixel_size=axis.scale, units=axis.units or "pixel")

    def plot_atoms(self, **kwargs: Any) -> Axes:
        """Plot the image with its atoms as markers, one colour a sublattice, frame by frame.

        Parameters
        ----------
        **kwargs
            Passed to :meth:`hyperspy.api.signals.Signal2D.plot`.

        Returns
        -------
        axes
            The axes of the image.
        """
        from hyperspy_rvae.signals.markers import plot_markers

        return plot_markers(self, self.atoms, **kwargs)

    @property
    def _frame_count(self) -> int:
        return max(1, self.axes_manager.navigation_size)

    def _by_frame(self, table: pd.DataFrame) -> list[pd.DataFrame]:
        return [table[table["frame"] == frame] for frame in range(self._frame_count)]

    def _replace(self, table: pd.DataFrame) -> None:
        record.write_table(self, as_table(table, self._frame_count, self.data.shape[-2:]))

    @staticmethod
    def _check_name(sublattice: object) -> None:
        if not isinstance(sublattice, str) or not sublattice:
            raise ValueError(f"a sublattice needs a name, such as 'A', got {sublattice!r}.")


class LazyAtomLatticeImage(LazySignal2D, AtomLatticeImage):
    """Lazy :class:`AtomLatticeImage`."""
