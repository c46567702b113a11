"""The likeliest pose between the grid's points, and how sure it is."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hyperspy_rvae.models.steerable.likelihood import Likelihood

_STEPS = 6
_SHORT = (0.002, 0.01, 0.01)  # radians and px; the next step would be much shorter
_LONGEST_TURN, _LONGEST_SHIFT = 0.09, 0.5  # of one step, radians and px
_BEYOND = 0.7  # px beyond the grid of shifts
_SLIGHT = 1e-6  # keeps a curvature invertible
_MEDIAN_OF_NORMAL = 0.6745  # of its absolute value, in standard deviations
_MOST_INFLATION = 5.0


class Pose(NamedTuple):
    """Angle ``(n,)``, shift ``(n, 2)`` and their covariance ``(n, 3, 3)``.

    ``cell`` ``(n,)`` is the index of the grid's shift that they were refined from.
    """

    angle: Tensor
    shift: Tensor
    covariance: Tensor
    cell: Tensor


def find(likelihood: Likelihood, a: Tensor, b: Tensor, start: Tensor, noise: float) -> Pose:
    """Likeliest pose of content b ``(n, 2 D)`` in coefficients a ``(n, S, 2 D)``.

    From a point ``start`` ``(n,)`` of the grid of shifts and angles, Gauss-Newton steps on the
    pixels of the support, until they are short: with the derivatives F of the posed content f,
    ``(F F' + s2 / prior) step = F (x - f) - s2 / prior pose``. Each is taken from the nearest
    shift of the grid, so that the answer hardly depends on which one the start was.
    """
    cell, turn = start // len(likelihood.angles), start % len(likelihood.angles)
    pose = Pose(
        likelihood.angles[turn],
        likelihood.shifts[cell],
        a.new_empty(len(a), 3, 3),
        cell,
    )
    rows = torch.arange(len(a), device=a.device)
    for _ in range(_STEPS):
        part = Pose(*(column[rows] for column in pose))
        step = _step(likelihood, a[rows, part.cell], b[rows], part, noise)
        for column, value in zip(pose, step, strict=True):
            column[rows] = value
        moved = torch.cat([(step.angle - part.angle)[:, None], step.shift - part.shift], 1)
        rows = rows[(moved.abs() > moved.new_tensor(_SHORT)).any(1)]
    return pose


def _step(likelihood: Likelihood, data: Tensor, b: Tensor, pose: Pose, noise: float) -> Pose:
    # One Gauss-Newton step from a pose, and the covariance there.
    free, prior = _freedom(likelihood), noise / likelihood.prior_std.square()
    content = posed(likelihood, b, pose.angle, pose.shift - likelihood.shifts[pose.cell])
    shown = _shown(likelihood, content, pose.cell)
    slopes = content[:, 1:] * free[:, None]
    curvature = (shown[:, 1:] * free[:, None]) @ slopes.mT + torch.diag(prior)
    misfit = (slopes @ (data - shown[:, 0])[..., None])[..., 0]
    misfit[:, 1:] -= prior[1:] * pose.shift
    if likelihood.aligned:  # a uniform angle is pulled nowhere
        misfit[:, 0] -= prior[0] * wrap(pose.angle)
    inverse = torch.linalg.inv(curvature)
    change = (inverse @ misfit[..., None])[..., 0] * free
    farthest = float(likelihood.shifts.abs().max()) + _BEYOND
    shift = pose.shift + change[:, 1:].clamp(-_LONGEST_SHIFT, _LONGEST_SHIFT)
    return Pose(
        pose.angle + change[:, 0].clamp(-_LONGEST_TURN, _LONGEST_TURN),
        shift.clamp(-farthest, farthest),
        noise * inverse,
        torch.cdist(shift, likelihood.shifts).argmin(1),
    )


def posed(likelihood: Likelihood, b: Tensor, angle: Tensor, shift: Tensor) -> Tensor:
    """Content ``(n, 2 D)`` at a pose near the grid's shift, and its derivatives.

    Returns
    -------
    content
        Shape ``(n, 4, 2 D)``: itself, and by angle, shift along x and shift along y.
    """
    content = likelihood.turn(b, angle)
    if shift.any():
        content = likelihood.displace(content[:, None], shift)[:, 0]
    spin, x, y = likelihood.motions(content).unbind(1)
    # The turn is about where the content lies, and `spin` about the shift of the grid.
    turn = spin - shift[:, 1:] * x + shift[:, :1] * y
    return torch.stack([content, turn, x, y], 1)


def inflation(likelihood: Likelihood, pixels: Tensor, b: Tensor, pose: Pose) -> Tensor:
    """How much more angle and shift scatter than white noise lets them.

    Every other sector of 60 degrees gives an estimate of its own, and so do those between them;
    their difference, in its expected standard deviations, is 1 where white noise is all there is,
    and more where neighbours move, noise is correlated or the model is wrong.

    Parameters
    ----------
    pixels
        Of the support, shape ``(n, p)``.

    Returns
    -------
    factors
        Shape ``(2,)``, at least 1.
    """
    content = posed(likelihood, b, pose.angle, pose.shift - likelihood.shifts[pose.cell])
    shown = torch.stack(
        [f @ likelihood.functions[k] for f, k in zip(content, pose.cell, strict=True)]
    )
    residual, slopes = pixels - shown[:, 0], shown[:, 1:]
    sector = likelihood.sectors
    estimates, covariances = [], []
    for half in (sector == 0, sector == 1):
        part = slopes[..., half]
        curvature = part @ part.mT + _SLIGHT * torch.eye(3, device=part.device)
        covariances.append(torch.linalg.inv(curvature))
        estimates.append(covariances[-1] @ part @ residual[:, half, None])
    variance = sum(covariances).diagonal(dim1=1, dim2=2) * residual.square().mean()
    score = (estimates[0] - estimates[1])[..., 0].abs() / variance.sqrt()
    middle = score.median(0).values / _MEDIAN_OF_NORMAL
    return torch.stack([middle[0], middle[1:].mean()]).nan_to_num(1.0).clamp(1.0, _MOST_INFLATION)


def wrap(angle: Tensor) -> Tensor:
    """Angles in (-pi, pi]."""
    return math.pi - torch.remainder(math.pi - angle, 2 * math.pi)


def _shown(likelihood: Likelihood, content: Tensor, cell: Tensor) -> Tensor:
    # What coefficients the support would give for this content: one Gram matrix per shift.
    shown = torch.empty_like(content)
    for k in cell.unique():
        rows = (cell == k).nonzero()[:, 0]
        shown[rows] = content[rows] @ likelihood.gram[k]
    return shown


def _freedom(likelihood: Likelihood) -> Tensor:
    turns, moves = len(likelihood.angles) > 1, len(likelihood.shifts) > 1
    return torch.tensor([turns, moves, moves], dtype=torch.float32).to(likelihood.angles.device)
