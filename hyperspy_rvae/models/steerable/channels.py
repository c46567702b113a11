"""Several channels as one: coefficients side by side, and one pose for all.

A row of coefficients holds the real parts of all channels, one channel after the other, and then
the imaginary parts, so that a turn is a phase of each. What maps the coefficients of one channel
maps those of all as a matrix of equal blocks on the diagonal. Pixels are one channel after the
other.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor


def outwards(matrix: np.ndarray, channels: int) -> np.ndarray:
    """Repeat a map ``(..., 2 D, m)`` of coefficients to anything: ``(..., 2 C D, C m)``."""
    *several, rows, columns = matrix.shape
    halves = matrix.reshape(*several, 2, rows // 2, columns)
    blocks = np.einsum("...pdm,ce->...pcdem", halves, np.eye(channels, dtype=matrix.dtype))
    return blocks.reshape(*several, channels * rows, channels * columns)


def among(matrix: np.ndarray, channels: int) -> np.ndarray:
    """Repeat a map ``(..., 2 D, 2 D)`` of coefficients to coefficients: ``(..., 2 C D, 2 C D)``."""
    *several, rows, _ = matrix.shape
    halves = matrix.reshape(*several, 2, rows // 2, 2, rows // 2)
    blocks = np.einsum("...pdqf,ce->...pcdqef", halves, np.eye(channels, dtype=matrix.dtype))
    return blocks.reshape(*several, channels * rows, channels * rows)


def apart(rows: Tensor, channels: int) -> Tensor:
    """Take the coefficients ``(..., 2 C D)`` of the channels apart: ``(..., C, 2 D)``."""
    return rows.unflatten(-1, (2, channels, -1)).transpose(-3, -2).flatten(-2)


def together(parts: Tensor) -> Tensor:
    """Put coefficients ``(..., C, 2 D)`` side by side: ``(..., 2 C D)``."""
    return parts.unflatten(-1, (2, -1)).transpose(-3, -2).flatten(-3)


def wide(values: Tensor, functions: int) -> Tensor:
    """Repeat a number per channel ``(C,)`` for each of its coefficients, ``(2 C D,)``."""
    if len(values) == 1:
        return values
    return values.repeat_interleave(functions // (2 * len(values))).repeat(2)
