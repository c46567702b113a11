"""The poses that are summed over: a grid of angles and of shifts, with their prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hyperspy_rvae.models.geometry import log_wrapped_normal
from hyperspy_rvae.models.latents import LatentSpace

ANGLES = 72
_STEPS = 5
SHIFT_PRIOR = 1.5  # px, standard deviation
_WIDE_WINDOW = 20  # px; smaller ones have no room for shifts of more than a pixel
_REACH = 1.2  # of the largest shift, by which the content reaches beyond the window
_PRIORS_REACH, _SHORTEST = 2.5, 0.5  # standard deviations of a narrow prior, and pixels
_CIRCLE = math.pi / math.sqrt(3)  # standard deviation of an angle of which nothing is known


def largest_shift(window: tuple[int, int], space: LatentSpace) -> float:
    """Reach of the shifts in x and in y, pixels; a narrow prior needs less."""
    if not space.translation:
        return 0
    reach = 2 if min(window) >= _WIDE_WINDOW else 1
    if space.prior.shift is None:
        return reach
    return min(reach, max(_PRIORS_REACH * space.prior.shift, _SHORTEST))


def content_radius(window: tuple[int, int], space: LatentSpace) -> float:
    """Radius of the disc of content that covers the window's disc under every shift."""
    shift = largest_shift(window, space)
    return min(window) / 2 + (_REACH * shift if shift else 0.5)


def shifts(window: tuple[int, int], space: LatentSpace) -> Tensor:
    """Shifts ``(S, 2)``, x and y, from the least to the largest: five by five, or none."""
    reach = largest_shift(window, space)
    steps = torch.linspace(-reach, reach, _STEPS if reach else 1)
    grid = torch.cartesian_prod(steps, steps)
    return grid[grid.square().sum(1).argsort(stable=True)]


def angles(space: LatentSpace) -> Tensor:
    """Angles ``(J,)``, counter-clockwise."""
    count = ANGLES if space.rotation else 1
    return torch.arange(count) * (2 * math.pi / count)


def log_prior(shifts: Tensor, angles: Tensor, space: LatentSpace) -> Tensor:
    """Log-probability of each shift at each angle: ``(S, J)``, or ``(S, 1)`` if they are alike."""
    normal = -shifts.square().sum(1) / (2 * _shift_std(space) ** 2)
    moved = torch.log_softmax(normal, 0)[:, None]
    if space.prior.angle is None:
        return moved - math.log(len(angles))
    return moved + torch.log_softmax(log_wrapped_normal(angles, space.prior.angle), 0)


def prior_std(space: LatentSpace) -> Tensor:
    """Give the standard deviations ``(3,)`` of angle, shift along x and shift along y."""
    return torch.tensor([space.prior.angle or _CIRCLE, *[_shift_std(space)] * 2])


def _shift_std(space: LatentSpace) -> float:
    return space.prior.shift or SHIFT_PRIOR


def neighbours(shifts: Tensor) -> Tensor:
    """List each shift and those around it, nine also at the border: indices ``(S, 9)``."""
    reach = float(shifts.abs().max())
    if reach == 0:
        return torch.zeros(1, 1, dtype=torch.long)
    step = 2 * reach / (_STEPS - 1)
    centres = shifts.clamp(step - reach, reach - step)
    near = (shifts - centres[:, None]).abs().amax(2) < 1.5 * step
    return near.nonzero()[:, 1].view(len(shifts), 9)
