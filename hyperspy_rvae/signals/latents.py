"""What a model says of each subimage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from hyperspy.signals import LazySignal1D, Signal1D

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import beside
from hyperspy_rvae.signals.latent_space import draw_latent_space, name_classes
from hyperspy_rvae.signals.manifold import draw_manifolds, idle_among, say_idle
from hyperspy_rvae.signals.maps import map_column
from hyperspy_rvae.signals.symmetry import commonest_symmetry, symmetry_of

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal
    from matplotlib.axes import Axes

    from hyperspy_rvae.models import RVAE


class AtomLatents(Signal1D):
    """What a model says of each subimage: ``(atom | latent)``.

    The columns are, as far as the model has them, ``angle`` (radians, counter-clockwise as
    displayed), ``shift_x`` and ``shift_y`` (pixels, right and down), ``scale`` (a factor, 1 on
    average), ``z1``, ``z2``, ..., then the same with ``_std``. A model with classes has ``class``,
    a number from 0 on, and ``class_probability`` after ``z1``, ..., without standard deviations.
    """

    _signal_type = "atom_latents"
    _alias_signal_types = ["AtomLatents"]

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
        """Names of the latents, in order."""
        names = record.read(self, "latents")
        if isinstance(names, str):
            raise ValueError(f"the names of these latents are lost: {names:.300}")
        index = record.whole_axis(self.axes_manager.signal_axes[0], "latent")
        if not isinstance(names, (list, tuple)) or not 0 <= index.min() <= index.max() < len(names):
            raise ValueError(
                f"these {len(index)} latents have no names of their own, only {names!r:.60}; they "
                "come from fit_rvae() or encode()."
            )
        return [str(names[k]) for k in index]

    @property
    def model(self) -> RVAE:
        """The fitted model, rebuilt from the metadata.

        Raises
        ------
        ValueError
            If there is none, or its weights don't fit its configuration.
        """
        from hyperspy_rvae.models import RVAE

        described = record.read(self, "model")
        weights = described.get("weights") if isinstance(described, dict) else None
        if not isinstance(weights, dict):
            raise ValueError("these latents hold no model; they come from fit_rvae() or encode().")
        return RVAE.rebuild(described.get("configuration"), weights)

    def to_dataframe(self) -> pd.DataFrame:
        """Put the latents beside the table of the atoms.

        Returns
        -------
        table
            One row an atom, indexed by its id: the columns of :attr:`atoms`, then those of
            :attr:`columns`, in their units. A latent takes the place of a column of its name. The
            class is there by its name, the label where there were labels.
        """
        return name_classes(self, beside(self.atoms, np.asarray(self.data), self.columns))

    def symmetry(self) -> pd.Series:
        """Order of the rotational symmetry of each atom's environment.

        Returns
        -------
        orders
            Indexed by the atoms' ids: the highest n up to six for which the model's content looks
            the same after a turn by 2 pi / n, and 1 where there is none. A model fitted with a
            `rotation_symmetry` of n says n.

        Raises
        ------
        ValueError
            If content latents were cut off, or the model's decoder is not the steerable one.
        """
        return symmetry_of(self)

    def plot_map(
        self,
        column: str,
        *,
        frame: int = 0,
        symmetry: int | None = None,
        image: Any = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes:
        """Plot a latent, or a column of the table, at the atoms' places.

        Parameters
        ----------
        column
            Name of a latent or of a column of the table. Angles get cyclic colours.
        frame
            Flat navigation index of the image.
        symmetry
            An environment of n-fold symmetry fits at n angles; give n to show angles modulo
            2 pi / n. If not given, the order of a model fitted with `rotation_symmetry`, with
            "auto" that of the most atoms, and else 1.
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
            If there is no such column, `frame` has no atoms, or `symmetry` is no order.
        """
        if symmetry is None:
            symmetry = commonest_symmetry(self) if column == "angle" else 1
        if not isinstance(symmetry, int | np.integer) or symmetry < 1:
            raise ValueError(
                f"symmetry must be a whole number from 1 on, got {symmetry!r}; 3 shows angles "
                "modulo 120 degrees."
            )
        table = self.to_dataframe()
        drawn = map_column(
            table,
            column,
            frame,
            image,
            record.image_shape(self),
            record.pixel(self),
            ax,
            symmetry=symmetry,
            **kwargs,
        )
        return say_idle(drawn, self, idle_among(self, table, [column]))

    def plot_manifold(
        self, *, size: int = 9, condition: Any = None, ax: Axes | None = None, **kwargs: Any
    ) -> Axes | np.ndarray:
        """Plot what the model makes of a grid of the first two content latents that vary.

        Parameters
        ----------
        size
            Number of images along each side. They lie at the quantiles of the latents that are
            there, 1 % to 99 %, at zero angle and shift; further content latents stay at their
            median.
        condition
            Of a model that was fitted with one: the label or value to decode with. If not given,
            there is a picture for each label (eight at most), or for the mean value and one
            standard deviation less and more. A model with classes has a picture for each of them,
            at the commonest label or the mean value.
        ax
            Axes to draw on, with the commonest label or the mean value, and the first channel; new
            ones if not given.
        **kwargs
            Passed to :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        axes
            z1 to the right, z2 upwards; a single content latent gives one row. An array of axes if
            there are several pictures, one for each channel of every condition.
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 2:
            raise ValueError(f"size must be a whole number of images, at least 2, got {size!r}.")
        return draw_manifolds(self, size, condition, ax, kwargs)

    def plot_latent_space(
        self,
        column: str | None = None,
        *,
        names: tuple[str, str] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Axes:
        """Plot two content latents of every atom against each other.

        Parameters
        ----------
        column
            Latent or column of the table that gives the colours. If not given, the class, if the
            model has classes, or else the column of its condition, or else none.
        names
            The two latents; the first two content latents if not given.
        ax
            Axes to draw on; new ones if not given.
        **kwargs
            Passed to :meth:`matplotlib.axes.Axes.scatter`.

        Returns
        -------
        axes
            A point an atom.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        return draw_latent_space(self, column, names, ax, kwargs)


class LazyAtomLatents(LazySignal1D, AtomLatents):
    """Lazy :class:`AtomLatents`."""
