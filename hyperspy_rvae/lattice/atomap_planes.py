"""The bridge to atomap's zone axes and atom planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hyperspy_rvae.lattice.planes import zone_axes

if TYPE_CHECKING:
    from atomap.api import Sublattice


def set_zone_axes(sublattice: Sublattice) -> None:
    """Give a sublattice the neighbours, zone axes and atom planes that it asks for.

    It is left as after atomap's ``construct_zone_axes``, which compares all pairs of atoms and
    is not called; a sublattice without any zone axis has only its neighbours.

    Parameters
    ----------
    sublattice
        Of atomap, with its atoms; changed in place.
    """
    from atomap.atom_plane import Atom_Plane

    atoms = sublattice.atom_list
    found = zone_axes(np.asarray(sublattice.atom_positions, dtype=np.float64))
    sublattice._pixel_separation = found.separation
    for atom, around in zip(atoms, found.neighbours, strict=True):
        atom.nearest_neighbor_list = [atoms[index] for index in around]
    vectors = [(float(x), float(y)) for x, y in found.vectors]
    sublattice.zones_axis_average_distances = vectors
    sublattice.zones_axis_average_distances_names = [str(vector) for vector in vectors]
    sublattice.atom_planes_by_zone_vector = {}
    for vector, planes in zip(vectors, found.planes, strict=True):
        made = []
        for plane in planes:
            members = [atoms[index] for index in plane]
            members[0]._start_atom.append(vector)
            members[-1]._end_atom.append(vector)
            made.append(Atom_Plane(members, vector, sublattice))
            for atom in members:
                atom.in_atomic_plane.append(made[-1])
        sublattice.atom_planes_by_zone_vector[vector] = made
        sublattice.atom_plane_list.extend(made)
