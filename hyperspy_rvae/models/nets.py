"""The networks: an encoder that knows of exact turns, and a spatial decoder."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import skip_init

from hyperspy_rvae.models.convolutional import Convolutions
from hyperspy_rvae.models.geometry import canonical_frame, exact_turns, pixel_grid, vector_angle
from hyperspy_rvae.models.latents import Latents, LatentSpace
from hyperspy_rvae.models.levelling import Level

HIDDEN = 128
_LOG_VARIANCES = (-12.0, 4.0)
_FIRST_LOG_VARIANCE = -2.0
_SCALE_STEP = 0.1  # of a scale, where content changes by one
_SMALLEST_SCALE = 0.2
_EDGES = (2.0, 6.0)  # steepness of the decoder's first units, per half a window


class Encoder(nn.Module):
    """Pixels to the posterior of the latents, by two layers of 128 units (tanh).

    The first reads the pixels themselves, or what convolutions find in them.

    A model that turns its content reads each window in all its exact turns, turns the vectors it
    finds back, and takes the mean: the angle then follows a quarter turn exactly, the content
    does not change, and no direction is preferred, unless the prior of the angle prefers one.
    The angle is that of a vector, so that the circle has no cut. The second layer reads the
    context, if there is any, beside the first.
    """

    orders: Tensor
    back: Tensor

    def __init__(
        self,
        height: int,
        width: int,
        space: LatentSpace,
        context: int,
        channels: int = 1,
        kind: str = "mlp",
    ) -> None:
        super().__init__()
        self.space = space
        self.vectors = space.rotation + space.translation
        outputs = 2 * self.vectors + space.scale + space.content + len(space.names)
        self.first: nn.Linear | Convolutions
        if kind == "conv":
            self.first = Convolutions(channels, height, width, HIDDEN)
        else:
            self.first = skip_init(nn.Linear, channels * height * width, HIDDEN)
        self.second = skip_init(nn.Linear, HIDDEN + context, HIDDEN)
        self.last = skip_init(nn.Linear, HIDDEN, outputs)
        turns = slice(None) if space.turns_freely else slice(1)
        orders, back = exact_turns(height, width)
        starts = torch.arange(channels).repeat_interleave(height * width) * (height * width)
        orders = orders.repeat(1, channels) + starts
        self.register_buffer("orders", orders[turns], persistent=False)
        self.register_buffer("back", back[turns], persistent=False)

    def start(self, generator: Generator) -> None:
        """Draw the first weights."""
        for layer in (self.first, self.second, self.last):
            _start_layer(layer, generator)
        nn.init.constant_(self.last.bias[-len(self.space.names) :], _FIRST_LOG_VARIANCE)

    def forward(self, pixels: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, ``(n, latents)`` each, of pixels ``(n, p)``."""
        hidden = torch.tanh(self.first(pixels[:, self.orders]))
        given = context[:, None].expand(-1, len(self.orders), -1)
        hidden = torch.cat([hidden, given], -1)
        outputs = self.last(torch.tanh(self.second(hidden)))
        plain = self.space.scale + self.space.content
        widths = [2 * self.vectors, plain, len(self.space.names)]
        vectors, content, log_variance = outputs.split(widths, -1)
        mean = self._mean(vectors.unflatten(-1, (self.vectors, 2)), content.mean(1))
        return mean, torch.exp(0.5 * self._log_variance(log_variance).clamp(*_LOG_VARIANCES))

    def _mean(self, vectors: Tensor, content: Tensor) -> Tensor:
        vectors = torch.einsum("kij,nkvj->nvi", self.back, vectors) / len(self.back)
        none = vectors.new_zeros(len(vectors), 1, 2)
        direction = vectors[:, :1] if self.space.rotation else none
        shift = vectors[:, -1:] if self.space.translation else none
        angle = vector_angle(direction)[:, 0]
        growth, content = content.split([int(self.space.scale), self.space.content], 1)
        scale = 1 + _SCALE_STEP * growth.sum(1)
        return self.space.join(Latents(angle, shift[:, 0], scale, content))

    def _log_variance(self, outputs: Tensor) -> Tensor:
        angle, shift, scale, content = outputs.split(self.space.widths, -1)
        if self.space.translation:  # a quarter turn exchanges x and y
            shift = torch.einsum("kij,nkj->nki", self.back.abs(), shift)
        return torch.cat([angle, shift, scale, content], -1).mean(1)


class SpatialDecoder(nn.Module):
    """Values of one pixel from where it lies in the content's frame and what the content is.

    Two layers of 128 units (tanh), as in Bepler et al. (2019). The pose acts on the weights of
    the first layer, one small matrix per window, and not on each pixel's position. In training
    on a CPU that can, the other layers count in bfloat16.
    """

    pixels: Tensor

    def __init__(self, height: int, width: int, inputs: int, channels: int = 1) -> None:
        super().__init__()
        self.reach = max(height, width) / 2
        self.position = skip_init(nn.Linear, 2, HIDDEN)
        self.content = skip_init(nn.Linear, inputs, HIDDEN, bias=False)
        self.second = skip_init(nn.Linear, HIDDEN, HIDDEN)
        self.last = skip_init(nn.Linear, HIDDEN, channels)
        self.register_buffer("pixels", pixel_grid(height, width), persistent=False)

    def start(self, generator: Generator) -> None:
        """Draw the first weights; each first unit is an edge somewhere in the window."""
        for layer in (self.content, self.second, self.last):
            _start_layer(layer, generator)
        direction = 2 * math.pi * torch.rand(HIDDEN, generator=generator)
        steepness = torch.empty(HIDDEN).uniform_(*_EDGES, generator=generator)
        place = torch.empty(HIDDEN, 2).uniform_(-1, 1, generator=generator)
        edges = torch.stack([direction.cos(), direction.sin()], 1) * steepness[:, None]
        with torch.no_grad():
            self.position.weight.copy_(edges)
            self.position.bias.copy_(-(edges * place).sum(1))

    def forward(self, latents: Latents, context: Tensor) -> Tensor:
        """Pixels ``(n, C * p)``, channel by channel."""
        scale = latents.scale.clamp(min=_SMALLEST_SCALE)
        turn, offset = canonical_frame(latents.angle, latents.shift / self.reach, scale)
        weight = self.position.weight @ turn
        bias = self.position(offset) + self.content(torch.cat([latents.content, context], -1))
        pixels = (self.pixels / self.reach).expand(len(turn), -1, -1)
        # In rows, because what is changed in place must be no view, lest its gradient is copied.
        hidden = torch.baddbmm(bias[:, None], pixels, weight.mT).flatten(0, 1)
        if not (self.training and hidden.device.type == "cpu" and _has_bfloat16()):
            shown = self.last(self.second(hidden.tanh()).tanh_())
        else:
            with torch.autocast("cpu", torch.bfloat16):  # positions need more digits, units do not
                hidden = self.second(hidden.to(torch.bfloat16).tanh_()).tanh_()
                shown = self.last(hidden).float()
        return shown.view(len(turn), -1, shown.shape[-1]).mT.flatten(1)


class Network(nn.Module):
    """Encoder and decoder, and the numbers learned beside them, each of one dimension.

    ``location`` and ``scale`` standardise the pixels of each channel, ``noise_variance`` is that
    of a standardised pixel, and ``spread`` says how far the latents reach. Encoder and decoder
    are given a ``context`` ``(n, c)`` of so many numbers, or none.
    """

    location: Tensor
    scale: Tensor
    noise_variance: Tensor
    spread: Tensor

    def __init__(
        self,
        window: tuple[int, int],
        space: LatentSpace,
        context: int = 0,
        channels: int = 1,
        encoder: str = "mlp",
    ) -> None:
        super().__init__()
        self.window, self.space, self.context, self.channels = window, space, context, channels
        self.encoder = Encoder(*window, space, context, channels, encoder)
        self.decoder = SpatialDecoder(*window, space.content + context, channels)
        self.level = Level(context, space.content)
        # A faint contrast on a high pedestal needs double precision.
        self.register_buffer("location", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(channels, dtype=torch.float64))
        self.register_buffer("noise_variance", torch.ones(channels))
        self.register_buffer("spread", torch.ones(len(space.names)))

    def start(self, generator: Generator) -> None:
        """Draw the first weights."""
        self.encoder.start(generator)
        self.decoder.start(generator)

    @torch.no_grad()
    def silence(self, idle: Tensor) -> None:
        """Let the posterior of some content latents ``(k,)`` be the prior, whatever they read."""
        pose = len(self.space.names) - self.space.content
        others = idle.new_zeros(2 * self.encoder.vectors + self.space.scale)
        rows = torch.cat([others, idle, idle.new_zeros(pose), idle])  # means and log-variances
        self.encoder.last.weight[rows] = 0
        self.encoder.last.bias[rows] = 0
        self.level.forget(idle)

    def encode(self, pixels: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior mean and standard deviation of the latents of pixels ``(n, p)``."""
        mean, std = self.encoder(pixels, context)
        pose = len(self.space.names) - self.space.content
        content, log_scale = self.level(mean[:, pose:], context)
        wide = std[:, pose:] * (-log_scale).exp()
        return torch.cat([mean[:, :pose], content], 1), torch.cat([std[:, :pose], wide], 1)

    def decode(self, values: Tensor, context: Tensor) -> Tensor:
        """Pixels ``(n, p)`` of latents ``(n, latents)``."""
        latents = self.space.split(values)
        content = self.level.undo(latents.content, context)
        return self.decoder(latents._replace(content=content), context)

    @torch.no_grad()
    def calibrate(self, pixels: Tensor, context: Tensor) -> None:
        """Learn the content's level from pixels ``(n, p)``."""
        mean, std = self.encoder(pixels, context)
        content = self.space.is_content()
        self.level.learn(mean[:, content], 2 * std[:, content].log(), context)


@cache
def _has_bfloat16() -> bool:
    known: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _start_layer(layer: nn.Linear | Convolutions, generator: Generator) -> None:
    if isinstance(layer, Convolutions):
        layer.start(generator)
        return
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
