"""Image or movie with the table of its atoms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from hyperspy.signals import LazySignal2D, Signal2D

from hyperspy_rvae.lattice.finding import Contrast, Finder
from hyperspy_rvae.lattice.routes import Refinement
from hyperspy_rvae.lattice.table import as_table
from hyperspy_rvae.signals import record, structure
from hyperspy_rvae.signals.atomap import to_atomap
from hyperspy_rvae.signals.checks import check_image, frame_count
from hyperspy_rvae.signals.displacements import AtomDisplacements, Units, map_displacements
from hyperspy_rvae.signals.extraction import Centres, extract
from hyperspy_rvae.signals.finding import find, find_second, refine
from hyperspy_rvae.subimages.windows import Edge

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.latents import AtomLatents
    from hyperspy_rvae.signals.subimages import AtomSubimages


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
        record.write_table(self, as_table(atoms, frame_count(self), self.data.shape[-2:]))

    def find_atoms(
        self,
        separation: float | None = None,
        *,
        sublattice: str = "A",
        contrast: Contrast = "bright",
        method: Finder = "laplacian_of_gaussian",
        refine: bool = True,
        show_progressbar: bool | None = None,
    ) -> None:
        """Find the atoms of every frame.

        Atoms of the same sublattice found before are replaced, others stay, and the ids start
        anew. Frames of a movie in which nothing is found are warned of, and get no atoms.

        Parameters
        ----------
        separation
            Smallest distance between two atoms in pixels. If not given, it is estimated from the
            first frame that has atoms, and a sublattice between brighter ones is left out.
        sublattice
            Name of the sublattice that the atoms become.
        contrast
            Whether atoms are brighter or darker than their surroundings.
        method
            "laplacian_of_gaussian" filters the image by a Gaussian's Laplacian as wide as the
            atoms; "atomap" takes the peaks of the image as it is.
        refine
            Whether positions are refined by centre of mass and then by a 2-D Gaussian fit.
        show_progressbar
            If not given, HyperSpy's preference.

        Raises
        ------
        ValueError
            If nothing is found at all, `separation` is impossible, or pixels are not finite.
        """
        find(self, separation, sublattice, contrast, method, refine, show_progressbar)

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
        mass and a 2-D Gaussian fit. A frame without atoms of the reference gets none.

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
            If `reference` is unknown, or its atoms form no lattice in any frame.
        """
        find_second(self, sublattice, reference, position, show_progressbar)

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
        refine(self, sublattice, method, percent_to_nn, show_progressbar)

    assign_sublattices = structure.assign_sublattices
    find_cells = structure.find_cells
    plot_cells = structure.plot_cells

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
            window, `sublattice` is unknown, or `step`, `order` or `edge` are impossible.
        TypeError
            If `window_size` is no whole number.
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
            One ``Sublattice`` for each sublattice of the frame, with widths, rotation and
            amplitude where they were fitted, and with zone axes and atom planes as atomap's
            ``construct_zone_axes`` finds them. atomap has one pixel size; it is that of the x
            axis. Its image is float64, lifted so that no pixel is negative.

        Raises
        ------
        ValueError
            If there is no such frame, or it has no atoms.
        """
        return to_atomap(self, frame)

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


class LazyAtomLatticeImage(LazySignal2D, AtomLatticeImage):
    """Lazy :class:`AtomLatticeImage`."""
