"""The networks between content and its coefficients; the pose is in neither."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import silu
from torch.nn.utils import skip_init

from hyperspy_rvae.models.divergence import kl_unit
from hyperspy_rvae.models.geometry import canonical_frame
from hyperspy_rvae.models.latents import APART, Latents, LatentSpace
from hyperspy_rvae.models.levelling import Level
from hyperspy_rvae.models.steerable import basis, gauge, poses, refinement, symmetry
from hyperspy_rvae.models.steerable import channels as channel
from hyperspy_rvae.models.steerable.likelihood import Likelihood
from hyperspy_rvae.models.steerable.rendering import Renderer

HIDDEN = 128
_COPIES = 16  # a multiple of four, so that quarter turns only reorder them
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

    ``location`` and ``scale`` standardise the pixels of each channel, ``noise_variance`` is that
    of a standardised pixel, and ``spread`` says how far the latents reach. ``sides`` are the
    window's and ``band`` is the basis's highest wave number (radians per pixel): they define the
    basis. Encoder and decoder are given a context ``(n, c)``: the class as a unit vector, of which
    zero is none, and ``condition`` numbers.
    ``gain`` brings each channel's coefficients to unit variance, and ``inflation`` is by how much
    angle, shifts and scale scatter more than white noise lets them. ``cells`` of content and
    context and their ``turns`` give all angles one origin; ``unit`` is the scale that counts as 1.
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
    unit: Tensor
    cells: Tensor
    turns: Tensor

    def __init__(
        self,
        window: tuple[int, int],
        space: LatentSpace,
        band: float,
        condition: int = 0,
        channels: int = 1,
    ) -> None:
        super().__init__()
        context = space.classes + condition
        self.window, self.space, self.context, self.channels = window, space, context, channels
        chosen = basis.choose(poses.content_radius(window, space), band)
        self.likelihood = Likelihood(window, space, chosen, channels)
        self.renderer = Renderer(window, chosen)
        functions = 2 * channels * len(chosen.orders)
        self.encoder = Encoder(functions, space.content, context)
        self.decoder = Decoder(space.content + context, functions)
        self.level = Level(context, space.content)
        copies = _COPIES if space.rotation else 1
        turns = torch.arange(copies) * (2 * math.pi / copies)
        self.register_buffer("copies", turns, persistent=False)
        self.register_buffer("near", poses.neighbours(self.likelihood.places), persistent=False)
        self.register_buffer("location", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(channels, dtype=torch.float64))
        self.register_buffer("noise_variance", torch.ones(channels))
        self.register_buffer("spread", torch.ones(len(space.names)))
        self.register_buffer("band", torch.full((1,), band, dtype=torch.float64))
        self.register_buffer("sides", torch.tensor(window, dtype=torch.float64))
        self.register_buffer("gain", torch.ones(channels))
        self.register_buffer("inflation", torch.ones(2 + space.scale))
        self.register_buffer("unit", torch.ones(1))
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
        """Set the scales from coefficients ``(n, S, 2 D)`` and sums of squares ``(n, C)``."""
        for k, part in enumerate(channel.apart(a[:, 0], self.channels).unbind(1)):
            self.gain[k] = 1 / float(part.square().mean().sqrt())
            self.noise_variance[k] = float(square[:, k].mean()) / self.likelihood.size
        if not self.space.turns_freely:
            self.decoder.begin_at(a[:, 0].mean(0) * channel.wide(self.gain, a.shape[-1]))

    @property
    def noise(self) -> float:
        """Noise variance of weighed pixels, which is that of the first channel."""
        return float(self.noise_variance[0])

    @property
    def weights(self) -> Tensor:
        """What brings each channel to the noise of the first, ``(C,)``."""
        return (self.noise_variance[0] / self.noise_variance).sqrt()

    def weigh(self, a: Tensor) -> Tensor:
        """Coefficients ``(..., 2 D)`` with the same noise in all channels."""
        return a if self.channels == 1 else a * channel.wide(self.weights, a.shape[-1])

    def weigh_squares(self, square: Tensor) -> Tensor:
        """Give sums of squares ``(n, C)`` of pixels those of weighed ones."""
        return square if self.channels == 1 else square * self.weights.square()

    def learn_noise(self, mean_square: Tensor) -> None:
        """Let the noise variance follow the mean square errors ``(C,)`` of weighed pixels.

        It starts at the data's variance, so that the likelihood gains weight as fast as the
        decoder earns it.
        """
        if self.channels > 1:
            mean_square = mean_square / self.weights.square()
        target = mean_square.clamp(min=_LEAST_NOISE).log()
        self.noise_variance.copy_(self.noise_variance.log().lerp(target, _NOISE_PACE).exp())

    def seen(self, pixels: Tensor) -> Tensor:
        """Those of the pixels ``(n, p)`` that lie on the support."""
        return pixels[:, self.likelihood.support.repeat(self.channels)]

    def read(
        self,
        a: Tensor,
        context: Tensor,
        angle: Tensor | None = None,
        few: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of content in weighed coefficients ``(n, 2 D)`` about one place.

        A `few` copies, a quarter of them, will do for a first look, and in training, where they
        are turned by a random ``angle`` ``(n,)`` in addition.
        """
        copies = self.copies[:: 1 if angle is None and not few else _FEW]
        if angle is not None:
            a = self.likelihood.turn(a, angle)
        gain = self.gain
        if self.channels > 1:
            gain = channel.wide(gain / self.weights, a.shape[-1])
        turned = self.likelihood.turn(a[:, None], copies) * gain
        mean, log_variance = self.encoder(turned, context)
        content, log_scale = self.level(mean, context)
        return content, log_variance - 2 * log_scale

    def draw(self, content: Tensor, context: Tensor) -> Tensor:
        """Weighed coefficients ``(n, 2 D)`` of content ``(n, k)``."""
        return self.weigh(self._draw(content, context))

    def _draw(self, content: Tensor, context: Tensor) -> Tensor:
        b = self.decoder(torch.cat([self.level.undo(content, context), context], -1))
        return b / channel.wide(self.gain, b.shape[-1])

    @torch.no_grad()
    def silence(self, idle: Tensor) -> None:
        """Let the posterior of some content latents ``(k,)`` be the prior, whatever they read."""
        rows = idle.repeat(2)  # means and log-variances
        self.encoder.last.weight[rows] = 0
        self.encoder.last.bias[rows] = 0
        self.level.forget(idle)

    def codes(self) -> Tensor:
        """Classes to choose from, as unit vectors ``(m, classes)``."""
        return torch.eye(self.space.classes or 1, self.space.classes).to(self.gain)

    def class_log_posterior(self, a: Tensor, condition: Tensor) -> Tensor:
        """Log-probability of each class ``(n, classes)`` of weighed coefficients."""
        bounds = []
        for code in self.codes():
            context = beside(code, condition)
            found = self.look(a, context)
            b = self.draw(found.content, context)
            joint, _ = self.likelihood.log_joint(a, b, self.noise)
            kl = kl_unit(found.content, found.log_variance).sum(1)
            bounds.append(joint.flatten(1).logsumexp(1) - kl)
        return torch.stack(bounds, 1).log_softmax(1)

    def calibrate(self, seen: Tensor, condition: Tensor) -> None:
        """Learn the level of content, the inflation of errors, the origin of angles, unit of scale.

        They follow from pixels ``(n, p)`` of the support.
        """
        if self.channels > 1:
            seen = seen * self.weights.repeat_interleave(self.likelihood.size)
        a = self.likelihood.coefficients(seen)
        context, _ = self._classified(a, condition)
        self.level.learn(*self.look(a, context)[:2], context)
        found, pose, b = self._pose(a, context)
        self.inflation.copy_(refinement.inflation(self.likelihood, seen, b, pose))
        if self.space.scale:
            self.unit.fill_(float(pose.place[:, 2].mean().exp()))
        if self.space.turns_freely:
            told = torch.cat([found.content, APART * context], 1)
            centres, sizes = gauge.cells(told.numpy(force=True))
            self.cells.copy_(torch.from_numpy(centres))
            content, scaled = self.cells.tensor_split([self.space.content], 1)
            b = self.draw(content, scaled / APART)
            drawn = torch.complex(*b.chunk(2, 1)).numpy(force=True)
            orders = self.likelihood.orders.numpy(force=True).astype(int)
            self.turns.copy_(torch.from_numpy(gauge.turns(drawn, orders, sizes)))

    def encode(self, pixels: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Latents and standard deviations, ``(n, latents)``, of pixels ``(n, p)``.

        Content is read at the window's centre, then where its place was found; the likeliest pose
        is refined on the pixels. With classes, all this is that of the likeliest; their columns
        have no standard deviations.
        """
        a = self.weigh(self.likelihood.coefficients(self.seen(pixels)))
        context, kind = self._classified(a, condition)
        found, pose, b = self._pose(a, context)
        widen = self.inflation[[0, 1, 1, 2][: pose.covariance.shape[1]]]
        std = pose.covariance.diagonal(dim1=1, dim2=2).sqrt() * widen
        shift = pose.place[:, :2]
        scale = (pose.place[:, 2:].exp() / self.unit).sum(1)
        angle = refinement.wrap(pose.angle - self._turn(found.content, context))
        if self.space.symmetry != 1:
            angle, swing = self._folded(angle, pose, b)
            shift = shift + swing
        mean = Latents(angle, shift, scale, found.content)
        wide = (found.log_variance / 2).exp()
        widths = Latents(std[:, 0], std[:, 1:3], std[:, 3:].sum(1) * scale, wide)
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
        return found, refinement.find(self.likelihood, a, b, found.pose, self.noise), b

    def look(self, a: Tensor, context: Tensor) -> Reading:
        """Content in weighed coefficients ``(n, S, 2 D)``, read at the centre and where it lies.

        A first look takes in all places, the others those around the last.
        """
        content, log_variance = self.read(a[:, 0], context, few=True)
        pose = self._likeliest(a, self.draw(content, context))
        place = pose // len(self.likelihood.angles)
        rows = torch.arange(len(a), device=a.device)
        for _ in range(_LOOKS):
            if not len(rows):
                break
            here = self.likelihood.seen_from(place[rows], a[rows, place[rows]])
            content[rows], log_variance[rows] = self.read(here, context[rows])
            near, b = self.near[place[rows]], self.draw(content[rows], context[rows])
            pose[rows] = self._likeliest(a[rows[:, None], near], b, near)
            found = pose[rows] // len(self.likelihood.angles)
            rows, found = rows[found != place[rows]], found[found != place[rows]]
            place[rows] = found
        return Reading(content, log_variance, pose)

    def _likeliest(self, a: Tensor, b: Tensor, cells: Tensor | None = None) -> Tensor:
        # Index of the likeliest pose among all, or among those at some places.
        angles = len(self.likelihood.angles)
        joint, _ = self.likelihood.log_joint(a, b, self.noise, cells)
        best = joint.flatten(1).argmax(1)
        if cells is None:
            return best
        return cells.gather(1, best[:, None] // angles)[:, 0] * angles + best % angles

    def decode(self, values: Tensor, condition: Tensor) -> Tensor:
        """Pixels ``(n, p)`` of latents ``(n, latents)``."""
        latents = self.space.split(values)
        context = torch.cat([self.space.class_of(values), condition], 1)
        b = self.draw(latents.content, context)
        angle = latents.angle + self._turn(latents.content, context)
        scale = latents.scale * self.unit if self.space.scale else None
        return self.renderer(b, angle, latents.shift, scale)

    def symmetries(self, b: Tensor) -> symmetry.Symmetry:
        """Rotational symmetry of content ``(n, 2 D)``: the one that is given, or what is found."""
        order = self.space.symmetry
        if order == "auto" or order == 1:
            return symmetry.find(self.likelihood, b)
        _, centre = symmetry.about(self.likelihood, b, order)
        return symmetry.Symmetry(torch.full((len(b),), order, device=b.device), centre)

    def _folded(self, angle: Tensor, pose: refinement.Pose, b: Tensor) -> tuple[Tensor, Tensor]:
        # Angles modulo what the content's symmetry leaves open, and the shift that keeps its centre
        # of symmetry where it is.
        order, centre = self.symmetries(b)
        folded = symmetry.fold(angle, order)
        middle = centre * pose.place[:, 2:].exp().prod(1, keepdim=True)
        return folded, _swing(middle, pose.angle, pose.angle + folded - angle)

    def _turn(self, content: Tensor, context: Tensor) -> Tensor:
        # From the origin of the angles to that of the content's own coefficients, (n,).
        told = torch.cat([content, APART * context], 1)
        return self.turns[torch.cdist(told, self.cells).argmin(1)]


def beside(code: Tensor, condition: Tensor) -> Tensor:
    """Context ``(n, c)`` of one class, given as a unit vector, and conditions ``(n, c')``."""
    return torch.cat([code.expand(len(condition), -1), condition], 1)


def _swing(centre: Tensor, before: Tensor, after: Tensor) -> Tensor:
    # The shift that keeps a point of the content where it is as the angle changes.
    turn, _ = canonical_frame(before, centre)
    turn_after, _ = canonical_frame(after, centre)
    return ((turn - turn_after).mT @ centre[..., None])[..., 0]
