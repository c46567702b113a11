"""The likelihood of a subimage under all poses of its content at once.

With white noise of variance s2, content b posed by (phi, s, k) has the log-likelihood

    l(s, k, phi) = [ <x, f> - E / 2 ] / s2 + const,    f(p) = f_b(R(-phi) (p - s) / k),

on a support of pixels that is the same for all poses. Both terms are Fourier series in phi: the
correlation ``<x, f>`` with the harmonics ``sum_d conj(a_md) b_md``, where a are the coefficients
of x about the point s, in functions enlarged by k; the energy ``E``, of f on the support, with
few harmonics, since the support is a disc that is seen from s. One Fourier sum turns them into all
angles. Channels are parts of x, f, a and b, in units in which their noise is the same, and all
sums go over them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from hyperspy_rvae.models.geometry import pixel_grid
from hyperspy_rvae.models.latents import LatentSpace
from hyperspy_rvae.models.steerable import channels as channel
from hyperspy_rvae.models.steerable import energy, poses
from hyperspy_rvae.models.steerable.basis import Basis, generators, taper
from hyperspy_rvae.models.steerable.energy import HARMONICS

_DARKEST = -20.0  # log-posterior; smaller is as good as none


class Evidence(NamedTuple):
    """What the data say about content b, all poses considered.

    ``log`` ``(n,)`` is ``log sum exp(l + log prior)`` but for the terms without b; ``error``
    ``(n, C)`` the squared error in each channel that the posterior expects; ``gradient``
    ``(n, 2 D)`` is ``s2 d log / d b``; ``place`` ``(n,)`` the index of the likeliest; ``offset``
    ``(n, 2)`` or ``(n, 3)`` the mean place in the content's own frame, and ``swing`` ``(n, 2)``
    that part of its shift by which the shift changes with the angle; ``turn`` ``(n,)`` the mean
    sine of the angle.
    """

    log: Tensor
    error: Tensor
    gradient: Tensor
    place: Tensor
    offset: Tensor
    swing: Tensor
    turn: Tensor


class Likelihood(nn.Module):
    """All that is known of a window and its poses before any data."""

    pixels: Tensor
    places: Tensor
    moved: Tensor
    angles: Tensor
    prior: Tensor
    prior_std: Tensor
    functions: Tensor
    gram: Tensor
    span: Tensor
    in_span: Tensor
    generators: Tensor
    taper: Tensor
    orders: Tensor
    members: Tensor
    sectors: Tensor
    series: Tensor
    rays: Tensor
    waves: Tensor
    cover: Tensor

    def __init__(
        self, window: tuple[int, int], space: LatentSpace, basis: Basis, channels: int = 1
    ) -> None:
        super().__init__()
        self.channels = channels
        self.aligned = space.prior.angle is not None
        grid = pixel_grid(*window)
        self.support = grid.square().sum(1).sqrt() <= min(window) / 2
        places, angles = poses.places(window, space), poses.angles(space)
        self.scaled = space.scale
        orders = torch.from_numpy(basis.orders)
        members = one_hot(orders, max(basis.highest, HARMONICS) + 1).to(torch.float32)
        turns = torch.outer(torch.arange(float(members.shape[1])), angles)
        about = _about(grid[self.support], places).numpy().astype(np.float64)
        polar = np.hypot(*about.T).T, np.arctan2(-about[..., 1], about[..., 0])
        functions = basis.functions(*polar).transpose(1, 0, 2).astype(np.float32)
        span, in_span = _span(functions.reshape(-1, functions.shape[2]), 3 * len(orders))
        known = {
            "places": places,
            "moved": poses.pixels_moved(window, space),
            "angles": angles,
            "prior": poses.log_prior(places, angles, space),
            "prior_std": poses.prior_std(space),
            "functions": functions,
            "gram": channel.among(functions @ functions.transpose(0, 2, 1), channels),
            "span": span,
            "in_span": in_span,
            "generators": channel.among(generators(basis)[: places.shape[1]], channels),
            "taper": channel.among(taper(basis, min(window) / 2), channels),
            "orders": orders.repeat(channels),
            "members": members.repeat(channels, 1),
            "sectors": np.tile((polar[1][0] / (math.pi / 3)) // 1 % 2, channels),
            "series": torch.cat([turns.cos(), turns.sin()]),
            **energy.on_rings(basis, *polar, channels),
        }
        for name, value in known.items():
            tensor = torch.as_tensor(value)
            tensor = tensor.to(torch.float32).contiguous()
            self.register_buffer(name, tensor, persistent=False)

    @property
    def size(self) -> int:
        """Number of pixels of the support in each channel."""
        return self.functions.shape[2]

    def coefficients(self, pixels: Tensor) -> Tensor:
        """Coefficients a, ``(n, S, 2 D)``, of the support's pixels about each place."""
        found = pixels.unflatten(1, (self.channels, -1)) @ self.span @ self.in_span
        return channel.together(found.unflatten(2, self.functions.shape[:2]).transpose(1, 2))

    def squares(self, pixels: Tensor) -> Tensor:
        """Sum the squares of the support's pixels in each channel, ``(n, C)``."""
        return pixels.square().unflatten(1, (self.channels, -1)).sum(2)

    def images(self, b: Tensor, cell: int) -> Tensor:
        """Pixels ``(..., p)`` of the support that show content ``(..., 2 D)`` about a place."""
        return (channel.apart(b, self.channels) @ self.functions[cell]).flatten(-2)

    def seen_from(self, place: Tensor, a: Tensor) -> Tensor:
        """Coefficients ``(n, 2 D)`` about one place each, the same for content of any scale.

        Enlarged content lies on more pixels, of which `a` is the sum.
        """
        return a * (-2 * self.places[place, 2:]).exp() if self.scaled else a

    def turn(self, b: Tensor, angle: Tensor) -> Tensor:
        """Coefficients ``(..., 2 D)`` of content turned by angles ``(...)``."""
        phase = angle[..., None] * self.orders
        cos, sin = phase.cos(), phase.sin()
        real, imaginary = b.chunk(2, -1)
        return torch.cat([real * cos + imaginary * sin, imaginary * cos - real * sin], -1)

    def spin(self, b: Tensor) -> Tensor:
        """Differentiate `turn` by the angle."""
        real, imaginary = b.chunk(2, -1)
        return torch.cat([imaginary * self.orders, -real * self.orders], -1)

    def motions(self, b: Tensor) -> Tensor:
        """How content ``(n, 2 D)`` changes as it turns and its place changes.

        Shape ``(n, 3, 2 D)``, of an angle and a shift along x and y, or ``(n, 4, 2 D)`` with the
        scale's logarithm.
        """
        return torch.stack([self.spin(b), *(-(b @ g) for g in self.generators)], 1)

    def displace(self, b: Tensor, shift: Tensor, terms: int = 4) -> Tensor:
        """Coefficients ``(n, k, 2 D)`` of content displaced by ``(n, 2)`` of a pixel or so."""
        result = term = b
        along = -shift[:, None, :, None]
        both = torch.cat([*self.generators[:2]], 1)
        for order in range(1, terms + 1):
            slopes = (term @ both).unflatten(2, (2, -1))
            term = (along * slopes).sum(2) / order
            result = result + term
        return result

    def enlarge(self, b: Tensor, log_scale: Tensor, terms: int = 4) -> Tensor:
        """Coefficients ``(n, 2 D)`` of content enlarged by factors of logarithm ``(n,)``."""
        result = term = b
        for order in range(1, terms + 1):
            term = -log_scale[:, None] / order * (term @ self.generators[2])
            result = result + term
        return result

    def log_joint(
        self, a: Tensor, b: Tensor, noise: float, cells: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log of likelihood and prior, ``(n, S, J)``, up to terms without b; and f's rays.

        Coefficients `a` may be given for some of the places alone, ``cells`` ``(n, k)``.
        """
        rays = b @ self.rays
        harmonics, squares, prior = self._correlation(a, b), self._energy(rays), self.prior
        if cells is not None:
            squares, prior = squares.gather(1, _wide(cells, squares)), prior[cells]
        harmonics[..., : HARMONICS + 1].sub_(squares, alpha=0.5)
        joint = harmonics.div_(noise).flatten(2) @ self.series
        return joint.add_(prior), rays

    def evidence(
        self, a: Tensor, b: Tensor, square: Tensor, noise: float, cells: Tensor | None = None
    ) -> Evidence:
        """Evidence for content b ``(n, 2 D)`` in coefficients a, of pixels with sum of squares.

        Its gradient is that of the expected log-likelihood at the posterior q of the poses, held
        fixed, as in the EM algorithm: ``s2 d log / d b = sum q d l / d b``. With only some places
        in `a`, ``cells`` ``(n, k)``, the sum over them is a lower bound.
        """
        joint, rays = self.log_joint(a, b, noise, cells)
        highest = joint.flatten(1).amax(1)
        q = joint.sub_(highest[:, None, None]).clamp_(min=_DARKEST).exp_()
        total = q.sum((1, 2))
        averages = (q @ self.series.T).div_(total[:, None, None]).unflatten(2, (2, -1))
        everywhere = averages
        if cells is not None:
            everywhere = averages.new_zeros(len(a), len(self.places), *averages.shape[2:])
            everywhere.scatter_(1, _wide(cells, averages), averages)
        x_bar, coverage = self._average(a, averages), self._coverage(everywhere)
        gradient = x_bar - (coverage * rays) @ self.rays.T
        fit = self._sums(x_bar * b, 2) - 0.5 * self._sums(coverage * rays.square(), 1)
        likeliest = q.sum(2).argmax(1)
        offset = self._offset(everywhere)
        return Evidence(
            highest + total.log(),
            (square - 2 * fit).clamp_(min=0),
            gradient,
            likeliest if cells is None else cells.gather(1, likeliest[:, None])[:, 0],
            offset,
            offset[:, :2] - self._offset_of_mean(everywhere),
            averages[:, :, 1, 1].sum(1),
        )

    def _correlation(self, a: Tensor, b: Tensor) -> Tensor:
        # (n, S, 2, M + 1): sum_k conj(a_mk) b_mk
        ar, ai = a.chunk(2, -1)
        br, bi = b[:, None].chunk(2, -1)
        real = (ar * br).addcmul_(ai, bi) @ self.members
        imaginary = (ar * bi).addcmul_(ai, br, value=-1) @ self.members
        return torch.stack([real, imaginary], 2)

    def _energy(self, rays: Tensor) -> Tensor:
        # (n, S, 2, L + 1): harmonics of f^2 on each ring, summed over the support as seen from s
        n, rings = len(rays), self.cover.shape[1] // 2
        square = rays.square().view(n, rings, -1) @ self.waves
        square = square.view(n, rings, 2, -1).permute(3, 0, 2, 1).flatten(2)
        return torch.bmm(square, self.cover).view(-1, n, 2, len(self.places)).permute(1, 3, 2, 0)

    def _average(self, a: Tensor, averages: Tensor) -> Tensor:
        # x_bar (n, 2 D): the data, turned and displaced back by every pose, at its probability
        ar, ai = a.chunk(2, -1)
        cos, sin = (averages[:, :, k] @ self.members.T for k in (0, 1))
        real = (ar * cos).addcmul_(ai, sin, value=-1).sum(1)
        imaginary = (ar * sin).addcmul_(ai, cos).sum(1)
        return torch.cat([real, imaginary], 1)

    def _coverage(self, averages: Tensor) -> Tensor:
        # (n, rays): how much of the support each point of the content is expected to fill
        n, rings = len(averages), self.cover.shape[1] // 2
        seen = averages[..., : HARMONICS + 1].permute(3, 0, 2, 1).flatten(2)
        square = torch.bmm(seen, self.cover.mT).view(-1, n, 2, rings)
        return (square.permute(1, 3, 2, 0).flatten(2) @ self.waves.T).flatten(1)

    def _sums(self, values: Tensor, parts: int) -> Tensor:
        # (n, C): sums over each channel's share of every part of the values
        return values.unflatten(1, (parts, self.channels, -1)).sum((1, 3))

    def _offset(self, averages: Tensor) -> Tensor:
        # E[R(-phi) s] (n, 2), from the posterior's first harmonic in phi, and E[log k]
        cos, sin = averages[..., 0, 1], averages[..., 1, 1]
        x, y = self.places[:, :2].T
        mean = [cos @ x - sin @ y, sin @ x + cos @ y]
        if self.scaled:
            mean.append(averages[..., 0, 0] @ self.places[:, 2])
        return torch.stack(mean, 1)

    def _offset_of_mean(self, averages: Tensor) -> Tensor:
        # E[R(-phi)] E[s] (n, 2)
        x, y = (averages[..., 0, 0] @ self.places[:, :2]).unbind(1)
        cos, sin = averages[..., 1].sum(1).unbind(1)
        return torch.stack([cos * x - sin * y, sin * x + cos * y], 1)


def _about(pixels: Tensor, places: Tensor) -> Tensor:
    # Pixels (S, p, 2) as content sees them from each place.
    about = pixels - places[:, None, :2]
    return about / places[:, 2:, None].exp() if places.shape[1] > 2 else about


def _wide(cells: Tensor, like: Tensor) -> Tensor:
    # Indices (n, k) of places, for every harmonic.
    return cells[:, :, None, None].expand(-1, -1, *like.shape[2:])


def _span(functions: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    # Rows (k, p) nearly lie in a space of fewer dimensions, because they are smooth: the rows are
    # in_span.T @ span.T, with an orthonormal span (p, size), by one power iteration on random
    # vectors (Halko, Martinsson and Tropp, SIAM Review 53, 217, 2011).
    size = min(size, functions.shape[1])
    vectors = np.random.default_rng(0).standard_normal((len(functions), size), np.float32)
    span, _ = np.linalg.qr(functions.T @ (functions @ (functions.T @ vectors)))
    return span, span.T @ functions.T
