"""Image windows, one per atom."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pandas as pd
from hyperspy.signals import LazySignal2D, Signal2D

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.fitting import encode, fit_and_encode
from hyperspy_rvae.signals.frames import wants_progress
from hyperspy_rvae.signals.writing import encode_to

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal

    from hyperspy_rvae.models import RVAE
    from hyperspy_rvae.signals.latents import AtomLatents


class AtomSubimages(Signal2D):
    """Image windows, one per atom: ``(atom | x, y)``, or ``(channel, atom | x, y)``.

    The values of the atom axis are the ids of the table, so that slices, steps and files keep
    windows and table together; ``hs.stack`` along it numbers the atoms anew.
    """

    _signal_type = "atom_subimages"
    _alias_signal_types = ["AtomSubimages"]

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

    def fit_rvae(
        self,
        latent_dim: int = 2,
        *,
        condition: Any = None,
        labels: Any = None,
        max_subimages: int | None = None,
        seed: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        show_progressbar: bool | None = None,
        **parameters: Any,
    ) -> AtomLatents:
        """Fit a rotationally and translationally invariant VAE, and encode all subimages.

        Parameters
        ----------
        latent_dim
            Number of content latents, besides angle and shift.
        condition
            What is known of each atom, so that the content latents need not say it: the name of a
            column of the table, such as "sublattice", or a list of names of columns of numbers;
            or an array, row for row with the atom axis. Text and integers are labels, floats are
            continuous values. An array becomes the column ``condition`` of the latents' table; a
            dask array is computed block by block and is not kept. A pandas object whose index has
            the ids of all these atoms is taken by them.
        labels
            Classes of some of the atoms, of which those of the others are learned: the name of a
            column of the table, or an array, row for row with the atom axis, which becomes the
            column ``label``. There are at least two; empty text, NaN or, among integers, -1 is
            none. The latents then
            have the columns ``class`` and ``class_probability``. Without labels, give
            ``discrete_classes=n`` to find n classes.
        max_subimages
            Train on that many subimages, drawn at random; if not given, on all. To train on all
            of more than fit into memory, give ``buffer_subimages``.
        seed
            For the draw and the training; the same seed gives the same result.
        checkpoint
            File to keep the training's state in. If the process dies, the same call goes on from
            there, and ends with the model that it would have had. The file stays at the end;
            delete it when the result is saved.
        show_progressbar
            If not given, HyperSpy's preference.
        **parameters
            Further parameters of :class:`hyperspy_rvae.models.RVAE`, such as ``epochs``,
            ``batch_size``, ``learning_rate``, ``beta``, ``invariances`` or ``decoder``.

        Returns
        -------
        latents
            ``(atom | latent)``, one row for each subimage, with the model inside. Lazy if the
            subimages are.

        Raises
        ------
        ValueError
            If there are fewer than ten subimages, pixels are not finite, a parameter is
            impossible, the condition is missing for an atom or the same for all, or `checkpoint`
            is of another training.
        """
        parameters = {"latent_dim": latent_dim, "seed": seed, **parameters}
        told = condition, labels
        return fit_and_encode(self, parameters, max_subimages, show_progressbar, *told, checkpoint)

    def fit_vae(
        self,
        latent_dim: int = 2,
        *,
        condition: Any = None,
        labels: Any = None,
        max_subimages: int | None = None,
        seed: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        show_progressbar: bool | None = None,
        **parameters: Any,
    ) -> AtomLatents:
        """Fit a VAE without invariances, and encode all subimages; see :meth:`fit_rvae`."""
        return self.fit_rvae(
            latent_dim,
            condition=condition,
            labels=labels,
            max_subimages=max_subimages,
            seed=seed,
            checkpoint=checkpoint,
            show_progressbar=show_progressbar,
            **{"invariances": (), **parameters},
        )

    def encode(
        self,
        model: RVAE,
        *,
        condition: Any = None,
        output: str | os.PathLike[str] | None = None,
        resume: bool = False,
        show_progressbar: bool | None = None,
    ) -> AtomLatents:
        """Encode every subimage with a fitted model; stays lazy if the subimages are.

        Parameters
        ----------
        model
            Fitted to windows of the same size.
        condition
            For a model that was fitted with one, as in :meth:`fit_rvae`. If not given, the columns
            of the table that have the names of those that the model was fitted with.
        output
            File ending in ``.zspy`` to write the latents to as they come. Until it is whole it
            ends in ``.part.zspy``.
        resume
            Go on with what an interrupted call left of `output`; if nothing is left, start. What
            is finished already is opened. A few chunks are encoded again, to see that these are
            the same subimages.
        show_progressbar
            Of writing `output`. If not given, HyperSpy's preference.

        Returns
        -------
        latents
            ``(atom | latent)``: the model's latents and, with ``_std``, their standard
            deviations. Lazy, reading the file, where there is `output`.

        Raises
        ------
        TypeError
            If `model` is not one of ``hyperspy_rvae.models``.
        ValueError
            If it was fitted to windows of another size or with a condition that is not there, or
            what is to be resumed is of another model or other subimages.
        FileExistsError
            If `output`, or a part of it, is there and `resume` is False.
        RuntimeError
            If subimages can't be read or latents not written: it names their atoms and frames,
            and what was done stays.
        """
        if output is None:
            return encode(self, model, condition)
        show = wants_progress(show_progressbar)
        return encode_to(self, model, output, resume, show, condition)


class LazyAtomSubimages(LazySignal2D, AtomSubimages):
    """Lazy :class:`AtomSubimages`."""
