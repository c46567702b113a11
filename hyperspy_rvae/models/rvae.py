"""The estimator: an invariant variational autoencoder with scikit-learn's manners."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

from hyperspy_rvae.models import checks, ensemble, fitting, inference
from hyperspy_rvae.models.checkpoint import settle_seed
from hyperspy_rvae.models.course import Callback
from hyperspy_rvae.models.fitted import FittedModel

Invariance = Literal["rotation", "translation", "scale"]


class RVAE(FittedModel):
    """Variational autoencoder whose content latents know nothing of pose.

    A few latents say what a subimage shows, an angle and a shift where it lies [1]_ [2]_. The
    steerable decoder draws content in functions of which a turn is a phase [3]_, so that the
    likelihood of all poses is at hand and is summed in training; no pose is guessed, and none can
    be wrong for good. With fewer invariances it is one of its siblings: with none, a plain VAE.

    Parameters
    ----------
    latent_dim
        How many content latents, z1, z2, ....
    invariances
        Any of ``"rotation"``, ``"translation"`` and ``"scale"``, or none. Scales differ by up to
        20 % or so either way; they make training and reading several times as slow.
    decoder
        ``"steerable"``, which sees the disc that fits into the window, and finds shifts of up to
        about 2 px (1 px in windows below 20 px); corners are drawn as the rim of the disc goes
        on. ``"spatial"``: the decoder of [1]_, whose encoder guesses the pose; slower, and often
        wrong where content looks alike in several poses. For comparison, and for old results.
    encoder
        Of the spatial decoder: ``"mlp"``, two dense layers that read the pixels, or ``"conv"``,
        three convolutions before them. On CUDA these need not repeat to the last digit.
    discrete_classes
        How many classes stand beside the content latents, for environments of so many kinds; 0
        for none. They are found, or learned from labels of some subimages [6]_. For the steerable
        decoder and subimages that fit into memory.
    rotation_prior
        Standard deviation in radians, up to pi, of angles that are normal about 0, wrapped around
        the circle: for crystals that are nearly aligned, of whose symmetric motifs it then tells
        which of the angles is meant. None: all angles are alike.
    translation_prior
        Standard deviation in pixels of the shifts along x and along y. None: 1.5 px for the
        steerable decoder, a twentieth of the window's shorter side for the spatial one.
    rotation_symmetry
        An environment of n-fold symmetry fits at n angles, and noise decides between them. Given
        n, all angles are told modulo 2 pi / n, in (-pi / n, pi / n]; with ``"auto"`` each modulo
        the symmetry of its own content, which `symmetry` gives. Shifts follow, so that the
        content's centre of symmetry stays where it is. None: angles go round the whole circle.
        For the steerable decoder.
    epochs
        How many times as many subimages are drawn as there are. None: as many as the signal to
        noise asks for at least, and until the loss of those held out, or of all where none are,
        reaches a plateau.
    batch_size
        Subimages per step. None: 50, or fewer of few subimages; 25 for the spatial decoder.
    learning_rate
        Of Adam; it falls to zero over the last third of the epochs.
    beta
        Weight of the divergence from the prior; 1 is the evidence lower bound.
    kl_warmup
        Epochs over which the weight rises from zero, or 0. None: 600 steps of the steerable
        decoder, fewer of short trainings, and none of the spatial one.
    capacity
        Draw the divergence of the content to so many nats, reached over the warm-up, and not to
        zero: ``beta |divergence - capacity|``, for which `beta` should be large [4]_.
    free_bits
        Nats of each content latent that cost nothing, so that none collapses [5]_.
    validation_fraction
        Share of the subimages held out to tell when to stop; may be 0.
    patience
        Epochs without improvement after which training winds down, over half as many epochs as
        it took, and the best weights are kept. None: every one of ``epochs`` runs, or, without
        ``epochs`` either, as many as make 300 steps, at least 3.
    max_subimages
        Learn from that many subimages, drawn at random. None: from all, which have to fit into
        memory unless ``buffer_subimages`` is given.
    buffer_subimages
        Of a dask array, have so many subimages in memory at once, in blocks from anywhere, which
        are learned from before others take their place. For the steerable decoder.
    n_models
        How many models to train, from different seeds. All that is returned is the first one's,
        but for the standard deviations: those take in how far the models disagree. With an active
        client of ``dask.distributed`` they are trained there, side by side.
    device
        ``"cpu"`` or ``"cuda"``. None: the CPU, which these small networks keep busy.
    seed
        Same seed, same result, on the same machine. None draws one.

    Attributes
    ----------
    latent_names_
        Names of the latents in the order of the columns: "angle" (radians, counter-clockwise as
        displayed, in (-pi, pi]; a subimage turned by +a has an angle greater by a), "shift_x" and
        "shift_y" (pixels, right and down: the content's displacement from the window's centre),
        "scale" (a factor; 1 is the mean of the training set, of the spatial decoder only nearly),
        "z1", "z2", ...; with ``discrete_classes`` then "class", an index into ``classes_``, and
        "class_probability". The origin of the angle is the model's own: each content is turned to
        overlap the most with the one most like it, which is a mere convention where they share
        nothing; under ``rotation_prior`` it is the prior's zero. The origin of the shift is each
        motif's own, and under ``translation_prior`` the mean of each motif's shifts.
    history_
        One dict per epoch: ``loss``, ``reconstruction`` and ``divergence`` (nats per subimage on
        the input's scale), ``noise_variance``, and ``validation_loss`` where some are held out.
    noise_variance_
        Learned variance of a pixel, on the input's scale; an array where there are several
        channels.
    seed_
        The seed that was used.
    classes_
        Names of the classes: the labels, or numbers; none without ``discrete_classes``.
    condition_
        None, or what `fit` was given as condition: its ``labels``, or ``location`` and ``scale``
        of its values, and ``names``, if it came from columns of a table.
    window_shape_, n_channels_, n_features_in_
        Height and width of a window, how many channels it has, and the product of the three.

    References
    ----------
    .. [1] Bepler, Zhong, Kelley, Brignole, Berger, NeurIPS 2019, arXiv:1909.11663.
    .. [2] Kalinin, Dyck, Jesse, Ziatdinov, Science Advances 7, eabd5084 (2021).
    .. [3] Zhao, Singer, J. Opt. Soc. Am. A 30, 871 (2013).
    .. [4] Burgess, Higgins, Pal, Matthey, Watters, Desjardins, Lerchner, arXiv:1804.03599 (2018).
    .. [5] Kingma, Salimans, Jozefowicz, Chen, Sutskever, Welling, NeurIPS 2016, arXiv:1606.04934.
    .. [6] Kingma, Rezende, Mohamed, Welling, NeurIPS 2014, arXiv:1406.5298.

    Examples
    --------
    >>> import numpy as np
    >>> from hyperspy_rvae.models import RVAE
    >>> subimages = np.random.default_rng(0).random((20, 7, 9))
    >>> model = RVAE(latent_dim=1, epochs=2, seed=0).fit(subimages)
    >>> model.latent_names_
    ('angle', 'shift_x', 'shift_y', 'z1')
    >>> model.transform(subimages).shape
    (20, 4)
    """

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        invariances: Sequence[Invariance] = ("rotation", "translation"),
        decoder: Literal["steerable", "spatial"] = "steerable",
        encoder: Literal["mlp", "conv"] = "mlp",
        discrete_classes: int = 0,
        rotation_prior: float | None = None,
        translation_prior: float | None = None,
        rotation_symmetry: int | Literal["auto"] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float = 2e-3,
        beta: float = 1.0,
        kl_warmup: int | None = None,
        capacity: float | None = None,
        free_bits: float = 0.0,
        validation_fraction: float = 0.25,
        patience: int | None = None,
        max_subimages: int | None = None,
        buffer_subimages: int | None = None,
        n_models: int = 1,
        device: Literal["cpu", "cuda"] | None = None,
        seed: int | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.invariances = invariances
        self.decoder = decoder
        self.encoder = encoder
        self.discrete_classes = discrete_classes
        self.rotation_prior = rotation_prior
        self.translation_prior = translation_prior
        self.rotation_symmetry = rotation_symmetry
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.capacity = capacity
        self.free_bits = free_bits
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.max_subimages = max_subimages
        self.buffer_subimages = buffer_subimages
        self.n_models = n_models
        self.device = device
        self.seed = seed

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        condition: Any = None,
        callback: Callback | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> RVAE:
        """Learn from subimages.

        Parameters
        ----------
        X
            Shape ``(n, height, width)``, ``(n, channels, height, width)``, or
            ``(n, height * width)`` for square windows; at least ten of at least 5 px, of any unit.
            Channels are images of the same place: they share the pose, and each has its own unit
            and noise. Of a dask array ``max_subimages`` are computed.
        y
            Ignored without ``discrete_classes``. With them, labels ``(n,)`` of some subimages, text
            or integers, one for each class; None, NaN, "" or, among integers, -1 where there is
            none. A few of each class do. Not given, classes are found.
        condition
            What is known of each subimage and given to encoder and decoder, so that the content
            latents need not say it: labels ``(n,)``, text or integers; or continuous values,
            floats ``(n,)`` or numbers ``(n, k)``.
        callback
            Called as ``callback(epoch, record)`` after each epoch; see ``history_``.
        checkpoint
            File to keep the training's state in. Where there is one the training goes on from
            it, and ends with the same weights as one that was never stopped; `callback` is
            called for the epochs that are left. At the end the file stays, and the same call
            gives the same model at once; delete it when it is no longer needed. Further trainings
            have files beside it: the second one of classes without labels ``.next``, and those
            of an ensemble ``.1``, ``.2``, ....

        Raises
        ------
        ValueError
            If subimages or parameters are impossible, or `checkpoint` is of another training.
        """
        checks.check_parameters(self.get_params(deep=False))
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be a function of epoch and record, got {callback!r}")
        seed = settle_seed(self.seed, checkpoint)
        parameters = self.get_params(deep=False)
        task = fitting.prepare(parameters, X, y, condition, seed)
        learn = fitting.spatial if self.decoder == "spatial" else fitting.steerable
        each = ensemble.seeds(seed, int(self.n_models))
        plans = ensemble.plans(task, parameters, each, checkpoint)
        found = ensemble.train(learn, task, plans, each, callback)
        networks = [network.cpu().eval() for network, _ in found]
        for network in networks:
            inference.measure_spread(network, task.pixels, task.context, task.device)
        if task.labels is not None and self.epochs is None:
            right = inference.agreement(networks[0], task.labels, task.pixels, task.context)
            fitting.doubt_classes(right)
        history = ensemble.histories([history for _, history in found])
        others = ensemble.compare(networks, task, seed)
        self._adopt(networks[0], others, task.learned(seed, history))
        return self

    def fit_transform(self, X: Any, y: Any = None, *, condition: Any = None, **others: Any) -> Any:
        """Learn from subimages and give their latents; as `fit`, and then `transform`."""
        self.fit(X, y, condition=condition, **others)
        return self.transform(X, condition=condition)
