"""The training loop: steps from the data's noise, rare content drawn more often."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from hyperspy_rvae.models.checkpoint import Stateful
from hyperspy_rvae.models.course import Callback, Course, Plan, Record
from hyperspy_rvae.models.divergence import Cost, kl_unit, told_twice
from hyperspy_rvae.models.steerable.likelihood import Evidence
from hyperspy_rvae.models.steerable.nets import SteerableNetwork

_BATCHES = (8, 50)  # fewest and most subimages to a step
_STEPS_PER_EPOCH = 8  # which smaller batches are for
_LEAST_STEPS = (600, 3500)  # before a plateau counts
_STEPS_AT_UNIT_SNR, _SNR_POWER = 900, 0.8
_WARM_UP = 300  # steps, of the learning rate; the divergence's weight takes twice as many
_SHORT = 6  # a training with fewer times the warm-up steps warms up faster
_MOMENTS = (0.9, 0.98)
_GRADIENT_NORM = 0.5  # of the loss per pixel
_HARD_SHARE = 0.3  # of each batch, drawn by misfit
_HARDEST = 8.0  # robust standard deviations; more does not count
_EASY = 1.5
_CENTRING = (0.3, 0.1)  # while warming up, and later, when z knows of the shift
_CENTRING_ON_PRIOR = 0.4
_ONCE = 20.0  # weight of what content says that the context does
_NEARBY = 0.3  # of content's standard deviation
_STILL_EVERY = 4  # steps
_STILL = 1000.0 * _STILL_EVERY  # nats per squared pixel that content moves as z changes by one
_SLIGHT = 1e-3
_OWN_SHIFT = 0.7  # share of subimages that are read where their content was last found
_NEAR_SHIFTS = 9
_EVERYWHERE = 4  # after warming up, steps between looks at all shifts and not at nearby ones
_HELD_OUT_MOST = 1000  # subimages whose loss is taken
_CALIBRATED_MOST = 1000
_AT_ONCE = 256
_DRAWN = ("misfit", "seen", "shift", "weight", "order", "place")
_STORED_MOST = 2**27  # coefficients; of more subimages they are computed anew in each step


class Samples:
    """Subimages as coefficients, stored if they fit into memory, and the context of each."""

    def __init__(self, network: SteerableNetwork, pixels: Tensor, context: Tensor) -> None:
        self.likelihood = network.likelihood
        self.pixels, self.context = pixels, context
        self.square = pixels.square().sum(1)
        numbers = len(pixels) * self.likelihood.functions[..., 0].numel()
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
        return self.coefficients(rows, place[:, None])[:, 0]


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

    def places(self, rows: Tensor, shifts: int) -> tuple[Tensor, Tensor]:
        """Index of the shift at which each row is read, and whether it is its own."""
        near = min(_NEAR_SHIFTS, shifts)
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
        if not self.hard or self.seen.float().mean() <= 0.5:
            return
        off = self.misfit - self.misfit.median()
        score = off / (1.4826 * off.abs().median() + 1e-9)
        self.weight = (score - _EASY).clamp(0, _HARDEST) + 1e-3


class Trainer:
    """One training of a network, step by step."""

    def __init__(
        self,
        network: SteerableNetwork,
        samples: Samples,
        plan: Plan,
        generator: Generator,
    ) -> None:
        self.network, self.samples, self.plan, self.generator = network, samples, plan, generator
        batch = min(plan.batch_size or batch_size(len(samples)), len(samples))
        self.draws = Draws(len(samples), batch, generator)
        self.steps = math.ceil(len(samples) / batch)
        self.near = network.near.cpu()
        turns, moves = network.space.rotation, network.space.translation
        lever = [turns * min(network.window) / 4, 1.0 * moves, 1.0 * moves]
        self.lever = network.gain.new_tensor(lever)
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
        reconstruction, divergence, cost = (float(total) / self.steps for total in totals)
        reconstruction += _log_scale(self.network)
        return {
            "loss": reconstruction + cost,
            "reconstruction": reconstruction,
            "divergence": divergence,
            "noise_variance": float(self.network.noise_variance) * float(self.network.scale) ** 2,
        }

    def step(self) -> tuple[float, float, float]:
        """Take one step; reconstruction, divergence and its cost of the subimages in turn."""
        likelihood, device = self.network.likelihood, self.network.noise_variance.device
        rows = self.draws.next()
        place, own = self.draws.places(rows, len(likelihood.shifts))
        warm = self.taken >= 2 * self.warm_up
        everywhere = not warm or self.taken % _EVERYWHERE == 0
        cells = None if everywhere else self.near[self.draws.shift[rows]]
        rows, place, own = rows.to(device), place.to(device), own.to(device)
        cells = None if cells is None else cells.to(device)
        context = self.samples.context[rows]
        mean, log_variance = self.network.read(
            self.samples.at(rows, place), context, self._turns(len(rows))
        )
        noise = torch.randn(mean.shape, generator=self.generator).to(device)
        content = mean + (log_variance / 2).exp() * noise
        b = self.network.draw(content, context)
        a, square = self.samples.coefficients(rows, cells), self.samples.square[rows]
        s2 = float(self.network.noise_variance)
        with torch.no_grad():
            found = likelihood.evidence(a, b, square, s2, cells)
            motions = likelihood.motions(b)
            drift = (found.offset[:, None] @ motions[:, 1:])[:, 0]
            gradient = found.gradient + self.centring[warm] * own[:, None] * drift
            if likelihood.aligned:
                gradient += _CENTRING_ON_PRIOR * found.turn[:, None] * motions[:, 0]
        kl = kl_unit(mean, log_variance)
        self.optimiser.zero_grad(set_to_none=True)
        objective = self.plan.cost.of(kl, self._risen()) - (gradient * b).sum(1) / s2
        if self.taken % _STILL_EVERY == 1:
            objective = objective + self._moving(content, context, b, motions)
        loss = objective.mean()
        if self.network.context:
            even = slice(self.draws.even)
            loss = loss + _ONCE * told_twice(mean[even], log_variance[even], context[even])
        loss.backward()
        steepest = _GRADIENT_NORM * likelihood.size
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), steepest)
        self.optimiser.step()
        self.taken += 1
        return self._note(rows.cpu(), found, square, kl.detach())

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
        products = products + slight * torch.eye(3, device=products.device)
        motion = torch.linalg.solve(products, motions @ change[..., None])[..., 0]
        return _STILL * (motion / _NEARBY * self.lever).square().sum(1)

    def _note(
        self, rows: Tensor, found: Evidence, square: Tensor, kl: Tensor
    ) -> tuple[float, float, float]:
        self.draws.note(rows, found.error.cpu(), found.shift.cpu())
        even = slice(self.draws.even)
        reconstruction = _reconstruction(self.network, found, square)[even]
        self.network.learn_noise(found.error[even].mean() / self.network.likelihood.size)
        cost = self.plan.cost.of(kl[even])
        return float(reconstruction.mean()), float(kl[even].sum(1).mean()), float(cost.mean())


def train(
    network: SteerableNetwork,
    pixels: Tensor,
    context: Tensor,
    plan: Plan,
    snr: float,
    generator: Generator,
    callback: Callback | None,
) -> list[Record]:
    """Train a network in place.

    Parameters
    ----------
    pixels
        Standardised pixels of the support, shape ``(n, p)``.
    context
        What the networks are given beside them, shape ``(n, c)``.
    snr
        Their ratio of signal to noise variance, from which follows the least number of steps.
    generator
        Source of all chance, on the CPU.
    callback
        Called with the number of the epoch and its record.

    Returns
    -------
    history
        A record per epoch, losses in nats per subimage on the input's own scale.
    """
    order = torch.randperm(len(pixels), generator=generator).to(pixels.device)
    aside = min(round(plan.validation_fraction * len(order)), len(order) - 1)
    held_out, learned = order[:aside][:_HELD_OUT_MOST], order[aside:]
    samples = Samples(network, pixels[learned], context[learned])
    network.begin(samples.coefficients(torch.arange(min(len(samples), 2000))), samples.square)
    trainer = Trainer(network, samples, plan, generator)
    least = min(max(_STEPS_AT_UNIT_SNR / snr**_SNR_POWER, _LEAST_STEPS[0]), _LEAST_STEPS[1])
    course = Course(plan, trainer.steps, math.ceil(least / trainer.steps))
    noise_seed = int(torch.randint(2**31, (1,), generator=generator))

    def epoch(number: int) -> Record:
        record = trainer.epoch(course, number)
        if len(held_out):
            record["validation_loss"] = validate(
                network, pixels[held_out], context[held_out], plan.cost, noise_seed
            )
        return record

    changing: dict[str, Stateful | Generator] = {
        "optimiser": trainer.optimiser,
        "generator": generator,
        "draws": trainer.draws,
    }
    history = course.run(network, epoch, callback, changing)
    with torch.no_grad():
        some = learned[:_CALIBRATED_MOST]
        network.calibrate(pixels[some], context[some])
    return history


def validate(
    network: SteerableNetwork, pixels: Tensor, context: Tensor, cost: Cost, seed: int
) -> float:
    """Loss per subimage, on the input's own scale, with frozen weights and fixed noise."""
    generator = Generator().manual_seed(seed)
    s2, total = float(network.noise_variance), 0.0
    with torch.no_grad():
        for part, given in zip(pixels.split(_AT_ONCE), context.split(_AT_ONCE), strict=True):
            a, square = network.likelihood.coefficients(part), part.square().sum(1)
            mean, log_variance, _ = network.look(a, given)
            noise = torch.randn(mean.shape, generator=generator).to(mean.device)
            b = network.draw(mean + (log_variance / 2).exp() * noise, given)
            found = network.likelihood.evidence(a, b, square, s2)
            kl = kl_unit(mean, log_variance)
            total += float((_reconstruction(network, found, square) + cost.of(kl)).sum())
    return total / len(pixels) + _log_scale(network)


def batch_size(count: int) -> int:
    """Subimages to a step, of so many."""
    return min(max(count // _STEPS_PER_EPOCH, _BATCHES[0]), _BATCHES[1])


def _reconstruction(network: SteerableNetwork, found: Evidence, square: Tensor) -> Tensor:
    s2, size = float(network.noise_variance), network.likelihood.size
    return square / (2 * s2) - found.log + size / 2 * math.log(2 * math.pi * s2)


def _log_scale(network: SteerableNetwork) -> float:
    # Jacobian of the standardisation.
    return network.likelihood.size * math.log(float(network.scale))
