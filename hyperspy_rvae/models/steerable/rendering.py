"""Content drawn at any pose, on all pixels of a window."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from hyperspy_rvae.models.geometry import canonical_frame, pixel_grid, vector_angle
from hyperspy_rvae.models.steerable.basis import Basis
from hyperspy_rvae.models.steerable.channels import apart

_RING = 0.05  # px between the radii of the table


class Renderer(nn.Module):
    """Evaluates coefficients at points, from a table of the radial functions.

    In the corners of the window, of which nothing is learned, the rim of its disc goes on.
    """

    pixels: Tensor
    orders: Tensor
    table: Tensor

    def __init__(self, window: tuple[int, int], basis: Basis) -> None:
        super().__init__()
        self.spacing = _RING
        radii = np.arange(int(basis.radius / _RING) + 3) * _RING
        table = torch.from_numpy(basis.radial(radii).T).to(torch.float32)
        pixels = pixel_grid(*window)
        outside = pixels.square().sum(1, keepdim=True).sqrt() / (min(window) / 2)
        self.register_buffer("pixels", pixels / outside.clamp(min=1), persistent=False)
        self.register_buffer("orders", torch.from_numpy(basis.orders).to(torch.float32), False)
        self.register_buffer("table", table.contiguous(), persistent=False)

    def forward(
        self, b: Tensor, angle: Tensor, shift: Tensor, scale: Tensor | None = None
    ) -> Tensor:
        """Pixels ``(n, C p)`` of content ``(n, 2 C D)``, enlarged, turned and then shifted."""
        turn, offset = canonical_frame(angle, shift, scale)
        points = self.pixels @ turn.mT + offset[:, None]
        place = (points.square().sum(-1).sqrt() / self.spacing).clamp(max=len(self.table) - 1.01)
        ring = place.long()
        radial = torch.lerp(self.table[ring], self.table[ring + 1], (place - ring)[..., None])
        phase = vector_angle(points)[..., None] * self.orders
        cos, sin = phase.cos(), phase.sin()
        shown = []
        for channel in apart(b, b.shape[-1] // (2 * len(self.orders))).split(1, 1):
            real, imaginary = channel.chunk(2, -1)
            shown.append((radial * (cos * real - sin * imaginary)).sum(-1))
        return torch.cat(shown, 1)
