"""Numbers per atom that are measured: strain, tilt, cells, gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hyperspy.signals import LazySignal1D

from hyperspy_rvae.lattice.axes import pack_axes
from hyperspy_rvae.lattice.packing import pack
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import atom_axis, like
from hyperspy_rvae.signals.values import AtomValues

if TYPE_CHECKING:
    import dask.array as da
    import pandas as pd
    from hyperspy.signals import BaseSignal


class AtomProperties(AtomValues):
    """Numbers per atom that are measured: ``(atom | property)``.

    Strain, tilt, cells and gradients come so. Their names are in :attr:`columns`.
    """

    _signal_type = "atom_properties"
    _alias_signal_types = ["AtomProperties"]

    @property
    def columns(self) -> list[str]:
        """Names of the properties, in order."""
        names, _ = self._described()
        index = record.whole_axis(self.axes_manager.signal_axes[0], "property")
        if not 0 <= index.min() <= index.max() < len(names):
            raise ValueError(
                f"these {len(index)} properties have no names of their own; they come from "
                "strain_map(), tilt_map() and their like."
            )
        return [names[k] for k in index]

    def units_of(self, column: str) -> str:
        """Units of a property, such as "rad"; "" where it has none."""
        return dict(zip(*self._described(), strict=True)).get(column, "")

    def _described(self) -> tuple[list[str], list[str]]:
        """Names of all properties, and their units."""
        described = record.read_node(self, "properties")
        both = [described.get(key, []) for key in ("names", "units")]
        if (
            not all(isinstance(texts, list | tuple) for texts in both)
            or len(set(map(len, both))) > 1
        ):
            raise ValueError(
                "what these properties are cannot be read; the file is damaged, measure them again."
            )
        return tuple([str(text) for text in texts] for texts in both)

    def plot(self, *, frame: int = 0, image: Any = None, **kwargs: Any) -> np.ndarray:
        """Plot a map of each property, side by side; :meth:`plot_map` plots one.

        Parameters
        ----------
        frame
            Flat navigation index of the image.
        image
            Image to draw below the atoms: a signal, of which `frame` is taken, or an array.
        **kwargs
            Passed to :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        axes
            One a property, in the order of :attr:`columns`.
        """
        from hyperspy_rvae.signals.drawing import draw_maps

        return draw_maps(self, frame, image, kwargs)


class LazyAtomProperties(LazySignal1D, AtomProperties):
    """Lazy :class:`AtomProperties`."""

    plot = AtomProperties.plot


def as_properties(
    source: BaseSignal,
    data: np.ndarray | da.Array,
    ids: np.ndarray,
    units: dict[str, str],
    table: pd.DataFrame | None = None,
    **noted: Any,
) -> AtomProperties:
    """Build properties of atoms.

    Parameters
    ----------
    source
        Image or values that the atoms belong to.
    data
        Shape ``(n, properties)``.
    ids
        The atoms' ids, shape ``(n,)``.
    units
        Units of each property by name, in order.
    table
        Table of an image as it is now; not given where `source` has one of its own.
    **noted
        What else is to be known of how they were measured.
    """
    described = {"names": list(units), "units": list(units.values()), **noted}
    entries: dict[str, Any] = {"properties": described}
    if table is not None:
        entries["axes"] = pack_axes(record.image_axes(source))
        if not record.is_current(source):  # else the image's own table serves
            entries["table"] = pack(table)
    axes = [atom_axis(ids), {"name": "property", "size": len(units), "navigate": False}]
    return like(source, data, axes, "atom_properties", entries)
