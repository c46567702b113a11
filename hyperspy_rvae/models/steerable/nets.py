"""The networks between content and its coefficients; the pose is in neither."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import silu
from torch.nn.utils import skip_init

from hyperspy_rvae.models.divergence import kl_unit
from hyperspy_rvae.models.latents import Latents, LatentSpace
from hyperspy_rvae.models.steerable import basis, gauge, poses, refinement
from hyperspy_rvae.models.steerable.likelihood import Likelihood
from hyperspy_rvae.models.steerable.rendering import Renderer

HIDDEN = 128
_COPIES = 16  # a multiple of four, so that quarter turns only reorder them
_APART = 4.0  # how far context divides cells, as if it were content
_LOOKS = 2  # again, at most, where content is not where it was read
_FEW = 4  # every fourth copy, where that will do
_LOG_VARIANCES = (-9.0, 4.0)
_NOISE_PACE = 0.03  # per step
_SMALL = 0.1  # of the decoder's first weights, where content begins at the mean
_LEAST_NOISE = 1e-4  # of the data's variance


class Encoder(nn.Module):
    """Coefficients to the posterior of content, from turned copies.

    Each copy passes through two layers of 128 units; a weighted mean over the copies, with
    weights learned by attention, forgets which was which, and so the angle. The context, of which
    there may be none, is read beside that mean.
    """

    def __init__(self, functions: int, content: int, context: int) -> None:
        super().__init__()
        self.first = skip_init(nn.Linear, functions, HIDDEN)
        self.second = skip_init(nn.Linear, HIDDEN, HIDDEN)
        self.attention = skip_init(nn.Linear, HIDDEN, 1)
        self.third = skip_init(nn.Linear, HIDDEN + context, HIDDEN)
        self.last = skip_init(nn.Linear, HIDDEN, 2 * content)

    def forward(self, copies: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance ``(n, content)`` of coefficients ``(n, copies, 2 D)``."""
        hidden = silu(self.second(silu(self.first(copies))))
        weight = self.attention(hidden).softmax(1)
        pooled = (weight * hidden).sum(1)
        third = silu(self.third(torch.cat([pooled, context], -1)))
        mean, log_variance = self.last(third).chunk(2, -1)
        return mean, log_variance.clamp(*_LOG_VARIANCES)


class Decoder(nn.Sequential):
    """Content and context to coefficients, by two layers of 128 units (tanh)."""

    def __init__(self, inputs: int, functions: int) -> None:
        super().__init__(
            skip_init(nn.Linear, inputs, HIDDEN),
            nn.Tanh(),
            skip_init(nn.Linear, HIDDEN, HIDDEN),
            nn.Tanh(),
            skip_init(nn.Linear, HIDDEN, functions),
        )

    @torch.no_grad()
    def begin_at(self, mean: Tensor) -> None:
        """Draw hardly more than the mean subimage at first, so that its pose is the origin."""
        weight, bias = list(self.parameters())[-2:]
        weight.mul_(_SMALL)
        bias.copy_(mean)


class Reading(NamedTuple):
    """Mean and log-variance of content ``(n, k)``, and the index ``(n,)`` of the likeliest pose."""

    content: Tensor
    log_variance: Tensor
    pose: Tensor


class SteerableNetwork(nn.Module):
    """Networks, the basis between them, and the numbers learned beside, of one dimension each.

    ``location`` and ``scale`` standardise the pixels, ``noise_variance`` is that of a
    standardised pixel, and ``spread`` says how far the latents reach. ``sides`` are the window's
    and ``band`` is the basis's highest wave number (radians per pixel): they define the basis.
    Encoder and decoder are given a context ``(n, c)``: the class as a unit vector, of which zero is
    none, and ``condition`` numbers.
    ``gain`` brings coefficients to unit variance, and ``inflation`` is by how much angle and
    shifts scatter more than white noise lets them. ``cells`` of content and context and
    their ``turns`` give all angles one origin.
    """

    copies: Tensor
    near: Tensor
    location: Tensor
    scale: Tensor
    noise_variance: Tensor
    spread: Tensor
    band: Tensor
    sides: Tensor
    gain: Tensor
    inflation: Tensor
    cells: Tensor
    turns: Tensor

    def __init__(
        self, window: tuple[int, int], space: LatentSpace, band: float, condition: int = 0
    ) -> None:
        super().__init__()
        context = space.classes + condition
        self.window, self.space, self.context = window, space, context
        chosen = basis.choose(poses.content_radius(window, space), band)
        self.likelihood = Likelihood(window, space, chosen)
        self.renderer = Renderer(window, chosen)
        functions = 2 * len(chosen.orders)
        self.encoder = Encoder(functions, space.content, context)
        self.decoder = Decoder(space.content + context, functions)
        copies = _COPIES if space.rotation else 1
        turns = torch.arange(copies) * (2 * math.pi / copies)
        self.register_buffer("copies", turns, persistent=False)
        self.register_buffer("near", poses.neighbours(self.likelihood.shifts), persistent=False)
        self.register_buffer("location", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(1, dtype=torch.float64))
        self.register_buffer("noise_variance", torch.ones(1))
        self.register_buffer("spread", torch.ones(len(space.names)))
        self.register_buffer("band", torch.full((1,), band, dtype=torch.float64))
        self.register_buffer("sides", torch.tensor(window, dtype=torch.float64))
        self.register_buffer("gain", torch.ones(1))
        self.register_buffer("inflation", torch.ones(2))
        self.register_buffer("cells", torch.zeros(gauge.CELLS, space.content + context))
        self.register_buffer("turns", torch.zeros(gauge.CELLS))

    def start(self, generator: Generator) -> None:
        """Draw the first weights."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                width = 1 / math.sqrt(layer.in_features)
                nn.init.uniform_(layer.weight, -width, width, generator=generator)
                nn.init.uniform_(layer.bias, -width, width, generator=generator)

    def begin(self, a: Tensor, square: Tensor) -> None:
        """Set the scales from coefficients ``(n, S, 2 D)`` and the pixels' sums of squares."""
        self.gain.fill_(1 / float(a[:, 0].square().mean().sqrt()))
        self.noise_variance.fill_(float(square.mean()) / self.likelihood.size)
        if not self.space.turns_freely:
            self.decoder.begin_at(a[:, 0].mean(0) * self.gain)

    def learn_noise(self, mean_square: Tensor) -> None:
        """Let the noise variance follow a batch's mean square error.

        It starts at the data's variance, so that the likelihood gains weight as fast as the
        decoder earns it.
        """
        target = mean_square.clamp(min=_LEAST_NOISE).log()
        self.noise_variance.copy_(self.noise_variance.log().lerp(target, _NOISE_PACE).exp())

    def seen(self, pixels: Tensor) -> Tensor:
        """Those of the pixels ``(n, p)`` that lie on the support."""
        return pixels[:, self.likelihood.support]

    def read(
        self, a: Tensor, context: Tensor, angle: Tensor | None = None, few: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of content in coefficients ``(n, 2 D)`` about one shift.

        A `few` copies, a quarter of them, will do for a first look, and in training, where they
        are turned by a random ``angle`` ``(n,)`` in addition.
        """
        copies = self.copies[:: 1 if angle is None and not few else _FEW]
        if angle is not None:
            a = self.likelihood.turn(a, angle)
        return self.encoder(self.likelihood.turn(a[:, None], copies) * self.gain, context)

    def draw(self, content: Tensor, context: Tensor) -> Tensor:
        """Coefficients ``(n, 2 D)`` of content ``(n, k)``."""
        return self.decoder(torch.cat([content, context], -1)) / self.gain

    @torch.no_grad()
    def silence(self, idle: Tensor) -> None:
        """Let the posterior of some content latents ``(k,)`` be the prior, whatever they read."""
        rows = idle.repeat(2)  # means and log-variances
        self.encoder.last.weight[rows] = 0
        self.encoder.last.bias[rows] = 0

    def codes(self) -> Tensor:
        """Classes to choose from, as unit vectors ``(m, classes)``."""
        return torch.eye(self.space.classes or 1, self.space.classes).to(self.gain)

    def class_log_posterior(self, a: Tensor, condition: Tensor) -> Tensor:
        """Log-probability of each class ``(n, classes)`` given coefficients ``(n, S, 2 D)``."""
        bounds = []
        for code in self.codes():
            context = beside(code, condition)
            found = self.look(a, context)
            b, s2 = self.draw(found.content, context), float(self.noise_variance)
            joint, _ = self.likelihood.log_joint(a, b, s2)
            kl = kl_unit(found.content, found.log_variance).sum(1)
            bounds.append(joint.flatten(1).logsumexp(1) - kl)
        return torch.stack(bounds, 1).log_softmax(1)

    def calibrate(self, seen: Tensor, condition: Tensor) -> None:
        """Learn the inflation of standard deviations, and the origin of angles.

        They follow from pixels ``(n, p)`` of the support.
        """
        a = self.likelihood.coefficients(seen)
        context, _ = self._classified(a, condition)
        found, pose, b = self._pose(a, context)
        self.inflation.copy_(refinement.inflation(self.likelihood, seen, b, pose))
        if self.space.turns_freely:
            told = torch.cat([found.content, _APART * context], 1)
            centres, sizes = gauge.cells(told.numpy(force=True))
            self.cells.copy_(torch.from_numpy(centres))
            content, scaled = self.cells.tensor_split([self.space.content], 1)
            b = self.draw(content, scaled / _APART)
            drawn = torch.complex(*b.chunk(2, 1)).numpy(force=True)
            orders = self.likelihood.orders.numpy(force=True).astype(int)
            self.turns.copy_(torch.from_numpy(gauge.turns(drawn, orders, sizes)))

    def encode(self, pixels: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Latents and standard deviations, ``(n, latents)``, of pixels ``(n, p)``.

        Content is read at the window's centre, then where its shift was found; the likeliest pose
        is refined on the pixels. With classes, all this is that of the likeliest; their columns
        have no standard deviations.
        """
        a = self.likelihood.coefficients(self.seen(pixels))
        context, kind = self._classified(a, condition)
        found, pose, _ = self._pose(a, context)
        widen = self.inflation[[0, 1, 1]]
        std = pose.covariance.diagonal(dim1=1, dim2=2).sqrt() * widen
        angle = refinement.wrap(pose.angle - self._turn(found.content, context))
        mean = Latents(angle, pose.shift, found.content)
        widths = Latents(std[:, 0], std[:, 1:], (found.log_variance / 2).exp())
        none = torch.full_like(kind, torch.nan)
        return (
            torch.cat([self.space.join(mean), kind], 1),
            torch.cat([self.space.join(widths), none], 1),
        )

    def _classified(self, a: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        # The context of the likeliest class, and the columns of class and probability, if any.
        if not self.space.classes:
            return condition, condition[:, :0]
        probability, kind = self.class_log_posterior(a, condition).exp().max(1)
        context = torch.cat([self.codes()[kind], condition], 1)
        return context, torch.stack([kind.to(probability), probability], 1)

    def _pose(self, a: Tensor, context: Tensor) -> tuple[Reading, refinement.Pose, Tensor]:
        found = self.look(a, context)
        b = self.draw(found.content, context)
        s2 = float(self.noise_variance)
        return found, refinement.find(self.likelihood, a, b, found.pose, s2), b

    def look(self, a: Tensor, context: Tensor) -> Reading:
        """Content in coefficients ``(n, S, 2 D)``, read at the centre and where it then lies.

        A first look takes in all shifts, the others those around the last.
        """
        content, log_variance = self.read(a[:, 0], context, few=True)
        pose = self._likeliest(a, self.draw(content, context))
        place = pose // len(self.likelihood.angles)
        rows = torch.arange(len(a), device=a.device)
        for _ in range(_LOOKS):
            if not len(rows):
                break
            content[rows], log_variance[rows] = self.read(a[rows, place[rows]], context[rows])
            near, b = self.near[place[rows]], self.draw(content[rows], context[rows])
            pose[rows] = self._likeliest(a[rows[:, None], near], b, near)
            found = pose[rows] // len(self.likelihood.angles)
            rows, found = rows[found != place[rows]], found[found != place[rows]]
            place[rows] = found
        return Reading(content, log_variance, pose)

    def _likeliest(self, a: Tensor, b: Tensor, cells: Tensor | None = None) -> Tensor:
        # Index of the likeliest pose among all, or among those at some shifts.
        s2, angles = float(self.noise_variance), len(self.likelihood.angles)
        joint, _ = self.likelihood.log_joint(a, b, s2, cells)
        best = joint.flatten(1).argmax(1)
        if cells is None:
            return best
        return cells.gather(1, best[:, None] // angles)[:, 0] * angles + best % angles

    def decode(self, values: Tensor, condition: Tensor) -> Tensor:
        """Pixels ``(n, p)`` of latents ``(n, latents)``."""
        latents = self.space.split(values)
        context = torch.cat([self.space.class_of(values), condition], 1)
        angle = latents.angle + self._turn(latents.content, context)
        return self.renderer(self.draw(latents.content, context), angle, latents.shift)

    def _turn(self, content: Tensor, context: Tensor) -> Tensor:
        # From the origin of the angles to that of the content's own coefficients, (n,).
        drawn = torch.cat([content, _APART * context], 1)
        return self.turns[torch.cdist(drawn, self.cells).argmin(1)]


def beside(code: Tensor, condition: Tensor) -> Tensor:
    """Context ``(n, c)`` of one class, given as a unit vector, and conditions ``(n, c')``."""
    return torch.cat([code.expand(len(condition), -1), condition], 1)
