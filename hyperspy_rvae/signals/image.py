"""Image or movie with the table of its atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from hyperspy.signals import LazySignal2D

from hyperspy_rvae.lattice.finding import Contrast, Finder
from hyperspy_rvae.lattice.routes import Refinement
from hyperspy_rvae.lattice.table import as_table
from hyperspy_rvae.signals import record, structure, tracking
from hyperspy_rvae.signals.atomap import to_atomap
from hyperspy_rvae.signals.checks import check_image, frame_count
from hyperspy_rvae.signals.extraction import Centres, extract
from hyperspy_rvae.signals.finding import find, find_second, refine
from hyperspy_rvae.signals.lattice_maps import LatticeMaps
from hyperspy_rvae.signals.neighbours import neighbours
from hyperspy_rvae.signals.rings import rings
from hyperspy_rvae.subimages.windows import Edge

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal
    from matplotlib.axes import Axes

    from hyperspy_rvae.signals.latents import AtomLatents
    from hyperspy_rvae.signals.subimages import AtomSubimages


class AtomLatticeImage(LatticeMaps):
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
        counter-clockwise as displayed), ``amplitude`` (volume under the column, as atomap's;
        negative for dark columns), ``background`` (level below it), ``x_std``, ``y_std``
        (standard deviations, pixels), ``tail_1``, ``tail_2`` (shares of the height in Gaussians
        1.6 and 2.4 times as wide) and ``converged``. Where that is False the position is the
        one before the fit, and the fit's columns are NaN.

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
            If a column is missing or holds complex numbers, or a position is not finite, outside
            the image, of a frame that is not there, or given twice.

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
            Whether positions are refined by a Gaussian fit, as by :meth:`refine_atoms`.
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

        The atoms of all sublattices are then refined together, as by :meth:`refine_atoms`, so
        that a faint column between bright ones is not drawn towards them; those found before move
        a little. A frame without atoms of the reference gets none.

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
        mask_radius: float | None = None,
        show_progressbar: bool | None = None,
    ) -> None:
        """Refine the positions in place, all atoms of a frame together.

        An atom whose fit fails keeps its position and is marked in the table: ``converged`` is
        False and what the fit gives is NaN. How many there are is logged.

        Parameters
        ----------
        sublattice
            Which to refine; if not given, all. The others are fitted beside it and stay as they
            were.
        method
            "gaussian" fits elliptical Gaussians on a smooth background to all atoms at once, each
            pixel weighed by its noise; those of one sublattice have the same width, and where
            there are several sublattices they may have tails. "center_of_mass" is atomap's.
        percent_to_nn
            Radius of the mask around each atom, as a fraction of the distance to its nearest
            neighbour in its sublattice. If not given, 0.25 for the centre of mass. For Gaussians,
            0.5 where there is one sublattice, and all that lies between the atoms where there
            are several: these should then be all that the image shows.
        mask_radius
            The radius in pixels, in place of `percent_to_nn`.
        show_progressbar
            If not given, HyperSpy's preference. A single image has none.

        Raises
        ------
        ValueError
            If `sublattice` is unknown, there are no atoms yet, or both radii are given.
        """
        refine(self, sublattice, method, percent_to_nn, mask_radius, show_progressbar)

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
        channels: Sequence[BaseSignal] | None = None,
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
        channels
            Further images of the same frames and pixels, such as another detector's, or the map
            of another element. The same windows are cut from them, and a model sees all together.

        Returns
        -------
        subimages
            ``(atom | x, y)``, float32; the values of the atom axis are the atoms' ids. Lazy if
            the image is, with chunks that are known at once. With `channels`,
            ``(channel, atom | x, y)``, this image's first.

        Raises
        ------
        ValueError
            If the window is smaller than 5 pixels or larger than the image, no atom has a whole
            window, `sublattice` is unknown, `step`, `order` or `edge` are impossible, or one of
            the `channels` has another shape.
        TypeError
            If `window_size` is no whole number, or `channels` is no list.
        """
        return extract(self, window_size, sublattice, centres, step, order, edge, channels)

    def fit_rvae(
        self,
        window_size: int | None = None,
        sublattice: str | None = None,
        *,
        channels: Sequence[BaseSignal] | None = None,
        **parameters: Any,
    ) -> AtomLatents:
        """Cut subimages and fit a rotationally and translationally invariant VAE to them.

        Parameters
        ----------
        window_size, sublattice, channels
            As in :meth:`extract_subimages`.
        **parameters
            As in :meth:`AtomSubimages.fit_rvae`.

        Returns
        -------
        latents
            ``(atom | latent)``, with the model inside.
        """
        subimages = self.extract_subimages(window_size, sublattice, channels=channels)
        return subimages.fit_rvae(**parameters)

    def fit_vae(
        self,
        window_size: int | None = None,
        sublattice: str | None = None,
        *,
        channels: Sequence[BaseSignal] | None = None,
        **parameters: Any,
    ) -> AtomLatents:
        """Cut subimages and fit a VAE without invariances to them; see :meth:`fit_rvae`."""
        subimages = self.extract_subimages(window_size, sublattice, channels=channels)
        return subimages.fit_vae(**parameters)

    measure_drift = tracking.measure_drift
    track_atoms = tracking.track_atoms
    seed_atoms = tracking.seed_atoms
    plot_tracks = tracking.plot_tracks
    neighbours = neighbours
    rings = rings

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

    def plot_residual(self, frame: int = 0) -> np.ndarray:
        """Plot one frame beside the model fitted to it and what that leaves.

        Columns that were missed, doubled or fitted badly show in the difference; crosses mark
        atoms that did not converge. The model is drawn from the table, :attr:`atoms`.

        Parameters
        ----------
        frame
            Flat navigation index.

        Returns
        -------
        axes
            Of the image, the model and the difference, image less model.

        Raises
        ------
        ValueError
            If there is no such frame, or its atoms were not fitted.
        """
        from hyperspy_rvae.signals.residual import plot_frame

        return plot_frame(self, frame)


class LazyAtomLatticeImage(LazySignal2D, AtomLatticeImage):
    """Lazy :class:`AtomLatticeImage`."""
