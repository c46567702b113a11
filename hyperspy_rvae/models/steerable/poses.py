"""The poses that are summed over: a grid of angles and of places, with their prior.

A place is a shift, x and y in pixels, and where scales differ, the scale's logarithm besides.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hyperspy_rvae.models.geometry import log_wrapped_normal
from hyperspy_rvae.models.latents import LatentSpace

ANGLES = 72
_STEPS = 5
_SCALE_STEP = 2 * math.pi / ANGLES  # of its logarithm; then the rim moves as far as in a turn
SHIFT_PRIOR = 1.5  # px, standard deviation
_SCALE_PRIOR = 0.15  # of the logarithm
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
    """Radius of the disc of content that covers the window's disc from every place."""
    shift = largest_shift(window, space)
    smallest = math.exp(-largest_log_scale(space))
    return (min(window) / 2 + (_REACH * shift if shift else 0.5)) / smallest


def largest_log_scale(space: LatentSpace) -> float:
    """Reach of the logarithm of scales."""
    return _STEPS // 2 * _SCALE_STEP if space.scale else 0.0


def places(window: tuple[int, int], space: LatentSpace) -> Tensor:
    """Places ``(S, 2)`` or ``(S, 3)``, from the middle outwards.

    Shifts are five by five, or none; scales are five, or none.
    """
    reach = largest_shift(window, space)
    steps = torch.linspace(-reach, reach, _STEPS if reach else 1)
    if space.scale:
        largest = largest_log_scale(space)
        grid = torch.cartesian_prod(steps, steps, torch.linspace(-largest, largest, _STEPS))
    else:
        grid = torch.cartesian_prod(steps, steps)
    far = (grid * pixels_moved(window, space)).square().sum(1)
    return grid[far.argsort(stable=True)]


def pixels_moved(window: tuple[int, int], space: LatentSpace) -> Tensor:
    """How far, in pixels, content moves with each number of its place."""
    return torch.tensor([1.0, 1.0] + [min(window) / 3] * space.scale)


def angles(space: LatentSpace) -> Tensor:
    """Angles ``(J,)``, counter-clockwise."""
    count = ANGLES if space.rotation else 1
    return torch.arange(count) * (2 * math.pi / count)


def log_prior(places: Tensor, angles: Tensor, space: LatentSpace) -> Tensor:
    """Log-probability of each place at each angle: ``(S, J)``, or ``(S, 1)`` if they are alike."""
    normal = -places[:, :2].square().sum(1) / (2 * _shift_std(space) ** 2)
    if space.scale:
        normal = normal - places[:, 2].square() / (2 * _SCALE_PRIOR**2)
    moved = torch.log_softmax(normal, 0)[:, None]
    if space.prior.angle is None:
        return moved - math.log(len(angles))
    return moved + torch.log_softmax(log_wrapped_normal(angles, space.prior.angle), 0)


def prior_std(space: LatentSpace) -> Tensor:
    """Give the standard deviations ``(3,)`` or ``(4,)`` of angle and place."""
    place = [_shift_std(space)] * 2 + [_SCALE_PRIOR] * space.scale
    return torch.tensor([space.prior.angle or _CIRCLE, *place])


def _shift_std(space: LatentSpace) -> float:
    return space.prior.shift or SHIFT_PRIOR


def neighbours(places: Tensor) -> Tensor:
    """List each place and those around it, as many at the border: indices ``(S, 9)``.

    Of shifts and scales together there are 27, of scales alone three, of one place itself.
    """
    near = torch.ones(len(places), len(places), dtype=torch.bool)
    for column in places.T:
        levels = column.unique()
        if len(levels) > 1:
            step, reach = levels[1] - levels[0], levels[-1]
            centre = column.clamp(step - reach, reach - step)
            near &= (column - centre[:, None]).abs() < 1.5 * step
    return near.nonzero()[:, 1].view(len(places), -1)
