"""How long a training lasts: a plateau rule, a falling learning rate, best weights kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

Record = dict[str, float]
Callback = Callable[[int, Record], object]

_LONGEST_STEPS, _LONGEST_EPOCHS = 12_000, 6  # whichever is longer ends a training without `epochs`
_PATIENT_STEPS, _PATIENT_EPOCHS = 300, 3  # likewise for a plateau
_GAIN = 0.25  # nats per subimage; what counts as an improvement


@dataclass(frozen=True)
class Plan:
    """How to train; None: as the data asks."""

    epochs: int | None
    batch_size: int | None
    learning_rate: float
    beta: float
    validation_fraction: float
    patience: int | None


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

    def run(
        self, network: nn.Module, epoch: Callable[[int], Record], callback: Callback | None
    ) -> list[Record]:
        """Train by calling ``epoch(number)``; a record per epoch."""
        history: list[Record] = []
        kept: dict[str, Tensor] = {}
        while len(history) < self.last:
            number = len(history)
            record = epoch(number)
            loss = record.get("validation_loss", record["loss"])
            if not math.isfinite(loss):
                raise ValueError(
                    f"training diverged in epoch {number + 1} with "
                    f"learning_rate={self.plan.learning_rate}; choose a smaller one"
                )
            history.append(record)
            if self.note(number, loss) and self.watches:
                kept = {name: value.clone() for name, value in network.state_dict().items()}
            if callback is not None:
                callback(number, dict(record))
        if kept:
            network.load_state_dict(kept)
        return history
