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

_MOST = 2**53
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
    channels: int = 1
    classes: Sequence[Label] = ()


def write(known: Configuration) -> str:
    """Write a configuration as JSON."""
    found = {
        "model": _MODEL,
        "version": _VERSION,
        "parameters": {name: _plain(value) for name, value in known.parameters.items()},
        "window_shape": [*([known.channels] if known.channels > 1 else []), *known.window],
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
    if not isinstance(window, list) or not _is_window(window):
        raise ValueError(
            _unread(
                "its window_shape must be two sizes, after the number of channels where there are "
                f"several, got {window!r:.60}"
            )
        )
    if type(seed) is not int:
        raise ValueError(_unread(f"its seed must be an integer, got {seed!r:.60}"))
    if not isinstance(found["history"], list) or not all(map(_is_record, found["history"])):
        raise ValueError(_unread("its history must be a list of records of finite numbers"))
    parameters = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in parameters.items()
    }
    condition = conditions.restore(found["condition"]) if "condition" in found else None
    *several, height, width = window
    channels = several[0] if several else 1
    named = "classes" in found or parameters.get("discrete_classes")
    classes = _classes(found.get("classes"), parameters) if named else ()
    told = condition, channels, classes
    return Configuration(parameters, (height, width), seed, found["history"], *told)


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


def _is_window(values: list[Any]) -> bool:
    least = {2: (), 3: (2,)}.get(len(values))
    return least is not None and all(
        type(size) is int and size >= fewest
        for size, fewest in zip(values, (*least, SMALLEST_WINDOW, SMALLEST_WINDOW), strict=True)
    )


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _is_number(value: Any) -> bool:
    if type(value) is int:  # of an epoch or a model
        return abs(value) < _MOST
    return type(value) is float and math.isfinite(value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _unread(why: str) -> str:
    return f"can't read the model's configuration: {why}; save the model again, or refit"
