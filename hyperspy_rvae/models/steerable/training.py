"""The training loop: steps from the data's noise, rare content drawn more often."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Generator, Tensor

from hyperspy_rvae.models.course import Course, Plan, Record, noise_record
from hyperspy_rvae.models.divergence import kl_unit, told_twice
from hyperspy_rvae.models.steerable.classes import Classes
from hyperspy_rvae.models.steerable.likelihood import Evidence
from hyperspy_rvae.models.steerable.nets import SteerableNetwork

if TYPE_CHECKING:
    from hyperspy_rvae.models.steerable.streaming import StreamedSamples

_BATCHES = (8, 50)  # fewest and most subimages to a step
_STEPS_PER_EPOCH = 8  # which smaller batches are for
_WARM_UP = 300  # steps, of the learning rate; the divergence's weight takes twice as many
_SHORT = 6  # a training with fewer times the warm-up steps warms up faster
_MOMENTS = (0.9, 0.98)
_GRADIENT_NORM = 0.5  # of the loss per pixel
_HARD_SHARE = 0.3  # of each batch, drawn by misfit
_HARDEST = 8.0  # robust standard deviations; more does not count
_EASY = 1.5
_CENTRING = (0.3, 0.1)  # while warming up, and later, when z knows of the shift
_CENTRING_ON_PRIOR = 0.4
_STEADYING = 0.3  # against shifts that change with the angle
_TOLD = 1.0  # weight of the cross-entropy of labelled subimages, as many as there may be
_ONCE = 20.0  # weight of what content says that the context does
_NEARBY = 0.3  # of content's standard deviation
_STILL_EVERY = 4  # steps
_STILL = 1000.0  # nats per squared pixel that content moves as z changes by one
_STILL_UNTURNED = 8000.0  # the same where content need not turn into place
_SLIGHT = 1e-3
_OWN_SHIFT = 0.7  # share of subimages that are read where their content was last found
_EVERYWHERE = 4  # after warming up, steps between looks at all shifts and not at nearby ones
_AT_ONCE = 256
_DRAWN = ("misfit", "seen", "shift", "weight", "order", "place")
_STORED_MOST = 2**27  # coefficients; of more subimages they are computed anew in each step


class Samples:
    """Subimages as coefficients, stored if they fit into memory, and the context of each."""

    def __init__(self, network: SteerableNetwork, pixels: Tensor, context: Tensor) -> None:
        self.likelihood = network.likelihood
        self.pixels, self.context = pixels, context
        self.square = self.likelihood.squares(pixels)
        numbers = len(pixels) * self.likelihood.functions[..., 0].numel() * network.channels
        self.stored: Tensor | None = None
        if numbers <= _STORED_MOST:
            parts = [self.likelihood.coefficients(part) for part in pixels.split(_AT_ONCE)]
            self.stored = torch.cat(parts)

    def __len__(self) -> int:
        return len(self.pixels)

    def coefficients(self, rows: Tensor, cells: Tensor | None = None) -> Tensor:
        """Coefficients ``(n, S, 2 D)`` of some rows, or ``(n, k, 2 D)`` at some shifts."""
        if self.stored is None:
            found = self.likelihood.coefficients(self.pixels[rows])
            each = torch.arange(len(rows), device=rows.device)[:, None]
            return found if cells is None else found[each, cells]
        return self.stored[rows] if cells is None else self.stored[rows[:, None], cells]

    def at(self, rows: Tensor, place: Tensor) -> Tensor:
        """Coefficients ``(n, 2 D)`` of some rows, each about one shift."""
        found = self.coefficients(rows, place[:, None])[:, 0]
        return self.likelihood.seen_from(place, found)

    def draws(self, batch: int, generator: Generator) -> Draws:
        """Draw rows in batches."""
        return Draws(len(self), batch, generator)


class Draws:
    """Which subimages come next: all in turn, and beside them those that fit worst.

    A share of each batch is drawn by the running misfit, so that motifs of a few percent are
    learned before the noise variance has settled without them.
    """

    def __init__(self, count: int, batch: int, generator: Generator) -> None:
        self.generator = generator
        self.hard = int(_HARD_SHARE * batch)
        self.even = batch - self.hard
        self.misfit, self.seen = torch.zeros(count), torch.zeros(count, dtype=torch.bool)
        self.shift = torch.zeros(count, dtype=torch.long)
        self.weight = torch.ones(count)
        self.order, self.place = torch.empty(0, dtype=torch.long), 0

    def next(self) -> Tensor:
        """Rows of a batch, those in turn first."""
        if self.place + self.even > len(self.order):
            self.order = torch.randperm(len(self.seen), generator=self.generator)
            self.place = 0
            self._weigh()
        rows = self.order[self.place : self.place + self.even]
        self.place += self.even
        hard = torch.multinomial(self.weight, self.hard, True, generator=self.generator)
        return torch.cat([rows, hard])

    def places(self, rows: Tensor, near: int) -> tuple[Tensor, Tensor]:
        """Index of the place at which each row is read, and whether it is its own."""
        chance = torch.rand(len(rows), generator=self.generator)
        anywhere = torch.randint(near, (len(rows),), generator=self.generator)
        own = (chance < _OWN_SHIFT) & self.seen[rows]
        return torch.where(own, self.shift[rows], anywhere), own

    def note(self, rows: Tensor, error: Tensor, shift: Tensor) -> None:
        """Remember how badly rows fitted, and where their content was."""
        mean = 0.5 * (self.misfit[rows] + error)
        self.misfit[rows] = torch.where(self.seen[rows], mean, error)
        self.shift[rows] = shift
        self.seen[rows] = True

    def state_dict(self) -> dict[str, Any]:
        """Give all that changes from batch to batch."""
        return {name: getattr(self, name) for name in _DRAWN}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave."""
        for name in _DRAWN:
            setattr(self, name, state_dict[name])

    def _weigh(self) -> None:
        if self.hard and self.seen.float().mean() > 0.5:
            self.weight = weights(self.misfit)


class Trainer:
    """One training of a network, step by step."""

    def __init__(
        self,
        network: SteerableNetwork,
        samples: Samples | StreamedSamples,
        plan: Plan,
        generator: Generator,
        classes: Classes | None = None,
    ) -> None:
        self.network, self.samples, self.plan, self.generator = network, samples, plan, generator
        self.classes = classes
        batch = min(plan.batch_size or batch_size(len(samples)), len(samples))
        self.draws = samples.draws(batch, generator)
        self.steps = math.ceil(len(samples) / batch)
        self.near = network.near.cpu()
        turns, moves = network.space.rotation, network.space.translation
        arm = min(network.window) / 4
        lever = [turns * arm, 1.0 * moves, 1.0 * moves] + [arm] * network.space.scale
        self.lever = network.gain.new_tensor(lever)
        self.still = _STILL_EVERY * (_STILL if turns else _STILL_UNTURNED)
        known = network.space.prior.shift is not None
        self.centring = (_CENTRING_ON_PRIOR,) * 2 if known else _CENTRING
        self.taken, self.warm_up = 0, float(_WARM_UP)
        self.optimiser = torch.optim.Adam(
            network.parameters(), lr=plan.learning_rate, betas=_MOMENTS, fused=True
        )

    def epoch(self, course: Course, epoch: int) -> Record:
        """Take as many steps as it takes to draw as many subimages as there are."""
        if self.plan.epochs is not None:
            self.warm_up = min(_WARM_UP, self.plan.epochs * self.steps / _SHORT)
        self.taken = epoch * self.steps
        totals = np.zeros(3)
        for step in range(self.steps):
            warm = min(1.0, (self.taken + 1) / self.warm_up)
            for group in self.optimiser.param_groups:
                rate = course.rate(epoch + step / self.steps)
                group["lr"] = self.plan.learning_rate * warm * rate
            totals += self.step()
        misfit, divergence, cost = (float(total) / self.steps for total in totals)
        misfit += log_scale(self.network)
        return {
            "loss": misfit + cost,
            "reconstruction": misfit,
            "divergence": divergence,
            **noise_record(self.network.noise_variance, self.network.scale),
        }

    def step(self) -> tuple[float, float, float]:
        """Take one step; reconstruction, divergence and its cost of the subimages in turn."""
        likelihood, device = self.network.likelihood, self.network.noise_variance.device
        rows = self.draws.next()
        place, own = self.draws.places(rows, self.near.shape[1])
        warm = self.taken >= 2 * self.warm_up
        everywhere = not warm or self.taken % _EVERYWHERE == 0
        cells = None if everywhere else self.near[self.draws.shift[rows]]
        rows, place, own = rows.to(device), place.to(device), own.to(device)
        cells = None if cells is None else cells.to(device)
        here = self.network.weigh(self.samples.at(rows, place))
        a = self.network.weigh(self.samples.coefficients(rows, cells))
        context, class_kl = self._context(rows, here, a, cells)
        mean, log_variance = self.network.read(here, context, self._turns(len(rows)))
        noise = torch.randn(mean.shape, generator=self.generator).to(device)
        content = mean + (log_variance / 2).exp() * noise
        b = self.network.draw(content, context)
        square, s2 = self.network.weigh_squares(self.samples.square[rows]), self.network.noise
        with torch.no_grad():
            found = likelihood.evidence(a, b, square, s2, cells)
            motions = likelihood.motions(b)
            gradient = found.gradient + self._centring(found, motions, own, warm)
        kl = kl_unit(mean, log_variance)
        self.optimiser.zero_grad(set_to_none=True)
        objective = self.plan.cost.of(kl, self._risen()) - (gradient * b).sum(1) / s2
        if self.taken % _STILL_EVERY == 1:
            objective = objective + self._moving(content, context, b, motions)
        loss = objective.mean()
        if self.network.context:
            even = slice(self.draws.even)
            loss = loss + _ONCE * told_twice(mean[even], log_variance[even], context[even])
        if self.classes is not None and self.classes.told:
            loss = loss + _TOLD * self._contradiction(self.classes)
        loss.backward()
        steepest = _GRADIENT_NORM * likelihood.size * likelihood.channels
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), steepest)
        self.optimiser.step()
        self.taken += 1
        return self._note(rows.cpu(), found, square, kl.detach(), class_kl)

    def _centring(self, found: Evidence, motions: Tensor, own: Tensor, warm: bool) -> Tensor:
        # A pull (n, 2 D) of content to where its windows show it on average. Where the angle is not
        # known, the shift must not change with it: content off its centre does that, and its
        # average would not tell, as angles then follow the shifts.
        drift = self.centring[warm] * found.offset
        drift[:, :2] += _STEADYING * found.swing
        pull = own[:, None] * (drift[:, None] @ motions[:, 1:])[:, 0]
        if self.network.likelihood.aligned:
            pull += _CENTRING_ON_PRIOR * found.turn[:, None] * motions[:, 0]
        return pull

    def _context(
        self, rows: Tensor, here: Tensor, a: Tensor, cells: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        # What the networks are given, and the divergence of the class.
        condition = self.samples.context[rows]
        none = condition.new_zeros(len(rows), self.network.space.classes)
        if self.classes is None:
            return torch.cat([none, condition], 1), none.sum(1)
        self.classes.released |= self.taken >= 2 * self.warm_up
        code, kl = self.classes.draw(rows, here, a, cells, condition)
        return torch.cat([code, condition], 1), kl

    def _contradiction(self, classes: Classes) -> Tensor:
        # Of some that are labelled, each read where it was found last.
        rows = classes.some_labelled()
        place, _ = self.draws.places(rows, self.near.shape[1])
        cells, device = self.near[place], self.network.noise_variance.device
        rows, place, cells = rows.to(device), place.to(device), cells.to(device)
        return classes.contradiction(
            rows,
            self.network.weigh(self.samples.at(rows, place)),
            self.network.weigh(self.samples.coefficients(rows, cells)),
            self.network.weigh_squares(self.samples.square[rows]),
            cells,
            self.samples.context[rows],
            self._turns(len(rows)),
        )

    def _risen(self) -> float:
        # Share of the warm-up of the divergence that is over; at the end it may be above 1.
        epochs = self.plan.cost.kl_warmup
        steps = 2 * self.warm_up if epochs is None else epochs * self.steps
        return self.taken / steps if steps else 1.0

    def _turns(self, count: int) -> Tensor | None:
        if not self.network.space.rotation:
            return None
        turns = 2 * math.pi * torch.rand(count, generator=self.generator)
        return turns.to(self.network.noise_variance.device)

    def _moving(self, content: Tensor, context: Tensor, b: Tensor, motions: Tensor) -> Tensor:
        # Content that turned and moved as z changes would fit as well, with an origin of angle and
        # shift that depends on z. So the change of the image between nearby z is kept free of
        # motion: the motion that fits it best by least squares costs its square.
        nearby = torch.randn(content.shape, generator=self.generator).to(content.device)
        change = self.network.draw(content + _NEARBY * nearby, context) - b
        products = motions @ motions.mT
        slight = _SLIGHT * products.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        products = products + slight * torch.eye(len(self.lever), device=products.device)
        motion = torch.linalg.solve(products, motions @ change[..., None])[..., 0]
        return self.still * (motion / _NEARBY * self.lever).square().sum(1)

    def _note(
        self, rows: Tensor, found: Evidence, square: Tensor, kl: Tensor, class_kl: Tensor
    ) -> tuple[float, float, float]:
        self.draws.note(rows, found.error.sum(1).cpu(), found.place.cpu())
        even = slice(self.draws.even)
        misfit = reconstruction(self.network, found, square)[even]
        self.network.learn_noise(found.error[even].mean(0) / self.network.likelihood.size)
        cost = self.plan.cost.of(kl[even]) + class_kl[even]
        kl = kl[even].sum(1) + class_kl[even]
        return float(misfit.mean()), float(kl.mean()), float(cost.mean())


def weights(misfit: Tensor) -> Tensor:
    """Chances to be drawn for a misfit, ``(n,)``: next to none for what fits as most do."""
    off = misfit - misfit.median()
    score = off / (1.4826 * off.abs().median() + 1e-9)
    return (score - _EASY).clamp(0, _HARDEST) + 1e-3


def batch_size(count: int) -> int:
    """Subimages to a step, of so many."""
    return min(max(count // _STEPS_PER_EPOCH, _BATCHES[0]), _BATCHES[1])


def reconstruction(network: SteerableNetwork, found: Evidence, square: Tensor) -> Tensor:
    """Negative log-likelihood ``(n,)`` of content that is drawn once, all poses considered."""
    size, noise = network.likelihood.size, network.noise_variance.tolist()
    normaliser = sum(size / 2 * math.log(2 * math.pi * s2) for s2 in noise)
    return square.sum(1) / (2 * network.noise) - found.log + normaliser


def log_scale(network: SteerableNetwork) -> float:
    """Jacobian of the standardisation, nats."""
    return network.likelihood.size * sum(map(math.log, network.scale.tolist()))
