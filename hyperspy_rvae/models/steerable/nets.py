"""The networks between content and its coefficients; the pose is in neither."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import silu
from torch.nn.utils import skip_init

from hyperspy_rvae.models.latents import Latents, LatentSpace
from hyperspy_rvae.models.steerable import basis, poses, refinement
from hyperspy_rvae.models.steerable import channels as channel
from hyperspy_rvae.models.steerable.likelihood import Likelihood
from hyperspy_rvae.models.steerable.rendering import Renderer

HIDDEN = 128
_COPIES = 16  # a multiple of four, so that quarter turns only reorder them
_LOOKS = 2  # again, at most, where content is not where it was read
_IN_TRAINING = 4  # every fourth copy; a random turn makes up for the others
_LOG_VARIANCES = (-9.0, 4.0)
_NOISE_PACE = 0.03  # per step
_LEAST_NOISE = 1e-4  # of the data's variance


class Encoder(nn.Module):
    """Coefficients to the posterior of content, from turned copies.

    Each copy passes through two layers of 128 units; a weighted mean over the copies, with
    weights learned by attention, forgets which was which, and so the angle.
    """

    def __init__(self, functions: int, content: int) -> None:
        super().__init__()
        self.first = skip_init(nn.Linear, functions, HIDDEN)
        self.second = skip_init(nn.Linear, HIDDEN, HIDDEN)
        self.attention = skip_init(nn.Linear, HIDDEN, 1)
        self.third = skip_init(nn.Linear, HIDDEN, HIDDEN)
        self.last = skip_init(nn.Linear, HIDDEN, 2 * content)

    def forward(self, copies: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance ``(n, content)`` of coefficients ``(n, copies, 2 D)``."""
        hidden = silu(self.second(silu(self.first(copies))))
        weight = self.attention(hidden).softmax(1)
        pooled = (weight * hidden).sum(1)
        mean, log_variance = self.last(silu(self.third(pooled))).chunk(2, -1)
        return mean, log_variance.clamp(*_LOG_VARIANCES)


class Decoder(nn.Sequential):
    """Content to coefficients, by two layers of 128 units (tanh)."""

    def __init__(self, content: int, functions: int) -> None:
        super().__init__(
            skip_init(nn.Linear, content, HIDDEN),
            nn.Tanh(),
            skip_init(nn.Linear, HIDDEN, HIDDEN),
            nn.Tanh(),
            skip_init(nn.Linear, HIDDEN, functions),
        )


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
    basis. ``gain`` brings each channel's coefficients to unit variance, and ``inflation`` is by
    how much angle and shifts scatter more than white noise lets them.
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

    def __init__(
        self, window: tuple[int, int], space: LatentSpace, band: float, channels: int = 1
    ) -> None:
        super().__init__()
        self.window, self.space, self.channels = window, space, channels
        chosen = basis.choose(poses.content_radius(window, space), band)
        self.likelihood = Likelihood(window, space, chosen, channels)
        self.renderer = Renderer(window, chosen)
        functions = 2 * channels * len(chosen.orders)
        self.encoder = Encoder(functions, space.content)
        self.decoder = Decoder(space.content, functions)
        copies = _COPIES if space.rotation else 1
        turns = torch.arange(copies) * (2 * math.pi / copies)
        self.register_buffer("copies", turns, persistent=False)
        self.register_buffer("near", poses.neighbours(self.likelihood.shifts), persistent=False)
        self.register_buffer("location", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(channels, dtype=torch.float64))
        self.register_buffer("noise_variance", torch.ones(channels))
        self.register_buffer("spread", torch.ones(len(space.names)))
        self.register_buffer("band", torch.full((1,), band, dtype=torch.float64))
        self.register_buffer("sides", torch.tensor(window, dtype=torch.float64))
        self.register_buffer("gain", torch.ones(channels))
        self.register_buffer("inflation", torch.ones(2))

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

    def learn_noise(self, mean_square: Tensor) -> None:
        """Let the noise variance follow a batch's mean square errors ``(C,)``.

        It starts at the data's variance, so that the likelihood gains weight as fast as the
        decoder earns it.
        """
        target = mean_square.clamp(min=_LEAST_NOISE).log()
        self.noise_variance.copy_(self.noise_variance.log().lerp(target, _NOISE_PACE).exp())

    def seen(self, pixels: Tensor) -> Tensor:
        """Those of the pixels ``(n, p)`` that lie on the support."""
        return pixels[:, self.likelihood.support.repeat(self.channels)]

    def read(self, a: Tensor, angle: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of content in weighed coefficients ``(n, 2 D)`` about one shift.

        In training, a quarter of the copies are turned by a random ``angle`` ``(n,)`` in addition.
        """
        copies = self.copies
        if angle is not None:
            a, copies = self.likelihood.turn(a, angle), copies[::_IN_TRAINING]
        gain = channel.wide(self.gain / self.weights, a.shape[-1])
        return self.encoder(self.likelihood.turn(a[:, None], copies) * gain)

    def draw(self, content: Tensor) -> Tensor:
        """Weighed coefficients ``(n, 2 D)`` of content ``(n, k)``."""
        return self.weigh(self._draw(content))

    def _draw(self, content: Tensor) -> Tensor:
        b = self.decoder(content)
        return b / channel.wide(self.gain, b.shape[-1])

    def calibrate(self, seen: Tensor) -> None:
        """Learn the inflation of the standard deviations from pixels ``(n, p)`` of the support."""
        if self.channels > 1:
            seen = seen * self.weights.repeat_interleave(self.likelihood.size)
        _, pose, b = self._pose(self.likelihood.coefficients(seen))
        self.inflation.copy_(refinement.inflation(self.likelihood, seen, b, pose))

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Latents and standard deviations, ``(n, latents)``, of pixels ``(n, p)``.

        Content is read at the window's centre, then where its shift was found; the likeliest pose
        is refined on the pixels.
        """
        a = self.weigh(self.likelihood.coefficients(self.seen(pixels)))
        found, pose, _ = self._pose(a)
        widen = self.inflation[[0, 1, 1]]
        std = pose.covariance.diagonal(dim1=1, dim2=2).sqrt() * widen
        mean = Latents(refinement.wrap(pose.angle), pose.shift, found.content)
        widths = Latents(std[:, 0], std[:, 1:], (found.log_variance / 2).exp())
        return self.space.join(mean), self.space.join(widths)

    def _pose(self, a: Tensor) -> tuple[Reading, refinement.Pose, Tensor]:
        found = self.look(a)
        b = self.draw(found.content)
        return found, refinement.find(self.likelihood, a, b, found.pose, self.noise), b

    def look(self, a: Tensor) -> Reading:
        """Content in weighed coefficients ``(n, S, 2 D)``, read at the centre and where it lies.

        A first look takes in all shifts, the others those around the last.
        """
        content, log_variance = self.read(a[:, 0])
        pose = self._likeliest(a, content)
        place = pose // len(self.likelihood.angles)
        rows = place.nonzero()[:, 0]
        for _ in range(_LOOKS):
            if not len(rows):
                break
            content[rows], log_variance[rows] = self.read(a[rows, place[rows]])
            near = self.near[place[rows]]
            pose[rows] = self._likeliest(a[rows[:, None], near], content[rows], near)
            found = pose[rows] // len(self.likelihood.angles)
            rows, found = rows[found != place[rows]], found[found != place[rows]]
            place[rows] = found
        return Reading(content, log_variance, pose)

    def _likeliest(self, a: Tensor, content: Tensor, cells: Tensor | None = None) -> Tensor:
        # Index of the likeliest pose among all, or among those at some shifts.
        angles = len(self.likelihood.angles)
        joint, _ = self.likelihood.log_joint(a, self.draw(content), self.noise, cells)
        best = joint.flatten(1).argmax(1)
        if cells is None:
            return best
        return cells.gather(1, best[:, None] // angles)[:, 0] * angles + best % angles

    def decode(self, values: Tensor) -> Tensor:
        """Pixels ``(n, p)`` of latents ``(n, latents)``."""
        latents = self.space.split(values)
        return self.renderer(self._draw(latents.content), latents.angle, latents.shift)
