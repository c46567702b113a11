"""Everything of a fitted model but its weights, as JSON, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hyperspy_rvae.models import conditions
from hyperspy_rvae.models.checks import SMALLEST_WINDOW
from hyperspy_rvae.models.conditions import Condition
from hyperspy_rvae.models.labels import Label

_MODEL, _VERSION = "RVAE", 1
_KEYS = {"model", "version", "parameters", "window_shape", "seed", "history"}
_OPTIONAL = {"condition", "classes"}


class Configuration(NamedTuple):
    """A model's parameters, and what a fit adds to them."""

    parameters: dict[str, Any]
    window: tuple[int, int]
    seed: int
    history: list[dict[str, float]]
    condition: Condition | None = None
    classes: Sequence[Label] = ()


def write(known: Configuration) -> str:
    """Write a configuration as JSON."""
    found = {
        "model": _MODEL,
        "version": _VERSION,
        "parameters": {name: _plain(value) for name, value in known.parameters.items()},
        "window_shape": list(known.window),
        "seed": known.seed,
        "history": known.history,
    }
    if known.condition is not None:
        found["condition"] = known.condition.describe()
    if known.classes:
        found["classes"] = list(known.classes)
    return json.dumps(found, allow_nan=False)


def read(text: str) -> Configuration:
    """Read a configuration from JSON; what its parameters mean is for the estimator to check.

    Raises
    ------
    ValueError
        If it is anything that `write` would not write.
    """
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(_unread(f"it doesn't parse as JSON: {error}")) from error
    if not isinstance(found, dict) or set(found) - _OPTIONAL != _KEYS:
        raise ValueError(_unread(f"it must be an object with the keys {', '.join(sorted(_KEYS))}"))
    if found["model"] != _MODEL or found["version"] != _VERSION:
        raise ValueError(
            _unread(f"it is of {found['model']!r:.40} {found['version']!r:.40}, not of {_MODEL} 1")
        )
    parameters, window, seed = found["parameters"], found["window_shape"], found["seed"]
    if not isinstance(parameters, dict):
        raise ValueError(_unread("its parameters must be an object"))
    if not isinstance(window, list) or len(window) != 2 or not all(map(_is_side, window)):
        raise ValueError(_unread(f"its window_shape must be two sizes, got {window!r:.60}"))
    if type(seed) is not int:
        raise ValueError(_unread(f"its seed must be an integer, got {seed!r:.60}"))
    if not isinstance(found["history"], list) or not all(map(_is_record, found["history"])):
        raise ValueError(_unread("its history must be a list of records of finite numbers"))
    parameters = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in parameters.items()
    }
    condition = conditions.restore(found["condition"]) if "condition" in found else None
    named = "classes" in found or parameters.get("discrete_classes")
    classes = _classes(found.get("classes"), parameters) if named else ()
    sides = window[0], window[1]
    return Configuration(parameters, sides, seed, found["history"], condition, classes)


def _classes(found: Any, parameters: Mapping[str, Any]) -> Sequence[Label]:
    if not isinstance(found, list) or {type(label) for label in found} not in ({str}, {int}):
        raise ValueError(_unread("its classes must be texts or whole numbers"))
    if len(set(found)) != len(found) or len(found) != parameters.get("discrete_classes"):
        raise ValueError(_unread("its classes must be different ones, discrete_classes of them"))
    return found


def _plain(value: Any) -> Any:
    # NumPy's numbers are parameters as good as any.
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return value.item() if hasattr(value, "item") else value


def _is_side(value: Any) -> bool:
    return type(value) is int and value >= SMALLEST_WINDOW


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and all(
        type(number) is float and math.isfinite(number) for number in value.values()
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _unread(why: str) -> str:
    return f"can't read the model's configuration: {why}; save the model again, or refit"
