"""What a model says of each subimage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from hyperspy.signals import LazySignal1D, Signal1D

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import beside
from hyperspy_rvae.signals.maps import map_column

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal
    from matplotlib.axes import Axes

    from hyperspy_rvae.models import RVAE


class AtomLatents(Signal1D):
    """What a model says of each subimage: ``(atom | latent)``.

    The columns are, as far as the model has them, ``angle`` (radians, counter-clockwise as
    displayed), ``shift_x`` and ``shift_y`` (pixels, right and down), ``z1``, ``z2``, ..., then
    the same with ``_std``.
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
            raise ValueError(names)
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
            :attr:`columns`, in their units. A latent takes the place of a column of its name.
        """
        return beside(self.atoms, np.asarray(self.data), self.columns)

    def plot_map(
        self,
        column: str,
        *,
        frame: int = 0,
        symmetry: int = 1,
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
            2 pi / n.
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
        if not isinstance(symmetry, int | np.integer) or symmetry < 1:
            raise ValueError(
                f"symmetry must be a whole number from 1 on, got {symmetry!r}; 3 shows angles "
                "modulo 120 degrees."
            )
        return map_column(
            self.to_dataframe(),
            column,
            frame,
            image,
            record.image_shape(self),
            record.pixel(self),
            ax,
            symmetry=symmetry,
            **kwargs,
        )

    def plot_manifold(self, *, size: int = 9, ax: Axes | None = None, **kwargs: Any) -> Axes:
        """Plot what the model makes of a grid of its first two content latents.

        Parameters
        ----------
        size
            Number of images along each side. They lie at the quantiles of the latents that are
            there, 1 % to 99 %, at zero angle and shift; further content latents stay at their
            median.
        ax
            Axes to draw on; new ones if not given.
        **kwargs
            Passed to :meth:`matplotlib.axes.Axes.imshow`.

        Returns
        -------
        axes
            z1 to the right, z2 upwards; a single content latent gives one row.
        """
        from hyperspy_rvae.plotting.manifold import plot_manifold

        if isinstance(size, bool) or not isinstance(size, int) or size < 2:
            raise ValueError(f"size must be a whole number of images, at least 2, got {size!r}.")
        model = self.model
        record.atom_ids(self)
        latents = pd.DataFrame(np.asarray(self.data), columns=self.columns)
        content = [name for name in model.latent_names_ if name[0] == "z"]
        missing = [name for name in content if name not in latents]
        if missing:
            raise ValueError(
                f"the content latents {', '.join(missing)} were cut off; plot before slicing them."
            )
        steps = np.linspace(0.01, 0.99, size)
        across = latents[content[0]].quantile(steps).to_numpy()
        up = latents[content[1]].quantile(steps).to_numpy() if len(content) > 1 else np.zeros(1)
        grid = pd.DataFrame(0.0, index=range(len(up) * size), columns=list(model.latent_names_))
        grid[content] = latents[content].median().to_numpy()
        grid[content[0]] = np.tile(across, len(up))
        if len(content) > 1:
            grid[content[1]] = np.repeat(up, size)
        images = model.inverse_transform(grid.to_numpy())
        images = images.reshape(len(up), size, *images.shape[1:])
        return plot_manifold(images, across, up, names=content[:2], ax=ax, **kwargs)


class LazyAtomLatents(LazySignal1D, AtomLatents):
    """Lazy :class:`AtomLatents`."""
