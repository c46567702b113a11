"""A vector per atom, with its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from hyperspy.signals import LazySignal1D

from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.vectors import AtomVectors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyperspy.signals import Signal1D

    from hyperspy_rvae.analysis.denoising import Denoising
    from hyperspy_rvae.analysis.grouping import Algorithm, Features
    from hyperspy_rvae.lattice.corrections import Field


class AtomDisplacements(AtomVectors):
    """A vector per atom, with its reference: ``(atom | component)``.

    The components are u, right, and v, down as displayed; atom minus ideal site.
    """

    _signal_type = "atom_displacements"
    _alias_signal_types = ["AtomDisplacements"]

    @property
    def scores(self) -> np.ndarray | None:
        """Balanced accuracy on each fold of :meth:`classify`; None where nothing was classified."""
        scores = record.read_node(self, "displacement").get("classes", {})
        return np.asarray(scores["scores"]) if "scores" in scores else None

    def noise(self) -> tuple[float, float]:
        """Estimate the standard deviation of u and v from one atom to the next.

        From the difference between a vector and the mean of its four neighbours on the lattice,
        in :attr:`units`. It holds noise of the fit and real disorder alike, and is the least that
        a single vector can be trusted to; :meth:`denoise` goes below it.
        """
        from hyperspy_rvae.signals.correcting import noise

        return noise(self)

    def correct(
        self, field: Field, *, region: Any = None, width: float | None = None
    ) -> AtomDisplacements:
        """Subtract a field that varies slowly, such as tilt and scan leave.

        What is subtracted is logged and noted in ``metadata.Atoms.displacement.corrections``.

        Parameters
        ----------
        field
            "mean", one vector a frame; "plane", linear in x and y; "smooth", the mean around each
            atom. Real polarization of the same form goes with it.
        region
            HyperSpy ROI whose atoms the field is taken from, such as a part that is not polar;
            if not given, all.
        width
            Standard deviation, in pixels, of the Gaussian that "smooth" weights with; 8 distances
            between nearest neighbours if not given.

        Returns
        -------
        displacements
            The rest; atoms without a vector stay NaN.

        Raises
        ------
        ValueError
            If `field` is unknown or the region has too few atoms for it.
        """
        from hyperspy_rvae.signals.correcting import correct

        return correct(self, field, region, width)

    def denoise(
        self,
        method: Denoising | Any = "pca",
        *,
        components: int | float | None = None,
        radius: int = 2,
        seed: int | None = None,
    ) -> AtomDisplacements:
        """Denoise by what each atom's vector has in common with its neighbours'.

        Parameters
        ----------
        method
            "pca", "incremental", "kernel", "sparse", "robust", "ica" or "nmf" decompose the
            :meth:`neighbourhoods`; "gaussian" and "median" average on the lattice, for comparison;
            or a scikit-learn transformer with ``fit_transform`` and ``inverse_transform``.
        components
            How many are kept: a number; a share of the variance between 0 and 1; if not given,
            that with which the neighbours predict an atom best.
        radius
            Steps along both lattice vectors that neighbours are taken from; 2 takes 24.
        seed
            Of the methods that draw.

        Returns
        -------
        displacements
            ``(atom | component)``; atoms without a vector stay NaN. The columns ``u_std`` and
            ``v_std`` are those of single vectors and are left out.

        Raises
        ------
        ValueError
            If `method` or `components` are impossible, or the atoms form no lattice.
        TypeError
            If `method` is no transformer.
        """
        from hyperspy_rvae.signals.denoising import denoise

        return denoise(self, method, components, radius, seed)

    def neighbourhoods(self, radius: int = 2) -> Signal1D:
        """Vectors of each atom and its neighbours, the samples that :meth:`denoise` decomposes.

        Parameters
        ----------
        radius
            As in :meth:`denoise`.

        Returns
        -------
        samples
            ``(atom | neighbour component)``: u and v of the atom, then of its neighbours by
            distance. A plain signal: ``samples.decomposition()`` and
            ``samples.plot_scree_plot()`` give the scree plot.
        """
        from hyperspy_rvae.signals.denoising import neighbourhoods

        return neighbourhoods(self, radius)

    def cluster(
        self,
        n: int | None = None,
        *,
        algorithm: Algorithm | Any = "gmm",
        features: Features = "direction",
        seed: int | None = None,
    ) -> AtomDisplacements:
        """Group the vectors; the column ``cluster`` of the table says which is in which.

        Parameters
        ----------
        n
            Number of groups; if not given, "gmm" takes that of the least Bayesian information
            criterion (1 to 8), "kmeans" and "agglomerative" that of the largest mean silhouette
            (2 to 8). "dbscan" and "hdbscan" find it themselves.
        algorithm
            One of these, or a scikit-learn clustering.
        features
            "direction", on the circle, or "vectors", where length counts too.
        seed
            Of the start.

        Returns
        -------
        displacements
            The same vectors; ``cluster`` is 0 for the largest group, -1 for noise and for atoms
            without a vector.

        Raises
        ------
        ValueError
            If `n`, `algorithm` or `features` are impossible.
        """
        from hyperspy_rvae.signals.grouping import cluster

        return cluster(self, n, algorithm, features, seed)

    def classify(
        self,
        labels: Mapping[Any, Any] | np.ndarray,
        *,
        estimator: Any = None,
        radius: int = 0,
        seed: int | None = None,
    ) -> AtomDisplacements:
        """Learn classes from some atoms and give them to all.

        Parameters
        ----------
        labels
            HyperSpy ROI, or list of ROIs, by name of the class; or one label an atom of the axis,
            -1 (or "") where it is not known.
        estimator
            A scikit-learn classifier; a random forest if not given.
        radius
            Lattice steps of the neighbourhood that is looked at; 0 for the vector alone.
        seed
            Of the forest and the folds.

        Returns
        -------
        displacements
            The same vectors, with the columns ``class`` (0, 1, ... in the order of the names; -1
            without a vector) and ``probability_<name>``; :attr:`scores` has the cross-validation.

        Raises
        ------
        ValueError
            If a label is of no atom, or fewer than two classes have two atoms.
        """
        from hyperspy_rvae.signals.grouping import classify

        return classify(self, labels, estimator, radius, seed)

    def find_domains(self, column: str = "cluster") -> AtomDisplacements:
        """Join neighbours of one group to domains.

        Parameters
        ----------
        column
            Column of the table with the groups.

        Returns
        -------
        displacements
            The same vectors, with the columns ``domain`` (0 the largest, -1 for none) and ``wall``
            (True where a neighbour belongs to another group).
        """
        from hyperspy_rvae.signals.grouping import find_domains

        return find_domains(self, column)

    def describe_groups(self, column: str = "cluster") -> pd.DataFrame:
        """Size, fraction and mean vector of each group.

        Parameters
        ----------
        column
            ``cluster``, ``class`` or ``domain``.

        Returns
        -------
        table
            One row a group: ``count``, ``fraction``, mean ``u`` and ``v``, ``magnitude`` and
            ``angle`` of the mean, ``u_std`` and ``v_std`` within it, and ``area`` (units of the
            image's axes, squared: the cells of its atoms).
        """
        from hyperspy_rvae.signals.grouping import describe

        return describe(self, column)

    def polarization(
        self, born_charges: Mapping[str, float], cell_volume: float
    ) -> AtomDisplacements:
        r"""Polarization of each cell, from Born effective charges.

        .. math:: \mathbf{P} = \frac{e}{\Omega} \sum_k Z^*_k \mathbf{d}_k

        over the sublattices k of the cell, as in Resta, Rev. Mod. Phys. 66, 899 (1994), with the
        displacements measured from the reference sublattice, whose own is zero. Sublattices that
        were not measured are taken to stay with the reference. P points where the positive ion
        is displaced to.

        Parameters
        ----------
        born_charges
            Effective charge in units of e by sublattice, all its atoms of a cell taken together; of
            the displaced sublattices, the reference, and whatever else is needed for a sum of 0,
            which makes P independent of the origin.
        cell_volume
            Volume of the cell in cubic angstrom.

        Returns
        -------
        polarization
            ``(atom | component)`` in µC/cm²: u right, v down; for each atom of the first of the
            displaced sublattices. Of others the mean over the atoms around it is taken.

        Raises
        ------
        ValueError
            If the charges do not sum to 0, one is missing, the volume is impossible or the
            vectors have no unit of length.
        """
        from hyperspy_rvae.signals.physics import polarization

        return polarization(self, born_charges, cell_volume)


class LazyAtomDisplacements(LazySignal1D, AtomDisplacements):
    """Lazy :class:`AtomDisplacements`."""

    plot = AtomDisplacements.plot
