"""The evidence lower bound of an invariant VAE, term by term, in nats."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from hyperspy_rvae.models.divergence import Cost
from hyperspy_rvae.models.geometry import log_wrapped_normal
from hyperspy_rvae.models.nets import Network

SHIFT_PRIOR = 0.05  # standard deviation, of the window's shorter side: 0.1 of half a window
SCALE_PRIOR = 0.1  # standard deviation, about 1
_NARROW = 0.7  # rad; below, a wrapped normal's tails do not meet; above, its series is short
_TERMS = 24
_NODES = 32  # of Gauss-Hermite quadrature


class Bound(NamedTuple):
    """What the bound is made of, each ``(n,)``.

    The errors are those of each channel, ``(n, C)``, and divergences of the content ``(n, k)``.
    """

    squared_error: Tensor
    reconstruction: Tensor
    pose: Tensor
    content: Tensor

    @property
    def divergence(self) -> Tensor:
        """Divergence of all latents, ``(n,)``."""
        return self.content.sum(-1) + self.pose

    def loss(self, cost: Cost, done: float = 1.0) -> Tensor:
        """Training's objective ``(n,)``, when a share `done` of the warm-up is over."""
        pose = cost.beta * min(1.0, done) * self.pose
        return self.reconstruction + (cost.of(self.content, done) + pose)


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


def kl_wrapped_normal(mean: Tensor, std: Tensor, prior_std: float) -> Tensor:
    """Kullback-Leibler divergence of a wrapped normal from one about 0, elementwise.

    The entropy is that of `kl_circle`; the prior's mean log-density is a Gauss-Hermite sum over
    the normal before it is wrapped, which has the same mean of any periodic function.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    steps = torch.from_numpy(nodes).to(mean)
    share = torch.from_numpy(weights / weights.sum()).to(mean)
    there = log_wrapped_normal(mean[..., None] + std[..., None] * steps, prior_std)
    return kl_circle(std) - math.log(2 * math.pi) - there @ share


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


def divergence(network: Network, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Divergence of the posteriors from the prior: of the pose ``(n,)``, the content ``(n, k)``.

    The prior of the angle is uniform and that of a shift a normal of ``SHIFT_PRIOR`` windows,
    unless the network's space has others; that of a scale is a normal of ``SCALE_PRIOR`` about 1,
    and that of the content a unit normal.
    """
    space = network.space
    means, stds = space.split(mean), space.split(std)
    pose = mean.new_zeros(len(mean))
    if space.rotation:
        pose = pose + _turn_divergence(means.angle, stds.angle, space.prior.angle)
    if space.translation:
        prior = space.prior.shift or SHIFT_PRIOR * min(network.window)
        pose = pose + kl_normal(means.shift, stds.shift, prior).sum(-1)
    if space.scale:
        pose = pose + kl_normal(means.scale - 1, stds.scale, SCALE_PRIOR)
    return pose, kl_normal(means.content, stds.content)


def _turn_divergence(mean: Tensor, std: Tensor, prior_std: float | None) -> Tensor:
    return kl_circle(std) if prior_std is None else kl_wrapped_normal(mean, std, prior_std)


def bound(network: Network, pixels: Tensor, context: Tensor, generator: Generator) -> Bound:
    """Negative evidence lower bound of standardised pixels, by one draw of the latents.

    Kingma and Welling (2014), with the reparameterised posterior; the noise is drawn on the CPU,
    so that it is the same on every device.
    """
    mean, std = network.encode(pixels, context)
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    shown = network.decode(mean + std * noise, context)
    square = (shown - pixels).square().unflatten(1, (network.channels, -1))
    squared_error = square.sum(-1)
    reconstruction = gaussian_nll(squared_error, network.noise_variance, square.shape[-1])
    return Bound(squared_error.detach(), reconstruction, *divergence(network, mean, std))
