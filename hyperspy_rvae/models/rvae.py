"""The estimator: an invariant variational autoencoder with scikit-learn's manners."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import dask.array as da
import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Generator

from hyperspy_rvae.models import (
    blocks,
    checks,
    conditions,
    configuration,
    fitting,
    inference,
    storage,
)
from hyperspy_rvae.models.checkpoint import settle_seed
from hyperspy_rvae.models.configuration import Configuration
from hyperspy_rvae.models.course import Callback
from hyperspy_rvae.models.inference import AnyNetwork
from hyperspy_rvae.models.latents import LatentSpace

Invariance = Literal["rotation", "translation"]


class RVAE(TransformerMixin, BaseEstimator):
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
        ``"rotation"``, ``"translation"``, both or neither.
    decoder
        ``"steerable"``, which sees the disc that fits into the window, and finds shifts of up to
        about 2 px (1 px in windows below 20 px); corners are drawn as the rim of the disc goes
        on. ``"spatial"``: the decoder of [1]_, whose encoder guesses the pose; slower, and often
        wrong where content looks alike in several poses. For comparison, and for old results.
    discrete_classes
        How many classes stand beside the content latents, for environments of so many kinds; 0
        for none. They are found, or learned from labels of some subimages [6]_, and need the
        steerable decoder.
    rotation_prior
        Standard deviation in radians, up to pi, of angles that are normal about 0, wrapped around
        the circle: for crystals that are nearly aligned, of whose symmetric motifs it then tells
        which of the angles is meant. None: all angles are alike.
    translation_prior
        Standard deviation in pixels of the shifts along x and along y. None: 1.5 px for the
        steerable decoder, a twentieth of the window's shorter side for the spatial one.
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
        Epochs over which the weight rises from zero. None: 600 steps, or fewer of short
        trainings, of the steerable decoder, and none of the spatial one.
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
        memory.
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
        "z1", "z2", .... The origin of the angle is the model's own: each content is turned to
        overlap the most with the one most like it, which is a mere convention where they share
        nothing; under ``rotation_prior`` it is the prior's zero. The origin of the shift is each
        motif's own, and under ``translation_prior`` the mean of each motif's shifts.
    history_
        One dict per epoch: ``loss``, ``reconstruction`` and ``divergence`` (nats per subimage on
        the input's scale), ``noise_variance``, and ``validation_loss`` where some are held out.
    noise_variance_
        Learned variance of a pixel, on the input's scale.
    seed_
        The seed that was used.
    classes_
        Names of the classes: the labels, or numbers; none without ``discrete_classes``.
    condition_
        None, or what `fit` was given as condition: its ``labels``, or ``location`` and ``scale``
        of its values, and ``names``, if it came from columns of a table.
    window_shape_, n_features_in_
        Height and width of a window, and their product.

    References
    ----------
    .. [1] Bepler, Zhong, Kelley, Brignole, Berger, NeurIPS 2019, arXiv:1909.11663.
    .. [2] Kalinin, Dyck, Jesse, Ziatdinov, Science Advances 7, eabd5084 (2021).
    .. [3] Zhao, Singer, J. Opt. Soc. Am. A 30, 871 (2013).
    .. [4] Burgess et al., arXiv:1804.03599 (2018).
    .. [5] Kingma et al., NeurIPS 2016, arXiv:1606.04934.

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
        discrete_classes: int = 0,
        rotation_prior: float | None = None,
        translation_prior: float | None = None,
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
        device: Literal["cpu", "cuda"] | None = None,
        seed: int | None = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.invariances = invariances
        self.decoder = decoder
        self.discrete_classes = discrete_classes
        self.rotation_prior = rotation_prior
        self.translation_prior = translation_prior
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
            Shape ``(n, height, width)``, or ``(n, height * width)`` for square windows; at least
            ten of at least 5 px, of any unit. Of a dask array ``max_subimages`` are computed.
        y
            Ignored without ``discrete_classes``. With them, labels ``(n,)`` of some subimages, text
            or integers, one for each class; None, NaN, "" or, among integers, -1 where there is
            none. Not given, classes are found.
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
            gives the same model at once; delete it when it is no longer needed.

        Raises
        ------
        ValueError
            If subimages or parameters are impossible, or `checkpoint` is of another training.
        """
        checks.check_parameters(self.get_params(deep=False))
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be a function of epoch and record, got {callback!r}")
        seed = settle_seed(self.seed, checkpoint)
        task = fitting.prepare(self.get_params(deep=False), X, y, condition, seed, checkpoint)
        learn = fitting.spatial if self.decoder == "spatial" else fitting.steerable
        network, history = learn(task, Generator().manual_seed(seed), callback)
        self._adopt(network, task.learned(seed, history))
        inference.measure_spread(network, task.pixels, task.context, task.device)
        return self

    def fit_transform(self, X: Any, y: Any = None, *, condition: Any = None, **others: Any) -> Any:
        """Learn from subimages and give their latents; as `fit`, and then `transform`."""
        self.fit(X, y, condition=condition, **others)
        return self.transform(X, condition=condition)

    def transform(self, X: Any, return_std: bool = False, *, condition: Any = None) -> Any:
        """Latents of subimages.

        Parameters
        ----------
        X
            Shape ``(n, height, width)`` or ``(n, height * width)``, windows of the fitted shape.
        return_std
            Whether to return the posterior's standard deviations, too.
        condition
            As `fit` was given, for these subimages; one label or number holds for all of them.

        Returns
        -------
        values, std
            Shape ``(n, latents)``, columns as in ``latent_names_``; of a dask array, dask arrays
            in its chunks.
        """
        network = self._fitted()
        if isinstance(X, da.Array):
            checks.check_window(X.shape, network.window)
            condition = conditions.checked(self.condition_, condition, len(X))
            both = blocks.encode(X, condition, self._encode, len(self.latent_names_))
            values, std = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
        else:
            values, std = self._encode(X, condition)
        return (values, std) if return_std else values

    def inverse_transform(self, Z: Any, *, condition: Any = None) -> np.ndarray:
        """Decode latents, angle and shift put back, on the input's scale.

        Parameters
        ----------
        Z
            Shape ``(n, latents)``, columns as in ``latent_names_``.
        condition
            As `fit` was given, for these rows; one label or number holds for all of them.

        Returns
        -------
        images
            Shape ``(n, height, width)``.
        """
        network = self._fitted()
        values = checks.check_latents(Z, network.space.names, network.space.classes)
        context = conditions.codes(self.condition_, condition, len(values))
        images = inference.decode(network, values, context, self._device())
        return images.reshape(-1, *network.window)

    def reconstruct(self, X: Any, *, condition: Any = None) -> np.ndarray:
        """Encode and decode subimages; the result has the shape of ``X``, on its scale."""
        network = self._fitted()
        values, _ = self._encode(X, condition)
        context = conditions.codes(self.condition_, condition, len(values))
        return inference.decode(network, values, context, self._device()).reshape(np.shape(X))

    def score(self, X: Any, y: Any = None, *, condition: Any = None) -> float:
        """Mean evidence lower bound of a subimage in nats, on the input's own scale.

        The latents are drawn once for each subimage, from a fixed seed.
        """
        network = self._fitted()
        pixels = checks.check_subimages(X, network.window)
        if not len(pixels):
            raise ValueError("X must hold at least one subimage to score, got none")
        context = conditions.codes(self.condition_, condition, len(pixels))
        return inference.evidence(network, pixels, context, self._device())

    @property
    def components_(self) -> np.ndarray:
        """What each latent changes, shape ``(latents, pixels)``: a picture, and not a basis.

        The image decoded one standard deviation of the training data above zero, less the one
        below, all other latents being zero; an angle goes at most a quarter turn either way. The
        condition is the commonest label, or the mean.
        """
        steps = np.diag(self._fitted().spread.numpy())
        usual = None if self.condition_ is None else [self.condition_.usual] * len(steps)
        above, below = (self.inverse_transform(sign * steps, condition=usual) for sign in (1, -1))
        return (above - below).reshape(len(steps), -1)

    def configuration(self) -> str:
        """Everything of a fitted model but its weights and its device, as JSON."""
        window = self._fitted().window
        parameters = self.get_params(deep=False)
        del parameters["device"]  # of the machine, and not of the model
        told = self.condition_, self.classes_.tolist()
        known = Configuration(parameters, window, self.seed_, self.history_, *told)
        return configuration.write(known)

    def weights(self) -> dict[str, np.ndarray]:
        """Weights of a fitted model by name, arrays of at least one dimension."""
        return storage.to_arrays(self._fitted())

    @classmethod
    def rebuild(cls, configuration_json: str, weights: Mapping[str, Any]) -> RVAE:
        """Fitted model from what `configuration` and `weights` gave, arrays of any kind.

        Raises
        ------
        ValueError
            If the configuration doesn't parse or the weights don't fit it.
        """
        found = configuration.read(configuration_json)
        try:
            model = cls(**found.parameters)
            checks.check_parameters(model.get_params(deep=False))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the model's configuration is no {cls.__name__}'s: {error}"
            ) from error
        width = 0 if found.condition is None else found.condition.width
        space = LatentSpace.of(model.get_params(deep=False))
        model._adopt(storage.from_arrays(model.decoder, found.window, space, width, weights), found)
        return model

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a fitted model to one file.

        Raises
        ------
        FileExistsError
            If there is such a file, unless ``overwrite``.
        """
        storage.write_file(path, self.configuration(), self.weights(), overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RVAE:
        """Read a model that `save` wrote; nothing in the file is run.

        Raises
        ------
        ValueError
            If it is another kind of file, or weights and configuration don't fit.
        """
        return cls.rebuild(*storage.read_file(path))

    def _encode(self, X: Any, condition: Any) -> tuple[np.ndarray, np.ndarray]:
        network = self._fitted()
        pixels = checks.check_subimages(X, network.window)
        context = conditions.codes(self.condition_, condition, len(pixels))
        return inference.encode(network, pixels, context, self._device())

    def _device(self) -> torch.device:
        return checks.choose_device(self.device)

    def _fitted(self) -> AnyNetwork:
        check_is_fitted(self, "latent_names_")
        return self._network

    def _adopt(self, network: AnyNetwork, known: Configuration) -> None:
        # The network stays on the CPU, where it can be copied, pickled and shared by threads.
        self._network = network.cpu().eval()
        self.history_, self.seed_ = known.history, known.seed
        self.condition_, self.classes_ = known.condition, np.array(known.classes)
        self.latent_names_ = network.space.names
        self.window_shape_ = network.window
        self.n_features_in_ = math.prod(network.window)
        self.noise_variance_ = float(network.noise_variance) * float(network.scale) ** 2
