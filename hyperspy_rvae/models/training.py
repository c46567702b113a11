"""The training of the spatial decoder: mini-batches from memory."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor

from hyperspy_rvae.models.course import Callback, Course, Plan, Record, noise_record
from hyperspy_rvae.models.divergence import Cost
from hyperspy_rvae.models.nets import Network
from hyperspy_rvae.models.objective import Bound, bound
from hyperspy_rvae.models.threads import share

_BATCH = 25
_PARTS = 2
_WARM_UP_STEPS = 20
_NOISE_MEMORY = 0.95  # of the running noise variance, per step
_LEAST_NOISE = 1e-4  # of the data's variance
_GRADIENT_NORM = 1.0  # of the loss per pixel
_BATCH_WITHOUT_GRADIENT = 64
_CALIBRATED_MOST = 1000


def train(
    network: Network,
    pixels: np.ndarray,
    context: Tensor,
    plan: Plan,
    generator: Generator,
    callback: Callback | None,
) -> list[Record]:
    """Train a network in place.

    Parameters
    ----------
    pixels
        Standardised, shape ``(n, p)``, float32.
    context
        What the networks are given beside them, shape ``(n, c)``.
    generator
        Source of all chance, on the CPU.
    callback
        Called with the number of the epoch and its record.

    Returns
    -------
    history
        A record per epoch, losses in nats per subimage on the input's own scale.
    """
    everything = torch.from_numpy(pixels).to(network.noise_variance.device)
    order = torch.randperm(len(pixels), generator=generator).to(everything.device)
    aside = plan.held_out(len(order))
    held_out, learned = order[:aside], order[aside:]
    images, given = everything[learned], context[learned]
    steps = math.ceil(len(images) / _batch_size(plan))
    course = Course(plan, steps)
    optimiser = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    noise_seed = int(torch.randint(2**31, (1,), generator=generator))

    def epoch(number: int) -> Record:
        record = _epoch(network, images, given, plan, course, number, optimiser, generator)
        if len(held_out):
            record["validation_loss"] = validate(
                network, everything[held_out], context[held_out], plan.cost, noise_seed
            )
        return record

    history = course.run(network, epoch, callback, {"optimiser": optimiser, "generator": generator})
    network.calibrate(images[:_CALIBRATED_MOST], given[:_CALIBRATED_MOST])
    return history


def validate(network: Network, images: Tensor, context: Tensor, cost: Cost, seed: int) -> float:
    """Loss per subimage, on the input's own scale, with frozen weights and fixed noise."""
    generator = Generator().manual_seed(seed)
    total = 0.0
    with torch.no_grad():
        size = _BATCH_WITHOUT_GRADIENT
        for batch, given in zip(images.split(size), context.split(size), strict=True):
            total += float(bound(network, batch, given, generator).loss(cost).sum())
    return total / len(images) + _log_scale(network)


def _batch_size(plan: Plan) -> int:
    return plan.batch_size or _BATCH


def _epoch(
    network: Network,
    images: Tensor,
    context: Tensor,
    plan: Plan,
    course: Course,
    epoch: int,
    optimiser: torch.optim.Optimizer,
    generator: Generator,
) -> Record:
    order = torch.randperm(len(images), generator=generator).to(images.device)
    batches = order.split(_batch_size(plan))
    totals = np.zeros(3)
    rising = (plan.cost.kl_warmup or 0) * len(batches)
    for step, batch in enumerate(batches):
        taken = epoch * len(batches) + step + 1
        warm = min(1.0, taken / _WARM_UP_STEPS)
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * warm * course.rate(epoch + step / len(batches))
        done = (taken - 1) / rising if rising else 1.0
        given = context[batch]
        terms = _step(network, images[batch], given, plan.cost, done, optimiser, generator)
        totals += np.multiply(terms, len(batch))
    loss, reconstruction, divergence = (float(total) / len(images) for total in totals)
    return {
        "loss": loss + _log_scale(network),
        "reconstruction": reconstruction + _log_scale(network),
        "divergence": divergence,
        **noise_record(network.noise_variance, network.scale),
    }


def _step(
    network: Network,
    batch: Tensor,
    context: Tensor,
    cost: Cost,
    done: float,
    optimiser: torch.optim.Optimizer,
    generator: Generator,
) -> tuple[float, float, float]:
    parts = batch.chunk(_PARTS)  # one to a thread, and the same ones for any number of threads
    given = context.chunk(_PARTS)
    seeds = torch.randint(2**31, (len(parts),), generator=generator).tolist()
    parameters = list(network.parameters())
    found: dict[int, tuple[Bound, tuple[Tensor, ...]]] = {}

    def part(k: int) -> None:
        terms = bound(network, parts[k], given[k], Generator().manual_seed(seeds[k]))
        loss = terms.loss(cost, done).sum() / batch.numel()
        gradients = torch.autograd.grad(loss, parameters)
        found[k] = Bound(*(values.detach() for values in terms)), gradients

    share(part, list(range(len(parts))))
    every = [found[k] for k in range(len(parts))]
    for parameter, *gradients in zip(parameters, *(own for _, own in every), strict=True):
        parameter.grad = torch.stack(gradients).sum(0)
    torch.nn.utils.clip_grad_norm_(parameters, _GRADIENT_NORM)
    optimiser.step()
    terms = Bound(*map(torch.cat, zip(*(own for own, _ in every), strict=True)))
    _learn_noise(network.noise_variance, terms.squared_error.mean(0) / math.prod(network.window))
    loss = float(terms.loss(cost).mean())
    return loss, float(terms.reconstruction.mean()), float(terms.divergence.mean())


def _learn_noise(noise_variance: Tensor, mean_square: Tensor) -> None:
    # The running maximum-likelihood estimate: it starts at the data's variance, so that the
    # likelihood gains weight as fast as the decoder earns it.
    noise_variance.lerp_(mean_square, 1 - _NOISE_MEMORY).clamp_(min=_LEAST_NOISE)


def _log_scale(network: Network) -> float:
    # Jacobian of the standardisation.
    return math.prod(network.window) * sum(map(math.log, network.scale.tolist()))
