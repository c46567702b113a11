"""What the positions on an image say of its lattice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hyperspy_rvae.signals.prepared import PreparedImage

if TYPE_CHECKING:
    import numpy as np

    from hyperspy_rvae.signals.displacements import AtomDisplacements
    from hyperspy_rvae.signals.measuring import Ideal, Units
    from hyperspy_rvae.signals.properties import AtomProperties


class LatticeMaps(PreparedImage):
    """An image whose table of atoms gives maps of displacement, strain, tilt and cells."""

    def displacement_map(
        self,
        sublattice: str | Sequence[str] = "B",
        reference: str = "A",
        *,
        method: Ideal = "neighbours",
        position: tuple[float, float] = (0.5, 0.5),
        region: Any = None,
        units: Units = "px",
    ) -> AtomDisplacements:
        """Displacement of each atom from its ideal place.

        Parameters
        ----------
        sublattice
            Whose displacements; several may be named.
        reference
            Sublattice that says where the ideal places are.
        method
            "neighbours": the centre of the reference atoms around the atom. "cells": a place in
            the cell that reference atoms span along two zone axes, as in atomap. "lattice": a place
            on one ideal lattice, fitted to the reference. "planes": where straight lines through
            planes of the reference cross. "time": the mean over the frames, moved with the drift;
            the reference is not looked at, and a column ``track`` says which atom is which where
            there is one. The last three take a sublattice as its own reference.
        position
            Place in the cell of the reference, as fractions of its two lattice vectors; for
            "cells", "lattice" and "planes".
        region
            HyperSpy ROI whose reference atoms the lattice is fitted to, such as a substrate; for
            "lattice". All if not given.
        units
            "px", "axes" (the units of the image's axes) or "pm". Each axis' own scale is used.

        Returns
        -------
        displacements
            ``(atom | component)``: u right, v down; atom minus ideal place. NaN where a reference
            atom is missing, as at the rim and beside a vacancy, and where the fit of an atom did
            not converge; how many these are is logged. Where the table has ``x_std`` and ``y_std``,
            the columns ``u_std`` and ``v_std`` follow from them: those of the atom and, for
            "neighbours", of its reference atoms.

        Raises
        ------
        ValueError
            If a sublattice is unknown, no atom has an ideal place, the atoms do not sit between
            the reference atoms, or the axes are not calibrated in a length.
        """
        from hyperspy_rvae.signals.measuring import map_displacements

        return map_displacements(self, sublattice, reference, method, position, region, units)

    def strain_map(
        self, sublattice: str = "A", *, reference: np.ndarray | Any = None
    ) -> AtomProperties:
        """Strain and rotation of the lattice around each atom.

        Both lattice vectors are fitted to the bonds to the eight neighbours, and compared with
        the reference: F = V R; the strain is V - I.

        Parameters
        ----------
        sublattice
            Whose lattice.
        reference
            What counts as unstrained: a HyperSpy ROI, the mean of whose cells is taken; two lattice
            vectors in pixels, rows a and b; the mean of all cells if not given.

        Returns
        -------
        strain
            ``(atom | property)``: ``exx``, ``eyy``, ``exy`` (half the engineering shear; x right,
            y down), fractions, and ``rotation`` (radians, counter-clockwise as displayed). NaN for
            atoms with fewer than three neighbours, and for those whose fit did not converge, which
            are no neighbours either.

        Raises
        ------
        ValueError
            If the atoms form no lattice or the reference has no cell.
        """
        from hyperspy_rvae.signals.physics import strain_map

        return strain_map(self, sublattice, reference)

    def cell_map(self, sublattice: str = "A") -> AtomProperties:
        """Lengths, ratio, angle and area of the lattice's cell around each atom.

        Parameters
        ----------
        sublattice
            Whose lattice.

        Returns
        -------
        cells
            ``(atom | property)``: ``a`` and ``b`` (units of the axes; a is the lattice vector
            nearer to the x axis), ``ratio`` (b / a: c/a where c is the one along y), ``gamma``
            (angle between them, radians) and ``area``. NaN as in :meth:`strain_map`.
        """
        from hyperspy_rvae.signals.physics import cell_map

        return cell_map(self, sublattice)

    def tilt_map(self, sublattice: str = "O", *, centre: str = "B") -> AtomProperties:
        """Rotation of the atoms around each centre, such as of oxygen octahedra.

        Parameters
        ----------
        sublattice
            Atoms that are turned.
        centre
            Atoms that they are around.

        Returns
        -------
        tilt
            ``(atom | property)`` of the centres: ``tilt`` (radians, counter-clockwise as displayed,
            against the mean shell) and ``staggered``, the same with the sign changed in every
            second cell, as on a chessboard: an antiphase tilt is then of one sign, and changes it
            at an antiphase boundary. The cell in the middle of the image keeps its sign. NaN where
            an atom of the shell is missing, or a fit did not converge.

        Raises
        ------
        ValueError
            If a sublattice is unknown or no centre has its shell.
        """
        from hyperspy_rvae.signals.physics import tilt_map

        return tilt_map(self, sublattice, centre)
