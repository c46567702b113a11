"""A trained network at work: NumPy in, NumPy out, a few subimages at a time."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from hyperspy_rvae.models.divergence import BOUND
from hyperspy_rvae.models.labels import UNKNOWN
from hyperspy_rvae.models.nets import Network
from hyperspy_rvae.models.scaling import restore, standardise
from hyperspy_rvae.models.steerable import runs
from hyperspy_rvae.models.steerable.nets import SteerableNetwork
from hyperspy_rvae.models.threads import share
from hyperspy_rvae.models.training import validate

AnyNetwork = Network | SteerableNetwork
T = TypeVar("T", bound=nn.Module)

_ENCODED_AT_ONCE = 512
_DECODED_AT_ONCE = 32  # their hidden layers stay in the cache
_WIDEST_TURN = math.pi / 2
_SEED = 0
_IDLE = 0.1  # standard deviation of the posterior's mean


def encode(
    network: AnyNetwork, pixels: np.ndarray, context: np.ndarray, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the latents, ``(n, latents)``, of pixels ``(n, p)``.

    What the networks are given beside them is the context ``(n, c)``.
    """
    network = _on(network, device)
    location, scale = _units(network)
    mean = np.empty((len(pixels), len(network.space.names)), np.float32)
    std = np.empty_like(mean)

    @torch.inference_mode()
    def part(rows: slice) -> None:
        batch = torch.from_numpy(standardise(pixels[rows], location, scale)).to(device)
        given = torch.from_numpy(context[rows]).to(device)
        mean[rows], std[rows] = (found.numpy(force=True) for found in network.encode(batch, given))

    share(part, _slices(len(pixels), _ENCODED_AT_ONCE))
    return mean, std


def decode(
    network: AnyNetwork, values: np.ndarray, context: np.ndarray, device: torch.device
) -> np.ndarray:
    """Pixels ``(n, p)`` on the input's scale, of latents ``(n, latents)``."""
    network = _on(network, device)
    location, scale = _units(network)
    pixels = np.empty((len(values), network.channels * math.prod(network.window)), np.float32)

    @torch.inference_mode()
    def part(rows: slice) -> None:
        latents, given = (torch.from_numpy(part[rows]).to(device) for part in (values, context))
        decoded = network.decode(latents, given).numpy(force=True)
        pixels[rows] = restore(decoded, location, scale)

    share(part, _slices(len(values), _DECODED_AT_ONCE))
    return pixels


def symmetry(
    network: SteerableNetwork, values: np.ndarray, context: np.ndarray, device: torch.device
) -> np.ndarray:
    """Order ``(n,)`` of the rotational symmetry of the content of latents ``(n, latents)``."""
    on = _on(network, device)
    orders = np.empty(len(values), np.int64)

    @torch.inference_mode()
    def part(rows: slice) -> None:
        latents, given = (torch.from_numpy(part[rows]).to(device) for part in (values, context))
        given = torch.cat([on.space.class_of(latents), given], 1)
        b = on.draw(on.space.split(latents).content, given)
        orders[rows] = on.symmetries(b).order.numpy(force=True)

    share(part, _slices(len(values), _ENCODED_AT_ONCE))
    return orders


def evidence(
    network: AnyNetwork, pixels: np.ndarray, context: np.ndarray, device: torch.device
) -> float:
    """Mean evidence lower bound of pixels ``(n, p)`` in nats, on the input's scale."""
    network = _on(network, device)
    standard = standardise(pixels, *_units(network))
    images, given = torch.from_numpy(standard).to(device), torch.from_numpy(context).to(device)
    if isinstance(network, SteerableNetwork):
        seen, codes = network.seen(images), network.codes()
        return -runs.validate(network, seen, given, BOUND, _SEED, codes)
    return -validate(network, images, given, BOUND, seed=_SEED)


def agreement(
    network: AnyNetwork, labels: np.ndarray, pixels: np.ndarray, context: np.ndarray
) -> float:
    """Share of labelled subimages that the model puts into their class."""
    rows = np.flatnonzero(labels != UNKNOWN)
    values, _ = encode(network, pixels[rows], context[rows], torch.device("cpu"))
    found = values[:, network.space.names.index("class")]
    return float((found == labels[rows]).mean())


def measure_spread(
    network: AnyNetwork, pixels: np.ndarray, context: np.ndarray, device: torch.device
) -> None:
    """Note in the network how far the latents of pixels ``(n, p)`` reach.

    A content latent whose mean hardly varies is idle (Burda, Grosse and Salakhutdinov, ICLR 2016)
    and knows nothing. Given a context, its faint values would still differ between labels, so it is
    silenced.
    """
    values, _ = encode(network, pixels, context, device)
    spread = values.std(0)
    if network.context:
        idle = network.space.is_content() & (spread < _IDLE)
        network.silence(torch.from_numpy(idle[network.space.is_content()]))
        spread[idle] = 0
        spread[sum(network.space.widths) :] = 0  # what is no number has no reach
    if network.space.rotation:
        length = abs(np.exp(1j * values[:, 0]).mean())
        spread[0] = min(math.sqrt(-2 * math.log(max(length, 1e-6))), _WIDEST_TURN)
    network.spread.copy_(torch.from_numpy(spread))


def _units(network: AnyNetwork) -> tuple[np.ndarray, np.ndarray]:
    return network.location.numpy(force=True), network.scale.numpy(force=True)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


def _on(network: T, device: torch.device) -> T:
    # The model's own network stays where it is: other threads may be at work with it.
    return network if device.type == "cpu" else deepcopy(network).to(device)
