"""Convolutions: what an encoder may look at windows with."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import skip_init

WIDTHS = (16, 32, 64)
_AT_ONCE = 256  # windows; what they give in between is several times as large as they are


class Convolutions(nn.Module):
    """Windows to so many numbers: three convolutions (SiLU), then a dense layer.

    Each has 3 x 3 pixels and takes every second one, so that 5 px are enough, and a window's
    channels are those of the first.
    """

    def __init__(self, channels: int, height: int, width: int, outputs: int) -> None:
        super().__init__()
        self.shape = channels, height, width
        self.layers = nn.ModuleList(
            skip_init(nn.Conv2d, before, after, 3, stride=2, padding=1)
            for before, after in zip((channels, *WIDTHS), WIDTHS, strict=False)
        )
        self.dense = skip_init(nn.Linear, left_over(height, width), outputs)

    def start(self, generator: Generator) -> None:
        """Draw the first weights; those of He et al. (2015) before a SiLU, which cuts off half."""
        for values in self.layers.parameters():
            if values.ndim > 1:
                nn.init.kaiming_uniform_(values, nonlinearity="relu", generator=generator)
            else:
                nn.init.zeros_(values)
        nn.init.xavier_uniform_(self.dense.weight, generator=generator)
        nn.init.zeros_(self.dense.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """Numbers ``(..., outputs)`` of pixels ``(..., C * p)``, channel by channel."""
        windows = pixels.reshape(-1, *self.shape)
        found = torch.cat([self._look(some) for some in windows.split(_AT_ONCE)])
        return found.view(*pixels.shape[:-1], self.dense.out_features)

    def _look(self, windows: Tensor) -> Tensor:
        for layer in self.layers:
            windows = nn.functional.silu(layer(windows))
        return self.dense(windows.flatten(1))


def left_over(height: int, width: int) -> int:
    """Count the numbers that the convolutions leave of a window."""
    step = 2 ** len(WIDTHS)
    return WIDTHS[-1] * math.ceil(height / step) * math.ceil(width / step)
