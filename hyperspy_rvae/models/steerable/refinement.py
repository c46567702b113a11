"""The likeliest pose between the grid's points, and how sure it is."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hyperspy_rvae.models.steerable.likelihood import Likelihood

_STEPS = 6
# Of angle, shift along x and y, and the scale's logarithm:
_SHORT = (0.002, 0.01, 0.01, 0.002)  # radians and px; the next step would be much shorter
_LONGEST = (0.09, 0.5, 0.5, 0.06)  # of one step
_BEYOND = (0.7, 0.7, 0.06)  # the grid
_SLIGHT = 1e-6  # keeps a curvature invertible
_MEDIAN_OF_NORMAL = 0.6745  # of its absolute value, in standard deviations
_MOST_INFLATION = 5.0


class Pose(NamedTuple):
    """Angle ``(n,)`` and place ``(n, 2)``, and their covariance ``(n, 3, 3)``.

    With scales, a place has three numbers. ``cell`` ``(n,)`` is the index of the grid's place that
    they were refined from.
    """

    angle: Tensor
    place: Tensor
    covariance: Tensor
    cell: Tensor


def find(likelihood: Likelihood, a: Tensor, b: Tensor, start: Tensor, noise: float) -> Pose:
    """Likeliest pose of content b ``(n, 2 D)`` in coefficients a ``(n, S, 2 D)``.

    From a point ``start`` ``(n,)`` of the grid of places and angles, Gauss-Newton steps on the
    pixels of the support, until they are short: with the derivatives F of the posed content f,
    ``(F F' + s2 / prior) step = F (x - f) - s2 / prior pose``. Each is taken from the nearest
    place of the grid, so that the answer hardly depends on which one the start was.
    """
    cell, turn = start // len(likelihood.angles), start % len(likelihood.angles)
    pose = Pose(
        likelihood.angles[turn],
        likelihood.places[cell],
        a.new_empty(len(a), *[1 + likelihood.places.shape[1]] * 2),
        cell,
    )
    rows = torch.arange(len(a), device=a.device)
    for _ in range(_STEPS):
        part = Pose(*(column[rows] for column in pose))
        step = _step(likelihood, a[rows, part.cell], b[rows], part, noise)
        for column, value in zip(pose, step, strict=True):
            column[rows] = value
        moved = torch.cat([(step.angle - part.angle)[:, None], step.place - part.place], 1)
        rows = rows[(moved.abs() > _some(_SHORT, moved)).any(1)]
    return pose


def _step(likelihood: Likelihood, data: Tensor, b: Tensor, pose: Pose, noise: float) -> Pose:
    # One Gauss-Newton step from a pose, and the covariance there.
    free, prior = _freedom(likelihood), noise / likelihood.prior_std.square()
    content = posed(likelihood, b, pose)
    shown = _shown(likelihood, content, pose.cell)
    slopes = content[:, 1:] * free[:, None]
    curvature = (shown[:, 1:] * free[:, None]) @ slopes.mT + torch.diag(prior)
    misfit = (slopes @ (data - shown[:, 0])[..., None])[..., 0]
    misfit[:, 1:] -= prior[1:] * pose.place
    if likelihood.aligned:  # a uniform angle is pulled nowhere
        misfit[:, 0] -= prior[0] * wrap(pose.angle)
    inverse = torch.linalg.inv(curvature)
    change = (inverse @ misfit[..., None])[..., 0] * free
    longest, moved = _some(_LONGEST, change), likelihood.moved
    change = change.clamp(-longest, longest)
    farthest = likelihood.places.abs().amax(0) + _some(_BEYOND, pose.place)
    place = pose.place + change[:, 1:]
    return Pose(
        pose.angle + change[:, 0],
        place.clamp(-farthest, farthest),
        noise * inverse,
        torch.cdist(place * moved, likelihood.places * moved).argmin(1),
    )


def posed(likelihood: Likelihood, b: Tensor, pose: Pose) -> Tensor:
    """Content ``(n, 2 D)`` at a pose, as seen from its cell of the grid, and its derivatives.

    Returns
    -------
    content
        Shape ``(n, 4, 2 D)``, or ``(n, 5, 2 D)`` with scales: itself, and by angle and place.
    """
    cell = likelihood.places[pose.cell]
    shift = (pose.place - cell)[:, :2]
    if likelihood.scaled:
        b = likelihood.enlarge(b, (pose.place - cell)[:, 2])
        unit = cell[:, 2:].exp()
        shift = shift / unit
    content = likelihood.turn(b, pose.angle)
    if shift.any():
        content = likelihood.displace(content[:, None], shift)[:, 0]
    spin, x, y, *outwards = likelihood.motions(content).unbind(1)
    # Content turns and grows about where it lies, and `spin` turns it about its cell.
    turn = spin - shift[:, 1:] * x + shift[:, :1] * y
    if not outwards:
        return torch.stack([content, turn, x, y], 1)
    growth = outwards[0] - shift[:, :1] * x - shift[:, 1:] * y
    return torch.stack([content, turn, x / unit, y / unit, growth], 1)


def inflation(likelihood: Likelihood, pixels: Tensor, b: Tensor, pose: Pose) -> Tensor:
    """How much more angle and shift scatter than white noise lets them.

    Every other sector of 60 degrees gives an estimate of its own, and so do those between them;
    their difference, in its expected standard deviations, is 1 where white noise is all there is,
    and more where neighbours move, noise is correlated or the model is wrong.

    Parameters
    ----------
    pixels
        Of the support, shape ``(n, C p)``.

    Returns
    -------
    factors
        Shape ``(2,)``, of angle and shifts, or ``(3,)`` with that of the scale; at least 1.
    """
    content = posed(likelihood, b, pose)
    shown = torch.stack(
        [likelihood.images(f, int(k)) for f, k in zip(content, pose.cell, strict=True)]
    )
    residual, slopes = pixels - shown[:, 0], shown[:, 1:]
    sector = likelihood.sectors
    estimates, covariances = [], []
    for half in (sector == 0, sector == 1):
        part = slopes[..., half]
        curvature = part @ part.mT + _SLIGHT * torch.eye(part.shape[1], device=part.device)
        covariances.append(torch.linalg.inv(curvature))
        estimates.append(covariances[-1] @ part @ residual[:, half, None])
    variance = sum(covariances).diagonal(dim1=1, dim2=2) * residual.square().mean()
    score = (estimates[0] - estimates[1])[..., 0].abs() / variance.sqrt()
    middle = score.median(0).values / _MEDIAN_OF_NORMAL
    factors = torch.stack([middle[0], middle[1:3].mean(), *middle[3:]])
    return factors.nan_to_num(1.0).clamp(1.0, _MOST_INFLATION)


def wrap(angle: Tensor) -> Tensor:
    """Angles in (-pi, pi]."""
    return math.pi - torch.remainder(math.pi - angle, 2 * math.pi)


def _shown(likelihood: Likelihood, content: Tensor, cell: Tensor) -> Tensor:
    # What coefficients the support would give for this content: one Gram matrix per place.
    shown = torch.empty_like(content)
    for k in cell.unique():
        rows = (cell == k).nonzero()[:, 0]
        shown[rows] = content[rows] @ likelihood.gram[k]
    return shown


def _freedom(likelihood: Likelihood) -> Tensor:
    turns, moves = len(likelihood.angles) > 1, bool(likelihood.places[:, :2].any())
    free = [turns, moves, moves] + [True] * likelihood.scaled
    return torch.tensor(free, dtype=torch.float32).to(likelihood.angles.device)


def _some(values: tuple[float, ...], like: Tensor) -> Tensor:
    # As many numbers as the model's poses have.
    return like.new_tensor(values[: like.shape[1]])
