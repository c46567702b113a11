"""Where the pixels of a turned and displaced window lie in its content's own frame.

Vectors are ``(x, y)`` in pixels, x right and y down; angles are radians, counter-clockwise as
displayed. With y down, such a rotation by ``a`` is ``R(a) = [[cos a, sin a], [-sin a, cos a]]``.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

_TURNS = 4  # either way; enough for a standard deviation of pi


def pixel_grid(height: int, width: int) -> Tensor:
    """Positions of a window's pixels, from its centre.

    Returns
    -------
    pixels
        Shape ``(height * width, 2)``, x and y, in the order of a flattened window; the centre is
        ``((width - 1) / 2, (height - 1) / 2)``.
    """
    y = torch.arange(height, dtype=torch.float32) - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
    return torch.stack([x.repeat(height), y.repeat_interleave(width)], 1)


def canonical_frame(
    angle: Tensor, shift: Tensor, scale: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Map from a window's pixels to the frame of its content.

    Content that is enlarged by ``scale`` and turned by ``angle`` about its origin, and then
    displaced by ``shift``, shows at the pixel ``p`` what it has at ``R(-angle) (p - shift) /
    scale`` (Bepler et al., NeurIPS 2019).

    Parameters
    ----------
    angle
        Shape ``(n,)``.
    shift
        Shape ``(n, 2)``.
    scale
        Shape ``(n,)``; one if not given.

    Returns
    -------
    turn, offset
        Shapes ``(n, 2, 2)`` and ``(n, 2)``; the position is ``turn @ p + offset``.
    """
    cos, sin = torch.cos(angle), torch.sin(angle)
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    if scale is not None:
        turn = turn / scale[:, None, None]
    return turn, -(turn @ shift[:, :, None]).squeeze(-1)


def exact_turns(height: int, width: int) -> tuple[Tensor, Tensor]:
    """List the turns that only reorder a window's pixels: four of a square, else two.

    Returns
    -------
    orders
        Shape ``(turns, height * width)``: ``window.ravel()[orders[k]]`` is the flattened window
        turned by ``2 pi k / turns``.
    back
        Shape ``(turns, 2, 2)``: matrices that turn a vector back by as much.
    """
    quarters = range(0, 4, 1 if height == width else 2)
    pixels = np.arange(height * width).reshape(height, width)
    orders = np.stack([np.rot90(pixels, k).ravel() for k in quarters])
    quarter_back = np.array([[0, -1], [1, 0]])
    back = np.stack([np.linalg.matrix_power(quarter_back, k) for k in quarters])
    return torch.from_numpy(orders), torch.from_numpy(back).to(torch.float32)


def log_wrapped_normal(angle: Tensor, std: float) -> Tensor:
    """Log-density of angles (radians) that are normal about 0, all turns of them added up."""
    turns = 2 * math.pi * torch.arange(-_TURNS, _TURNS + 1, device=angle.device)
    wrapped = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
    normal = -0.5 * ((wrapped[..., None] + turns) / std).square()
    return torch.logsumexp(normal, -1) - math.log(std * math.sqrt(2 * math.pi))


def vector_angle(vectors: Tensor) -> Tensor:
    """Angle of vectors ``(..., 2)`` from x, in (-pi, pi]."""
    angle = torch.atan2(-vectors[..., 1], vectors[..., 0])
    return torch.where(angle <= -math.pi, angle + 2 * math.pi, angle)
