"""What a fitted model does: encode and decode subimages, and keep itself."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, TypeVar, overload

import dask.array as da
import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hyperspy_rvae.models import (
    blocks,
    checks,
    conditions,
    configuration,
    ensemble,
    inference,
    storage,
)
from hyperspy_rvae.models.configuration import Configuration
from hyperspy_rvae.models.course import Record
from hyperspy_rvae.models.inference import AnyNetwork
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.steerable.nets import SteerableNetwork

Fitted = TypeVar("Fitted", bound="FittedModel")


class FittedModel(TransformerMixin, BaseEstimator):
    """All of an estimator but its parameters and how it learns."""

    device: Literal["cpu", "cuda"] | None
    decoder: str
    encoder: str
    n_models: int

    @overload
    def transform(
        self, X: Any, return_std: Literal[False] = False, *, condition: Any = None
    ) -> np.ndarray: ...
    @overload
    def transform(
        self, X: Any, return_std: Literal[True], *, condition: Any = None
    ) -> tuple[np.ndarray, np.ndarray]: ...
    def transform(self, X: Any, return_std: bool = False, *, condition: Any = None) -> Any:
        """Latents of subimages.

        Parameters
        ----------
        X
            As for `fit`, with windows and channels of the fitted shape; may be flattened.
        return_std
            Whether to return standard deviations, too: the posterior's and, where there are
            several models, what they disagree by, ``sqrt(posterior**2 + disagreement**2)``.
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
            checks.check_window(X.shape, network.window, network.channels)
            condition = conditions.checked(self.condition_, condition, len(X))
            both = blocks.encode(X, condition, self._encode, len(self.latent_names_))
            values, std = both[:, : both.shape[1] // 2], both[:, both.shape[1] // 2 :]
        else:
            values, std = self._encode(X, condition, return_std)
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
            Shape ``(n, height, width)``, or ``(n, channels, height, width)`` if there are several.
        """
        network = self._fitted()
        values = checks.check_latents(Z, network.space.names, network.space.classes)
        context = conditions.codes(self.condition_, condition, len(values))
        images = inference.decode(network, values, context, self._device())
        several = (network.channels,) if network.channels > 1 else ()
        return images.reshape(-1, *several, *network.window)

    def reconstruct(self, X: Any, *, condition: Any = None) -> np.ndarray:
        """Encode and decode subimages; the result has the shape of ``X``, on its scale."""
        network = self._fitted()
        values, _ = self._encode(X, condition, return_std=False)
        context = conditions.codes(self.condition_, condition, len(values))
        return inference.decode(network, values, context, self._device()).reshape(np.shape(X))

    def symmetry(self, Z: Any, *, condition: Any = None) -> np.ndarray:
        """Order of the rotational symmetry of the content of latents.

        Content is n-fold symmetric if it looks the same, an autocorrelation above 0.8, after turns
        by 2 pi / n about a centre of its own; the highest n up to six counts.

        Parameters
        ----------
        Z
            Shape ``(n, latents)``, columns as in ``latent_names_``; only the content is looked at.
        condition
            As `fit` was given, for these rows; one label or number holds for all of them.

        Returns
        -------
        orders
            Shape ``(n,)``, whole numbers; 1 where content has no such symmetry.

        Raises
        ------
        ValueError
            If the decoder is not the steerable one.
        """
        network = self._fitted()
        if not isinstance(network, SteerableNetwork):
            raise ValueError("symmetry needs decoder='steerable', got 'spatial'; fit such a model")
        values = checks.check_latents(Z, network.space.names, network.space.classes)
        context = conditions.codes(self.condition_, condition, len(values))
        return inference.symmetry(network, values, context, self._device())

    def score(self, X: Any, y: Any = None, *, condition: Any = None) -> float:
        """Mean evidence lower bound of a subimage in nats, on the input's own scale.

        The latents are drawn once for each subimage, from a fixed seed.
        """
        network = self._fitted()
        pixels = checks.check_subimages(X, network.window, network.channels)
        if not len(pixels):
            raise ValueError("X must hold at least one subimage to score, got none")
        context = conditions.codes(self.condition_, condition, len(pixels))
        return inference.evidence(network, pixels, context, self._device())

    @property
    def models_(self: Fitted) -> list[Fitted]:
        """The fitted models of an ensemble, each by itself."""
        networks = [self._fitted(), *(network for network, _ in self._others)]
        parameters = self.get_params(deep=False) | {"n_models": 1}
        models = []
        for k, seed in enumerate(ensemble.seeds(self.seed_, len(networks))):
            models.append(type(self)(**parameters | {"seed": seed}))
            history = ensemble.history_of(self.history_, k)
            models[k]._adopt(networks[k], [], self._known(parameters, seed, history))
        return models

    @property
    def components_(self) -> np.ndarray:
        """What each latent changes, shape ``(latents, pixels)``: a picture, and not a basis.

        The image decoded one standard deviation of the training data above zero, less the one
        below, all other latents being zero; an angle goes at most a quarter turn either way, and
        a scale is about one. The condition is the commonest label, or the mean.
        """
        network = self._fitted()
        steps, rest = np.diag(network.spread.numpy()), network.space.at_rest
        usual = None if self.condition_ is None else [self.condition_.usual] * len(steps)
        above, below = (
            self.inverse_transform(rest + sign * steps, condition=usual) for sign in (1, -1)
        )
        change = above - below
        return change.reshape(len(steps), -1)

    def configuration(self) -> str:
        """Everything of a fitted model but its weights and its device, as JSON."""
        self._fitted()
        parameters = self.get_params(deep=False)
        del parameters["device"]  # of the machine, and not of the model
        return configuration.write(self._known(parameters, self.seed_, self.history_))

    def weights(self) -> dict[str, np.ndarray]:
        """Weights of a fitted model by name, arrays of at least one dimension."""
        return storage.ensemble_to_arrays(self._fitted(), self._others)

    @classmethod
    def rebuild(cls: type[Fitted], configuration_json: str, weights: Mapping[str, Any]) -> Fitted:
        """Fitted model from what `configuration` and `weights` gave.

        Parameters
        ----------
        configuration_json
            JSON.
        weights
            Arrays of any kind that `numpy.asarray` takes.

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
        shape = model.decoder, model.encoder, found.window, space, width, found.channels
        build = partial(storage.from_arrays, *shape)
        model._adopt(*storage.ensemble_from_arrays(build, int(model.n_models), weights), found)
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
    def load(cls: type[Fitted], path: str | os.PathLike[str]) -> Fitted:
        """Read a model that `save` wrote; nothing in the file is run.

        Raises
        ------
        ValueError
            If it is another kind of file, or weights and configuration don't fit.
        """
        return cls.rebuild(*storage.read_file(path))

    def _encode(
        self, X: Any, condition: Any, return_std: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        network, device = self._fitted(), self._device()
        pixels = checks.check_subimages(X, network.window, network.channels)
        context = conditions.codes(self.condition_, condition, len(pixels))
        values, std = inference.encode(network, pixels, context, device)
        if return_std:
            std = ensemble.widen(network, values, std, self._others, pixels, context, device)
        return values, std

    def _known(self, parameters: dict[str, Any], seed: int, history: list[Record]) -> Configuration:
        told = self.condition_, self.n_channels_, self.classes_.tolist()
        return Configuration(parameters, self.window_shape_, seed, history, *told)

    def _device(self) -> torch.device:
        return checks.choose_device(self.device)

    def _fitted(self) -> AnyNetwork:
        check_is_fitted(self, "latent_names_")
        return self._network

    def _adopt(self, network: AnyNetwork, others: ensemble.Others, known: Configuration) -> None:
        # The networks are on the CPU, where they can be copied, pickled and shared by threads.
        self._network, self._others = network, others
        self.history_, self.seed_ = known.history, known.seed
        self.condition_, self.classes_ = known.condition, np.array(known.classes)
        self.latent_names_ = network.space.names
        self.window_shape_ = network.window
        self.n_channels_ = network.channels
        self.n_features_in_ = network.channels * math.prod(network.window)
        noise = (network.noise_variance * network.scale.square()).numpy()
        self.noise_variance_ = float(noise[0]) if len(noise) == 1 else noise
