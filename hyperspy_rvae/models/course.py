"""How long a training lasts: a plateau rule, a falling learning rate, best weights kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Generator, Tensor, nn

from hyperspy_rvae.models.checkpoint import Checkpoint, Stateful
from hyperspy_rvae.models.divergence import Cost

Record = dict[str, float]
Callback = Callable[[int, Record], object]

_LONGEST_STEPS, _LONGEST_EPOCHS = 12_000, 6  # whichever is longer ends a training without `epochs`
_PATIENT_STEPS, _PATIENT_EPOCHS = 300, 3  # likewise for a plateau
_GAIN = 0.25  # nats per subimage; what counts as an improvement
_CHANGING = ("decay", "last", "best", "best_epoch", "mark", "history", "kept")


@dataclass(frozen=True)
class Plan:
    """How to train; None: as the data asks."""

    epochs: int | None
    batch_size: int | None
    learning_rate: float
    cost: Cost
    validation_fraction: float
    patience: int | None
    checkpoint: Checkpoint | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, Any], checkpoint: Checkpoint | None = None) -> Plan:
        """Take the plan out of an estimator's parameters, and plain numbers of any kind."""
        whole = ("epochs", "batch_size", "patience", "kl_warmup")
        given = {k: None if parameters[k] is None else int(parameters[k]) for k in whole}
        capacity = parameters["capacity"]
        cost = Cost(
            float(parameters["beta"]),
            given.pop("kl_warmup"),
            None if capacity is None else float(capacity),
            float(parameters["free_bits"]),
        )
        return cls(
            **given,
            cost=cost,
            learning_rate=float(parameters["learning_rate"]),
            validation_fraction=float(parameters["validation_fraction"]),
            checkpoint=checkpoint,
        )

    def held_out(self, count: int) -> int:
        """How many of so many subimages are held out; at least one is learned from."""
        return min(round(self.validation_fraction * count), count - 1)


def noise_record(noise_variance: Tensor, scale: Tensor) -> Record:
    """Noise variance of each channel, on the input's scale; numbered where there are several."""
    each = zip(noise_variance.tolist(), scale.tolist(), strict=True)
    values = [s2 * unit**2 for s2, unit in each]
    if len(values) == 1:
        return {"noise_variance": values[0]}
    return {f"noise_variance_{k}": value for k, value in enumerate(values, 1)}


class Course:
    """How far a training has come, and when it winds down.

    The learning rate is held until the loss has not improved for `patience` epochs, or for two
    thirds of the epochs, and then falls to zero over half as many again. No plateau counts
    before `least` epochs.
    """

    def __init__(self, plan: Plan, steps: int, least: int = 0) -> None:
        longest = max(_LONGEST_EPOCHS, math.ceil(_LONGEST_STEPS / steps))
        patience = max(_PATIENT_EPOCHS, math.ceil(_PATIENT_STEPS / steps))
        self.plan, self.least = plan, 0 if plan.patience else least
        self.watches = plan.epochs is None or plan.patience is not None
        self.patience = plan.patience or patience
        self.last = plan.epochs or longest
        self.decay = math.ceil(self.last * 2 / 3)
        self.best, self.best_epoch, self.mark = math.inf, 0, math.inf
        self.history: list[Record] = []
        self.kept: dict[str, Tensor] = {}

    def rate(self, epochs: float) -> float:
        """Share of the learning rate after so many, also fractional, epochs."""
        if epochs < self.decay:
            return 1.0
        return (self.last - epochs) / (self.last - self.decay)

    def note(self, epoch: int, loss: float) -> bool:
        """Take note of an epoch's loss, and say whether it is the best one so far."""
        better = loss < self.best
        self.best = min(loss, self.best)
        if loss < self.mark - _GAIN:
            self.mark, self.best_epoch = loss, epoch
        done = epoch + 1
        waited = epoch - self.best_epoch >= self.patience
        if self.watches and waited and self.least <= done < self.decay:
            self.decay, self.last = done, min(self.last, math.ceil(1.5 * done))
        return better

    def state_dict(self) -> dict[str, Any]:
        """Give all that changes from epoch to epoch."""
        return {name: getattr(self, name) for name in _CHANGING}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave."""
        for name in _CHANGING:
            if type(state_dict[name]) is not type(getattr(self, name)):
                raise TypeError(f"{name} is a {type(state_dict[name]).__name__}")
            setattr(self, name, state_dict[name])

    def run(
        self,
        network: nn.Module,
        epoch: Callable[[int], Record],
        callback: Callback | None,
        changing: Mapping[str, Stateful | Generator],
    ) -> list[Record]:
        """Train by calling ``epoch(number)``; a record per epoch.

        Parameters
        ----------
        network
            What is trained.
        epoch
            Trains it a little.
        callback
            Called with the number of the epoch and its record.
        changing
            Whatever else `epoch` changes, by name: with the network and the course itself, all
            that a checkpoint has to hold.
        """
        checkpoint = self.plan.checkpoint
        parts = {"network": network, "course": self, **changing}
        if checkpoint is not None:
            checkpoint.resume(parts)
        while len(self.history) < self.last:
            self._go_on(network, epoch, callback)
            if checkpoint is not None:
                checkpoint.keep(parts, now=len(self.history) == self.last)
        if self.kept:
            network.load_state_dict(self.kept)
        return self.history

    def _go_on(
        self, network: nn.Module, epoch: Callable[[int], Record], callback: Callback | None
    ) -> None:
        number = len(self.history)
        record = epoch(number)
        loss = record.get("validation_loss", record["loss"])
        if not math.isfinite(loss):
            raise ValueError(
                f"training diverged in epoch {number + 1} with "
                f"learning_rate={self.plan.learning_rate}; choose a smaller one"
            )
        self.history.append(record)
        if self.note(number, loss) and self.watches:
            self.kept = {name: value.clone() for name, value in network.state_dict().items()}
        if callback is not None:
            callback(number, dict(record))
