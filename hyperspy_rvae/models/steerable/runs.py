"""Whole trainings: what is learned from and what held out, with classes or without."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from hyperspy_rvae.models.checkpoint import Stateful
from hyperspy_rvae.models.course import Callback, Course, Plan, Record
from hyperspy_rvae.models.divergence import Cost, kl_unit
from hyperspy_rvae.models.labels import UNKNOWN
from hyperspy_rvae.models.steerable.classes import Classes, cluster
from hyperspy_rvae.models.steerable.nets import SteerableNetwork, beside
from hyperspy_rvae.models.steerable.training import Samples, Trainer, log_scale, reconstruction

if TYPE_CHECKING:
    from hyperspy_rvae.models.steerable.streaming import Stream, StreamedSamples

_LEAST_STEPS = (600, 3500)  # before a plateau counts
_STEPS_AT_UNIT_SNR, _SNR_POWER = 900, 0.8
_HELD_OUT_MOST = 1000  # subimages whose loss is taken
_CALIBRATED_MOST = 1000
_BEGUN_MOST = 2000
_AT_ONCE = 256


def train(
    network: SteerableNetwork,
    pixels: Tensor,
    condition: Tensor,
    plan: Plan,
    snr: float,
    generator: Generator,
    callback: Callback | None,
    labels: Tensor | None = None,
    stream: Stream | None = None,
) -> list[Record]:
    """Train a network in place.

    Parameters
    ----------
    pixels
        Standardised pixels of the support, shape ``(n, p)``.
    condition
        What the networks are given beside them, shape ``(n, c)``.
    snr
        Their ratio of signal to noise variance, from which follows the least number of steps.
    generator
        Source of all chance, on the CPU.
    callback
        Called with the number of the epoch and its record.
    labels
        Index of the class of each, shape ``(n,)``, ``UNKNOWN`` where it is not labelled. None:
        classes, if the network has any, are first guessed by a training without.
    stream
        All that there is to learn from, where it doesn't fit into memory; `pixels` are a sample of
        it then, for scales and validation. Not with classes.

    Returns
    -------
    history
        A record per epoch, losses in nats per subimage on the input's own scale.
    """
    order = torch.randperm(len(pixels), generator=generator).to(pixels.device)
    aside = plan.held_out(len(order))
    if labels is not None:
        order = order[labels_last(labels[order])]
    held_out, learned = order[:aside][:_HELD_OUT_MOST], order[aside:]
    first = learned if stream is None else learned[:_BEGUN_MOST]
    known = Samples(network, pixels[first], condition[first])
    samples = known if stream is None else stream.samples(network, held_out)
    least = min(max(_STEPS_AT_UNIT_SNR / snr**_SNR_POWER, _LEAST_STEPS[0]), _LEAST_STEPS[1])
    kept = pixels[held_out], condition[held_out]
    run = Run(network, known, samples, kept, least, generator)
    if not network.space.classes:
        history = run.train(plan, None, callback)
    elif labels is not None:
        history = run.train(plan, Classes(network, labels[learned], generator), callback)
    else:
        history = _train_joint(run, plan, callback)
    with torch.no_grad():
        some = learned[:_CALIBRATED_MOST]
        network.calibrate(pixels[some], condition[some])
    return history


def labels_last(labels: Tensor) -> Tensor:
    """Put labels ``(n,)`` in the order in which they can be spared.

    First those that are ``UNKNOWN``, and last the first one of each class, so that none is unheard
    of in training.
    """
    needed = (labels != UNKNOWN).long()
    for kind in labels[labels != UNKNOWN].unique():
        needed[(labels == kind).nonzero()[0]] += 1
    return needed.sort(stable=True).indices


class Run:
    """A network, what it learns from, and what is held out: pixels and conditions.

    Those `known` are in memory; `samples` are the same, or a stream of which they are some.
    """

    def __init__(
        self,
        network: SteerableNetwork,
        known: Samples,
        samples: Samples | StreamedSamples,
        held_out: tuple[Tensor, Tensor],
        least: float,
        generator: Generator,
    ) -> None:
        self.network, self.known, self.samples = network, known, samples
        self.held_out = held_out
        self.least, self.generator = least, generator

    def train(self, plan: Plan, classes: Classes | None, callback: Callback | None) -> list[Record]:
        """Train until the plan is done, with classes or with none."""
        network, known = self.network, self.known
        some = torch.arange(min(len(known), _BEGUN_MOST))
        network.begin(known.coefficients(some), known.square)
        trainer = Trainer(network, self.samples, plan, self.generator, classes)
        course = Course(plan, trainer.steps, math.ceil(self.least / trainer.steps))
        noise_seed = int(torch.randint(2**31, (1,), generator=self.generator))
        codes = network.codes() if classes is not None else 0 * network.codes()[:1]

        def epoch(number: int) -> Record:
            record = trainer.epoch(course, number)
            if len(self.held_out[0]):
                record["validation_loss"] = validate(
                    network, *self.held_out, plan.cost, noise_seed, codes
                )
            return record

        changing: dict[str, Stateful | Generator] = {
            "optimiser": trainer.optimiser,
            "generator": self.generator,
            "draws": trainer.draws,
        }
        return course.run(network, epoch, callback, changing)

    @torch.no_grad()
    def guess(self) -> Tensor:
        """Class of each sample, by clusters of the content that is read without classes."""
        network, samples = self.network, self.known
        none, parts = 0 * network.codes()[0], []
        for rows in torch.arange(len(samples)).to(samples.pixels.device).split(_AT_ONCE):
            a, context = samples.coefficients(rows), beside(none, samples.context[rows])
            parts.append(network.look(network.weigh(a), context).content)
        seed = int(torch.randint(2**31, (1,), generator=self.generator))
        found = cluster(torch.cat(parts).numpy(force=True), network.space.classes, seed)
        return torch.from_numpy(found).to(samples.pixels.device)


def _train_joint(run: Run, plan: Plan, callback: Callback | None) -> list[Record]:
    # Classes that start without a guess settle on any split of the data. So a training without
    # classes comes first, whose content tells them apart, and then one from anew with its clusters.
    first = None if plan.epochs is None else plan.epochs // 2
    kept = plan.checkpoint
    if kept is not None and first != 0:
        kept = kept.following()
    history = [] if first == 0 else run.train(replace(plan, epochs=first), None, callback)
    guess = run.guess()
    run.network.start(run.generator)

    def count_on(epoch: int, record: Record) -> None:
        if callback is not None:
            callback(len(history) + epoch, record)

    classes = Classes(run.network, torch.full_like(guess, UNKNOWN), run.generator, guess)
    left = None if plan.epochs is None else plan.epochs - len(history)
    second = replace(plan, epochs=left, checkpoint=kept)
    return history + run.train(second, classes, count_on)


def validate(
    network: SteerableNetwork,
    pixels: Tensor,
    condition: Tensor,
    cost: Cost,
    seed: int,
    codes: Tensor,
) -> float:
    """Loss per subimage, on the input's own scale, with frozen weights and fixed noise.

    Classes ``codes`` ``(m, classes)`` are summed over.
    """
    generator = Generator().manual_seed(seed)
    total = 0.0
    with torch.no_grad():
        for part, given in zip(pixels.split(_AT_ONCE), condition.split(_AT_ONCE), strict=True):
            losses = [_loss(network, part, beside(k, given), cost, generator) for k in codes]
            loss = losses[0]
            if len(codes) > 1:
                loss = math.log(len(codes)) - (-torch.stack(losses)).logsumexp(0)
            total += float(loss.sum())
    return total / len(pixels) + log_scale(network)


def _loss(
    network: SteerableNetwork, pixels: Tensor, context: Tensor, cost: Cost, generator: Generator
) -> Tensor:
    a = network.weigh(network.likelihood.coefficients(pixels))
    square = network.weigh_squares(network.likelihood.squares(pixels))
    mean, log_variance, _ = network.look(a, context)
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    b = network.draw(mean + (log_variance / 2).exp() * noise, context)
    found = network.likelihood.evidence(a, b, square, network.noise)
    return reconstruction(network, found, square) + cost.of(kl_unit(mean, log_variance))
