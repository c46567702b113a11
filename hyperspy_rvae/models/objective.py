"""The evidence lower bound of an invariant VAE, term by term, in nats."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from hyperspy_rvae.models.nets import Network

SHIFT_PRIOR = 0.05  # standard deviation, of the window's shorter side: 0.1 of half a window
_NARROW = 0.7  # rad; below, a wrapped normal's tails do not meet; above, its series is short
_TERMS = 24


class Bound(NamedTuple):
    """What the bound is made of, each ``(n,)``, but for the errors ``(n, C)`` of the channels."""

    squared_error: Tensor
    reconstruction: Tensor
    divergence: Tensor


def kl_normal(mean: Tensor, std: Tensor, prior_std: float = 1.0) -> Tensor:
    """Kullback-Leibler divergence of ``N(mean, std)`` from ``N(0, prior_std)``, elementwise."""
    ratio = std / prior_std
    return 0.5 * (ratio.square() + (mean / prior_std).square() - 1) - torch.log(ratio)


def kl_circle(std: Tensor) -> Tensor:
    """Kullback-Leibler divergence of a wrapped normal from the uniform law on the circle.

    It is ``log(2 pi)`` less the entropy of the wrapped normal, whatever its mean. The entropy is
    that of the normal where it is narrow, and else a series in ``q = exp(-std**2)`` by Jacobi's
    triple product (Mardia and Jupp, Directional Statistics, 2000).
    """
    narrow = std < _NARROW
    edge = torch.full_like(std, _NARROW)  # keeps the branch not taken, and its gradient, finite
    normal = 0.5 * math.log(2 * math.pi / math.e) - torch.log(torch.where(narrow, std, edge))
    k = torch.arange(1, _TERMS + 1, dtype=std.dtype, device=std.device)
    q = torch.exp(-torch.where(narrow, edge, std).square())[..., None]
    triple = torch.log1p(-(q**k)).sum(-1)
    terms = (1 - 2 * (k % 2)) / k * q ** ((k * k + k) / 2) / (1 - q**k)
    return torch.where(narrow, normal, triple - 2 * terms.sum(-1))


def gaussian_nll(squared_error: Tensor, noise_variance: Tensor, pixels: int) -> Tensor:
    """Negative log-likelihood of windows with Gaussian noise.

    Parameters
    ----------
    squared_error
        Sum over each window's ``pixels``, shape ``(n, channels)``.
    noise_variance
        Of one pixel, shape ``(channels,)``.
    """
    normaliser = pixels * torch.log(2 * math.pi * noise_variance)
    return (0.5 * (squared_error / noise_variance + normaliser)).sum(-1)


def divergence(network: Network, mean: Tensor, std: Tensor) -> Tensor:
    """Divergence of the posteriors from the prior, ``(n,)``.

    The prior of the angle is uniform, that of a shift is a normal of ``SHIFT_PRIOR`` windows, that
    of the content a unit normal.
    """
    space = network.space
    means, stds = space.split(mean), space.split(std)
    total = kl_normal(means.content, stds.content).sum(-1)
    if space.rotation:
        total = total + kl_circle(stds.angle)
    if space.translation:
        prior = SHIFT_PRIOR * min(network.window)
        total = total + kl_normal(means.shift, stds.shift, prior).sum(-1)
    return total


def bound(network: Network, pixels: Tensor, generator: Generator) -> Bound:
    """Negative evidence lower bound of standardised pixels, by one draw of the latents.

    Kingma and Welling (2014), with the reparameterised posterior; the noise is drawn on the CPU,
    so that it is the same on every device.
    """
    mean, std = network.encode(pixels)
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    error = network.decode(mean + std * noise) - pixels
    squared_error = error.square().unflatten(1, (network.channels, -1)).sum(-1)
    reconstruction = gaussian_nll(squared_error, network.noise_variance, math.prod(network.window))
    return Bound(squared_error.detach(), reconstruction, divergence(network, mean, std))
