"""What is known of a subimage beforehand, as numbers that networks read: the condition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import dask.array as da
import numpy as np
import pandas as pd

from hyperspy_rvae.models.checks import check_rows
from hyperspy_rvae.models.labels import Label, as_labels, listed, positions

_FARTHEST = 20.0  # standard deviations; a value counts for no more


@dataclass(frozen=True)
class Labels:
    """A condition of labels: the code of each is a unit vector.

    ``usual`` is the commonest label, and ``names`` what the column that they came from was called,
    if it was.
    """

    labels: tuple[Label, ...]
    usual: Label
    names: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers a code has."""
        return len(self.labels)

    def codes(self, condition: Any) -> np.ndarray:
        """Codes ``(n, width)`` of labels ``(n,)``."""
        found, missing = as_labels("condition", condition)
        if missing.any():
            raise ValueError(_missing(int(missing.sum())))
        return np.eye(self.width, dtype=np.float32)[positions("condition", found, self.labels)]

    def __str__(self) -> str:
        return f"the labels {listed(self.labels)}" + _of(self.names)

    def describe(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {"labels": list(self.labels), "usual": self.usual, "names": list(self.names)}


@dataclass(frozen=True)
class Values:
    """A condition of continuous values: the code is their distance from the mean.

    ``location`` and ``scale`` are mean and standard deviation of each column, in its unit, and
    ``names`` what the columns were called, if they were.
    """

    location: tuple[float, ...]
    scale: tuple[float, ...]
    names: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers a code has."""
        return len(self.location)

    @property
    def usual(self) -> tuple[float, ...]:
        """Mean of the values."""
        return self.location

    def codes(self, condition: Any) -> np.ndarray:
        """Codes ``(n, width)`` of values ``(n,)`` or ``(n, width)``."""
        values = _columns(condition)
        if values.shape[1] != self.width:
            raise ValueError(
                f"condition must hold {self.width} values a subimage, as in fit, got "
                f"{values.shape[1]}"
            )
        standard = (values - self.location) / self.scale
        return standard.clip(-_FARTHEST, _FARTHEST).astype(np.float32)

    def __str__(self) -> str:
        return f"{self.width} continuous values a subimage" + _of(self.names)

    def describe(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "location": list(self.location),
            "scale": list(self.scale),
            "names": list(self.names),
        }


Condition = Labels | Values


def learn(condition: Any) -> Condition:
    """Condition of a model, from those of the subimages that it learns from.

    Parameters
    ----------
    condition
        Labels ``(n,)``, text or whole numbers; or continuous values, floats ``(n,)`` or numbers
        ``(n, k)``. A pandas object gives its names, too.
    """
    names = _names(condition)
    given = np.asarray(condition)
    if given.ndim == 2 or given.dtype.kind == "f":
        return _learn_values(_columns(given), names)
    found, missing = as_labels("condition", condition)
    if missing.any():
        raise ValueError(_missing(int(missing.sum())))
    labels, counts = np.unique(found, return_counts=True)
    if len(labels) < 2:
        raise ValueError(
            f"condition must hold at least two labels, got {listed(labels.tolist())} only; leave "
            "it out"
        )
    if len(labels) > len(found) // 2:
        raise ValueError(
            f"condition has {len(labels)} labels for {len(found)} subimages; give continuous "
            "values as floats"
        )
    return Labels(tuple(labels.tolist()), labels[counts.argmax()].item(), names)


def codes(model: Condition | None, condition: Any, count: int) -> np.ndarray:
    """Codes ``(count, width)`` of what is given to a model with a condition, or with none."""
    if model is None:
        if condition is not None:
            raise ValueError(
                "condition is given and the model was fitted without one; leave it out, or fit a "
                "model with it"
            )
        return np.zeros((count, 0), np.float32)
    if condition is None:
        raise ValueError(f"condition is missing: the model was fitted with {model}; give it")
    return model.codes(check_rows("condition", condition, count))


def checked(model: Condition | None, condition: Any, count: int) -> Any:
    """Condition of so many subimages that are not in memory, checked as far as it is itself."""
    if condition is None or not isinstance(condition, da.Array):
        codes(model, condition, count)
    return None if condition is None else check_rows("condition", condition, count)


def restore(found: Any) -> Condition:
    """Read a condition from what `describe` gave, out of a file that may hold anything."""
    if not isinstance(found, Mapping) or not _all(found.get("names"), str):
        _refuse("it must be an object with names")
    if set(found) == {"labels", "usual", "names"}:
        labels = found["labels"]
        if not (_all(labels, str) or _all(labels, int)) or len(set(labels)) != len(labels):
            _refuse("its labels must be different texts or different whole numbers")
        if found["usual"] not in labels:
            _refuse("its usual label must be one of its labels")
        return Labels(tuple(labels), found["usual"], tuple(found["names"]))
    if set(found) != {"location", "scale", "names"}:
        _refuse("it must have labels, or location and scale")
    location, scale = found["location"], found["scale"]
    if not _all(location, float) or not _all(scale, float) or len(location) != len(scale):
        _refuse("its location and scale must be as many numbers")
    if not all(map(math.isfinite, [*location, *scale])) or min(scale, default=0) <= 0:
        _refuse("its location and scale must be finite, the scale positive")
    return Values(tuple(location), tuple(scale), tuple(found["names"]))


def _learn_values(values: np.ndarray, names: tuple[str, ...]) -> Values:
    with np.errstate(over="ignore"):
        location, scale = values.mean(0), values.std(0)
    if not np.isfinite(scale).all():
        raise ValueError(
            f"condition is too large, up to {np.abs(values).max():g}; give it in another unit"
        )
    same = np.flatnonzero(~(scale > 1e-9 * np.abs(location)))
    if len(same):
        raise ValueError(
            f"condition must vary, got {values[0, same[0]]:g} for every subimage"
            + (f" in column {same[0]}" if values.shape[1] > 1 else "")
            + "; leave it out"
        )
    return Values(tuple(location.tolist()), tuple(scale.tolist()), names)


def _columns(condition: Any) -> np.ndarray:
    # Finite numbers (n, k), float64.
    values = np.asarray(condition)
    if values.dtype == object and not any(isinstance(v, str) for v in values.flat):
        values = values.astype(np.float64)
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2) or values.shape[1:] == (0,):
        raise ValueError(
            "condition must be numbers of shape (n,) or (n, k), or labels of shape (n,), got "
            f"{values.dtype} of shape {values.shape}"
        )
    values = values.astype(np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if not np.isfinite(values).all():
        raise ValueError(_missing(int((~np.isfinite(values)).any(1).sum())))
    return values


def _names(condition: Any) -> tuple[str, ...]:
    if isinstance(condition, pd.DataFrame):
        return tuple(map(str, condition.columns))
    name = getattr(condition, "name", None)
    return (name,) if isinstance(condition, pd.Series) and isinstance(name, str) else ()


def _of(names: tuple[str, ...]) -> str:
    return f" of {', '.join(map(repr, names))}" if names else ""


def _missing(count: int) -> str:
    return (
        f"condition is missing, NaN or infinite for {count} subimages; leave them out, or give a "
        "label to those too"
    )


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def _refuse(why: str) -> NoReturn:
    raise ValueError(f"the model's condition can't be read: {why}; save the model again, or refit")
