"""Which latents a model has, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

APART = 4.0  # how far what is given beside content divides it into cells, as if it were content


class Latents(NamedTuple):
    """Continuous latents: angle and scale ``(n,)``, shift ``(n, 2)``, content ``(n, k)``.

    Without the invariance, angle and shift are zero, and scale is one.
    """

    angle: Tensor
    shift: Tensor
    scale: Tensor
    content: Tensor


@dataclass(frozen=True)
class PosePrior:
    """Standard deviations of poses before any data: angle (radians) and shift (pixels).

    None: angles are uniform, and shifts as the decoder takes them.
    """

    angle: float | None = None
    shift: float | None = None


@dataclass(frozen=True)
class LatentSpace:
    """The latents of a model: its pose, as far as it has one, its content, and then its class."""

    content: int
    rotation: bool
    translation: bool
    scale: bool = False
    prior: PosePrior = PosePrior()
    symmetry: int | Literal["auto"] = 1  # of content, modulo which angles are told
    classes: int = 0

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> LatentSpace:
        """Take the latents out of an estimator's parameters."""
        invariances, order = parameters["invariances"], parameters["rotation_symmetry"] or 1
        widths = (parameters["rotation_prior"], parameters["translation_prior"])
        return cls(
            int(parameters["latent_dim"]),
            "rotation" in invariances,
            "translation" in invariances,
            "scale" in invariances,
            PosePrior(*(None if width is None else float(width) for width in widths)),
            "auto" if order == "auto" else int(order),
            int(parameters["discrete_classes"]),
        )

    @property
    def turns_freely(self) -> bool:
        """Whether all angles are alike."""
        return self.rotation and self.prior.angle is None

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the columns."""
        pose = ("angle",) * self.rotation + ("shift_x", "shift_y") * self.translation
        pose += ("scale",) * self.scale
        content = tuple(f"z{k}" for k in range(1, self.content + 1))
        return pose + content + ("class", "class_probability") * bool(self.classes)

    @property
    def widths(self) -> list[int]:
        """How many columns angle, shift, scale and content take."""
        return [int(self.rotation), 2 * self.translation, int(self.scale), self.content]

    @property
    def at_rest(self) -> np.ndarray:
        """Latents of content that is neither turned nor shifted nor scaled, and itself zero."""
        return np.array([float(name == "scale") for name in self.names], np.float32)

    def is_content(self) -> np.ndarray:
        """Whether each column is one of the content's."""
        return np.array([name[0] == "z" for name in self.names])

    def split(self, values: Tensor) -> Latents:
        """Take the columns apart."""
        angle, shift, scale, content = values[:, : sum(self.widths)].split(self.widths, -1)
        if not self.rotation:
            angle = values.new_zeros(len(values), 1)
        if not self.translation:
            shift = values.new_zeros(len(values), 2)
        if not self.scale:
            scale = values.new_ones(len(values), 1)
        return Latents(angle.squeeze(-1), shift, scale.squeeze(-1), content)

    def class_of(self, values: Tensor) -> Tensor:
        """Class of each row as a unit vector, ``(n, classes)``."""
        column = sum(self.widths)
        classes = values[:, column : column + 1] if self.classes else values[:, :0]
        return (classes == torch.arange(self.classes, device=values.device)).to(values)

    def join(self, latents: Latents) -> Tensor:
        """Put the continuous columns together, those that the model has."""
        parts = [latents.angle[:, None], latents.shift, latents.scale[:, None], latents.content]
        present = [self.rotation, self.translation, self.scale, True]
        return torch.cat([part for part, here in zip(parts, present, strict=True) if here], -1)
