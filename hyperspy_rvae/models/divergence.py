"""What the divergence of the content's posterior from its prior costs in training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cost:
    """Weight of the divergence and what is done to it; by default, as in the evidence bound.

    With ``D_j`` the divergence of latent j, expected over a batch, and t from 0 to 1 during the
    warm-up, the cost is ``beta t sum_j max(D_j, free_bits)``, or with a capacity C (nats)
    ``beta |sum_j max(D_j, free_bits) - t C|``. Beta is that of Higgins et al. (ICLR 2017), the
    warm-up of Bowman et al. (CoNLL 2016), free bits of Kingma et al. (NeurIPS 2016), capacity of
    Burgess et al. (arXiv:1804.03599).
    """

    beta: float = 1.0
    kl_warmup: int | None = None  # epochs
    capacity: float | None = None
    free_bits: float = 0.0

    def of(self, kl: Tensor, done: float = 1.0) -> Tensor:
        """Cost ``(n,)`` of divergences ``(n, k)``, when a share `done` of the warm-up is over.

        With free bits or a capacity it is one number, the same for the whole batch.
        """
        if self.free_bits:
            kl = kl.mean(0, keepdim=True).clamp(min=self.free_bits).expand_as(kl)
        total = kl.sum(1)
        if self.capacity is None:
            return self.beta * min(1.0, done) * total
        aim = min(1.0, done) * self.capacity
        return (self.beta * (total.mean() - aim).abs()).expand(len(kl))


def kl_unit(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence of normal posteriors from a unit normal, elementwise."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def told_twice(mean: Tensor, log_variance: Tensor, context: Tensor) -> Tensor:
    """How much of the content's first two moments follows from the context ``(n, c)``.

    The prior does not depend on the context, so that ``E[z | c]`` is 0 and ``E[z^2 | c]`` is 1 for
    posteriors that match it. This is what regression of ``z`` and of ``(z^2 - 1) / 2`` on each
    column explains, summed over columns and latents, by products of different subimages only, and
    so without bias.

    Parameters
    ----------
    mean, log_variance
        Of the posterior of content, shape ``(n, k)``.
    context
        Shape ``(n, c)``.
    """
    width = 0.5 * (mean.square() + log_variance.exp() - 1)
    square = context.square()
    total, own = square.sum(0), square.square().sum(0)
    share = total / ((total.square() - own).clamp(min=1) * len(mean))
    moments = torch.cat([mean, width], 1)
    products = (context.mT @ moments).square() - square.mT @ moments.square()
    return 0.5 * (share[:, None] * products).sum()


BOUND = Cost()
