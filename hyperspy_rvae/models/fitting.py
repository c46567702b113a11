"""From subimages to a trained network, for each kind of decoder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Generator

from hyperspy_rvae.models import blocks, checks, conditions, scaling, training
from hyperspy_rvae.models.blocks import Streamed
from hyperspy_rvae.models.conditions import Condition
from hyperspy_rvae.models.configuration import Configuration
from hyperspy_rvae.models.course import Callback, Plan, Record
from hyperspy_rvae.models.labels import learn_classes
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.nets import Network
from hyperspy_rvae.models.steerable import runs, spectrum
from hyperspy_rvae.models.steerable.nets import SteerableNetwork
from hyperspy_rvae.models.steerable.poses import largest_shift
from hyperspy_rvae.models.steerable.streaming import Stream
from hyperspy_rvae.models.threads import one_thread

_MOST_LEFT = 0.25  # of the signal; more is worth a warning
_LEAST_WITH_SHIFTS = 7  # px
_FEWEST_RIGHT = 0.8  # share of the labelled
_LEAST_SNR = 0.05  # below, the signal's variance is not known well enough


@dataclass(frozen=True)
class Task:
    """What to learn, from pixels ``(n, channels * h * w)`` and a context ``(n, c)``, and where.

    The context holds the codes of the condition, if there is one. Labels ``(n,)`` are indices into
    the names of the classes; without them, classes are found.
    """

    pixels: np.ndarray
    window: tuple[int, int]
    space: LatentSpace
    plan: Plan
    context: np.ndarray
    device: torch.device
    channels: int = 1
    encoder: str = "mlp"
    streamed: Streamed | None = None
    condition: Condition | None = None
    classes: np.ndarray = field(default_factory=lambda: np.arange(0))
    labels: np.ndarray | None = None

    def learned(self, seed: int, history: list[Record]) -> Configuration:
        """Say what a model knows besides its parameters after this training."""
        told = self.condition, self.channels, self.classes.tolist()
        return Configuration({}, self.window, seed, history, *told)


def prepare(parameters: Mapping[str, Any], X: Any, y: Any, condition: Any, seed: int) -> Task:
    """Task of an estimator with these parameters; what it is given is checked and drawn."""
    most, count = parameters["max_subimages"], parameters["discrete_classes"]
    condition = blocks.draw_beside("condition", condition, X, most, seed)
    learned = None if condition is None else conditions.learn(condition)
    y = blocks.draw_beside("y", y, X, most, seed) if count else None
    classes, labels = learn_classes(y, count)
    some, streamed = blocks.to_learn(X, most, parameters["buffer_subimages"], seed)
    pixels, window, channels = checks.check_new_subimages(some)
    checks.check_decoder(parameters["decoder"], window)
    plan = Plan.of(parameters)
    checks.check_enough(count, len(pixels) - plan.held_out(len(pixels)))
    context = conditions.codes(learned, condition, len(streamed.X) if streamed else len(pixels))
    if streamed:
        streamed = replace(streamed, context=context)
        context = context[streamed.rows]
    return Task(
        pixels,
        window,
        LatentSpace.of(parameters),
        plan,
        context,
        checks.choose_device(parameters["device"]),
        channels,
        parameters["encoder"],
        streamed,
        learned,
        classes,
        labels,
    )


def spatial(
    task: Task, generator: Generator, callback: Callback | None
) -> tuple[Network, list[Record]]:
    """Train an encoder of pose and content, and a spatial decoder."""
    location, scale = scaling.by_channel(task.pixels, task.channels)
    width = task.context.shape[1]
    network = Network(task.window, task.space, width, task.channels, task.encoder)
    network.start(generator)
    network.location.copy_(torch.from_numpy(location))
    network.scale.copy_(torch.from_numpy(scale))
    network.to(task.device)
    images = scaling.standardise(task.pixels, location, scale)
    context = torch.from_numpy(task.context).to(task.device)
    with one_thread():
        history = training.train(network, images, context, task.plan, generator, callback)
    return network, history


def steerable(
    task: Task, generator: Generator, callback: Callback | None
) -> tuple[SteerableNetwork, list[Record]]:
    """Train networks of content alone; the pose is summed over."""
    location, scale = scaling.by_channel(task.pixels, task.channels)
    _doubt_window(task.window, task.space)
    images = scaling.standardise(task.pixels, location, scale)
    found = spectrum.measure(images.reshape(-1, task.channels, *task.window))
    network = SteerableNetwork(
        task.window, task.space, found.band, task.context.shape[1], task.channels
    )
    network.start(generator)
    network.location.copy_(torch.from_numpy(location))
    network.scale.copy_(torch.from_numpy(scale))
    network.to(task.device)
    support = network.seen(torch.from_numpy(images)).to(task.device)
    context = torch.from_numpy(task.context).to(task.device)
    snr = found.signal / found.noise
    labels = None if task.labels is None else torch.from_numpy(task.labels).to(task.device)
    stream = _stream(task, network)
    try:
        with one_thread():
            history = runs.train(
                network, support, context, task.plan, snr, generator, callback, labels, stream
            )
    finally:
        if stream is not None:
            stream.close()
    if task.plan.epochs is None:
        _doubt(float(network.noise_variance.mean()), found, task.space.content)
    return network, history


def _stream(task: Task, network: SteerableNetwork) -> Stream | None:
    if task.streamed is None:
        return None
    location, scale = network.location.numpy(force=True), network.scale.numpy(force=True)

    def prepare(windows: np.ndarray) -> torch.Tensor:
        pixels = checks.check_subimages(windows, task.window, task.channels)
        return network.seen(torch.from_numpy(scaling.standardise(pixels, location, scale)))

    return Stream(task.streamed, prepare)


def doubt_classes(right: float) -> None:
    """Warn if too few labelled subimages came out `right`."""
    if right < _FEWEST_RIGHT:
        warnings.warn(
            f"the model puts only {right:.0%} of the labelled subimages into their class, so these "
            "hardly show what the labels say; look at the labels, or cut larger windows",
            UserWarning,
            stacklevel=3,
        )


def _doubt_window(window: tuple[int, int], space: LatentSpace) -> None:
    if space.translation and min(window) < _LEAST_WITH_SHIFTS:
        warnings.warn(
            f"windows of {window} px leave hardly more than the atom in view under shifts of up "
            f"to {largest_shift(window, space):g} px; cut windows of at least {_LEAST_WITH_SHIFTS} "
            "px, or leave out the invariance to translation",
            UserWarning,
            stacklevel=4,
        )


def _doubt(noise: float, found: spectrum.Spectrum, content: int) -> None:
    # What a training as long as the data ask leaves of the signal, more latents may still find.
    left = (noise - found.noise) / found.signal
    if left > _MOST_LEFT and found.signal > _LEAST_SNR * found.noise:
        warnings.warn(
            f"{left:.0%} of what the subimages show beyond noise is not in the model; try more "
            f"than latent_dim={content}, or smaller windows",
            UserWarning,
            stacklevel=4,
        )
