"""Content with the prior's moments in every context, by an affine change of its latents."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

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
        variance, ``g`` the log-scale. The locations follow by least squares, then the log-scales,
        of which it is a convex function; with labels for a context they are those of each label's
        mean and mean square.
        """
        self.forget(torch.arange(mean.shape[1]))
        if not context.shape[1]:
            return
        prior = np.repeat(np.eye(context.shape[1]), _PRIOR, axis=0)
        none = np.zeros((len(prior), mean.shape[1]))
        told = np.concatenate([context.numpy(force=True), prior])
        place = np.concatenate([mean.numpy(force=True), none])
        square = np.concatenate([log_variance.exp().numpy(force=True), none + 1])
        location = np.linalg.lstsq(told, place)[0]
        square += (place - told @ location) ** 2
        log_scale = np.stack([_slopes(told, column) for column in square.T], 1)
        self.location.copy_(torch.from_numpy(location))
        self.log_scale.copy_(torch.from_numpy(log_scale))

    @torch.no_grad()
    def forget(self, idle: Tensor) -> None:
        """Leave some latents ``(k,)`` as they are."""
        self.location[:, idle] = 0
        self.log_scale[:, idle] = 0

    def _log_scale(self, context: Tensor) -> Tensor:
        return (context @ self.log_scale).clamp(-_FARTHEST, _FARTHEST)


def _slopes(context: np.ndarray, square: np.ndarray) -> np.ndarray:
    # Slopes (c,) of the log-scale of least divergence, of squares (n,) in contexts (n, c).
    def divergence(slopes: np.ndarray) -> tuple[float, np.ndarray]:
        log_scale = context @ slopes
        with np.errstate(over="ignore"):
            share = square * np.exp(-2 * log_scale)
        return float((share / 2 + log_scale).mean()), (1 - share) @ context / len(context)

    bounds = [(-_FARTHEST, _FARTHEST)] * context.shape[1]
    none = np.zeros(context.shape[1])
    return minimize(divergence, none, jac=True, method="L-BFGS-B", bounds=bounds).x
