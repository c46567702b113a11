"""Content with the prior's moments in every context, by an affine change of its latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_STEPS = 30
_FARTHEST = 2.0  # of a logarithm of scale
_PRIOR = 2  # subimages that follow the prior, as which each column of the context is counted


class Level(nn.Module):
    """Affine maps of the content latents in each context, which the decoder inverts.

    They change nothing but the divergence. An encoder that is trained for a short time says the
    same by content of different places and spreads in different contexts, and so tells the context
    twice. With ``c`` the context, content is ``(z - c @ location) / exp(c @ log_scale)``.
    """

    location: Tensor
    log_scale: Tensor

    def __init__(self, context: int, content: int) -> None:
        super().__init__()
        for name in ("location", "log_scale"):
            none = torch.zeros(context, content)
            self.register_buffer(name, none, persistent=bool(context))

    def forward(self, mean: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Levelled content, and the logarithm of what its standard deviation is divided by.

        Both ``(n, k)``, of what an encoder says in a context ``(n, c)``.
        """
        log_scale = self._log_scale(context)
        return (mean - context @ self.location) * (-log_scale).exp(), log_scale

    def undo(self, content: Tensor, context: Tensor) -> Tensor:
        """Content ``(n, k)`` as the decoder knows it."""
        return content * self._log_scale(context).exp() + context @ self.location

    @torch.no_grad()
    def learn(self, mean: Tensor, log_variance: Tensor, context: Tensor) -> None:
        """Find the maps of least divergence, for posteriors that were not levelled.

        The divergence of a posterior from a unit normal depends on its affine map by
        ``(r^2 + v) exp(-2 g) / 2 + g``, of ``r`` the distance from the location, ``v`` the
        variance, ``g`` the log-scale. The locations follow by least squares, the log-scales, as in
        a regression with gamma errors, by Fisher scoring; with labels for a context that gives
        each label's mean and mean square.
        """
        columns = context.shape[1]
        if not columns:
            return
        self.location.zero_()
        self.log_scale.zero_()
        ones = torch.eye(columns).to(context).repeat(_PRIOR, 1)
        context = torch.cat([context, ones]).double().cpu()
        mean = torch.cat([mean, mean.new_zeros(len(ones), mean.shape[1])]).double().cpu()
        square = torch.cat([log_variance.exp(), torch.ones_like(mean[: len(ones)])]).double().cpu()
        solve = torch.linalg.pinv(context)
        location = solve @ mean
        square = square + (mean - context @ location).square()
        log_scale = torch.zeros_like(location)
        for _ in range(_STEPS):
            log_scale += 0.5 * solve @ (square * (-2 * context @ log_scale).exp() - 1)
        self.location.copy_(location)
        self.log_scale.copy_(log_scale)

    @torch.no_grad()
    def forget(self, idle: Tensor) -> None:
        """Leave some latents ``(k,)`` as they are."""
        self.location[:, idle] = 0
        self.log_scale[:, idle] = 0

    def _log_scale(self, context: Tensor) -> Tensor:
        return (context @ self.log_scale).clamp(-_FARTHEST, _FARTHEST)
