"""From subimages to a trained network, for each kind of decoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator

from hyperspy_rvae.models import scaling, training
from hyperspy_rvae.models.course import Callback, Plan, Record
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.nets import Network
from hyperspy_rvae.models.steerable import spectrum
from hyperspy_rvae.models.steerable import training as steerable_training
from hyperspy_rvae.models.steerable.nets import SteerableNetwork
from hyperspy_rvae.models.threads import one_thread


@dataclass(frozen=True)
class Task:
    """What to learn, from pixels ``(n, h * w)``, and where."""

    pixels: np.ndarray
    window: tuple[int, int]
    space: LatentSpace
    plan: Plan
    device: torch.device


def spatial(
    task: Task, generator: Generator, callback: Callback | None
) -> tuple[Network, list[Record]]:
    """Train an encoder of pose and content, and a spatial decoder."""
    location, scale = scaling.location_and_scale(task.pixels)
    network = Network(task.window, task.space)
    network.start(generator)
    network.location.fill_(location)
    network.scale.fill_(scale)
    network.to(task.device)
    images = scaling.standardise(task.pixels, location, scale)
    return network, training.train(network, images, task.plan, generator, callback)


def steerable(
    task: Task, generator: Generator, callback: Callback | None
) -> tuple[SteerableNetwork, list[Record]]:
    """Train networks of content alone; the pose is summed over."""
    location, scale = scaling.location_and_scale(task.pixels)
    images = scaling.standardise(task.pixels, location, scale)
    found = spectrum.measure(images.reshape(-1, *task.window))
    network = SteerableNetwork(task.window, task.space, found.band)
    network.start(generator)
    network.location.fill_(location)
    network.scale.fill_(scale)
    network.to(task.device)
    support = network.seen(torch.from_numpy(images)).to(task.device)
    snr = found.signal / found.noise
    with one_thread():
        history = steerable_training.train(network, support, task.plan, snr, generator, callback)
    return network, history
