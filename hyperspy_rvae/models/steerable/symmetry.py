"""Rotational symmetry of content, about a centre of its own.

Content that looks the same after a turn by 2 pi / n has none but angular orders m that are
multiples of n. Its autocorrelation, averaged over all such turns but the first, is

    C_n = (n s_n - 1) / (n - 1),   s_n = sum_{n | m} |b_m|^2 / sum_m |b_m|^2,   m > 0,

where orders are those about the centre of symmetry, which Gauss-Newton steps find: they displace
the content so that the orders that n does not divide become least. Rings, m = 0, say nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hyperspy_rvae.models.steerable.likelihood import Likelihood

_PRIME = (2, 3, 5)
_ALIKE = 0.8  # autocorrelation of content that counts as symmetric
_STEPS = 5
_LONGEST, _FARTHEST = 0.5, 2.0  # px, of a step and of the centre
_SLIGHT = 1e-6


class Symmetry(NamedTuple):
    """Order ``(n,)`` and centre ``(n, 2)``, pixels from that of the content's frame."""

    order: Tensor
    centre: Tensor


def find(likelihood: Likelihood, b: Tensor) -> Symmetry:
    """Highest order, up to six, at which content ``(n, 2 D)`` is symmetric; 1 where at none."""
    order = torch.ones(len(b), dtype=torch.long, device=b.device)
    centre = b.new_zeros(len(b), 2)
    symmetric: dict[int, Tensor] = {}
    for n in (*_PRIME, 4, 6):
        rows = torch.ones_like(order, dtype=torch.bool)
        for factor in _PRIME:
            if n > factor and n % factor == 0:
                rows &= symmetric[factor]
        found = rows.nonzero()[:, 0]
        alike, middle = about(likelihood, b[found], n)
        found, middle = found[alike > _ALIKE], middle[alike > _ALIKE]
        order[found], centre[found] = n, middle
        symmetric[n] = torch.zeros_like(rows)
        symmetric[n][found] = True
    return Symmetry(order, centre)


def about(likelihood: Likelihood, b: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Autocorrelation ``(n,)`` of content at turns by 2 pi / n, and the centre of symmetry."""
    centre = b.new_zeros(len(b), 2)
    odd = (likelihood.orders % n != 0).repeat(2)
    if likelihood.places[:, :2].any():  # else there is no shift that could make up for it
        for _ in range(_STEPS):
            centre = _step(likelihood, b, centre, odd)
    shown = likelihood.displace(b[:, None], -centre)[:, 0] @ likelihood.taper
    turning = (likelihood.orders > 0).repeat(2)
    energy = shown.square()
    share = 1 - energy[:, odd].sum(1) / energy[:, turning].sum(1).clamp(min=1e-30)
    return (n * share - 1) / (n - 1), centre


def fold(angle: Tensor, order: Tensor) -> Tensor:
    """Angles modulo 2 pi / order, in (-pi / order, pi / order]."""
    sector = 2 * math.pi / order
    return sector / 2 - torch.remainder(sector / 2 - angle, sector)


def _step(likelihood: Likelihood, b: Tensor, centre: Tensor, odd: Tensor) -> Tensor:
    # One Gauss-Newton step of the centre on what is left in orders that do not belong.
    moved = likelihood.displace(b[:, None], -centre)[:, 0]
    slopes = torch.stack([moved @ g @ likelihood.taper for g in likelihood.generators[:2]], 1)
    slopes, left = slopes[..., odd], (moved @ likelihood.taper)[:, odd]
    products = slopes @ slopes.mT
    slight = _SLIGHT * products.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + 1e-30
    products = products + slight * torch.eye(2, device=b.device)
    change = -torch.linalg.solve(products, slopes @ left[..., None])[..., 0]
    return (centre + change.clamp(-_LONGEST, _LONGEST)).clamp(-_FARTHEST, _FARTHEST)
