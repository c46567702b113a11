"""Labels as they come, from lists, arrays and tables, and where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

Label = str | int
UNKNOWN = -1


def as_labels(name: str, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels ``(n,)``, all text or all whole numbers, and where they are missing.

    Missing is what is None or NaN, or an empty text. Whole numbers may come as floats, as they do
    from a table where some are missing.

    Raises
    ------
    TypeError
        If they are neither text nor whole numbers, or both.
    """
    mixed = isinstance(values, list | tuple)  # of which NumPy would make text
    given = np.asarray(values, dtype=object if mixed else None)
    if given.ndim != 1:
        raise ValueError(f"{name} must be of shape (n,), a label a subimage, got {given.shape}")
    missing = pd.isna(given)
    known = given[~missing]
    if given.dtype.kind in "biu":
        return given.astype(np.int64), missing
    if all(isinstance(value, str) for value in known.tolist()):
        text = np.where(missing, "", given).astype(str)
        return text, text == ""
    if all(_is_whole(value) for value in known.tolist()):
        return np.where(missing, 0, given).astype(np.int64), missing
    odd = next(v for v in known.tolist() if not _is_whole(v))
    raise TypeError(
        f"{name} must hold labels, all text or all whole numbers, got also {str(odd)!r:.60}"
    )


def learn_classes(y: Any, count: int, name: str = "y") -> tuple[np.ndarray, np.ndarray | None]:
    """Names of the classes ``(count,)``, and the index ``(n,)`` of each subimage's label in them.

    Parameters
    ----------
    y
        Labels ``(n,)`` of some of the subimages; -1 among whole numbers is none, too. The index of
        none is ``UNKNOWN``. None, or no classes: there are no labels, and names are numbers.
    count
        How many classes there are.
    name
        What `y` is called in errors.

    Raises
    ------
    ValueError
        If there are not as many different labels as classes.
    """
    if y is None or not count:
        return np.arange(count), None
    found, missing = as_labels(name, y)
    if found.dtype.kind == "i":
        missing = missing | (found == UNKNOWN)
    if missing.all():
        raise ValueError(f"{name} must label some of the subimages, got no label; leave it out")
    labels, index = np.unique(found[~missing], return_inverse=True)
    if len(labels) != count:
        raise ValueError(
            f"{name} has {len(labels)} labels, {listed(labels.tolist())}, and discrete_classes is "
            f"{count}; they must be as many, and at least two"
        )
    every = np.full(len(found), UNKNOWN)
    every[~missing] = index
    return labels, every


def positions(name: str, values: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Index of each of the values ``(n,)`` in the labels.

    Raises
    ------
    ValueError
        If one is not among them.
    """
    place = {label: k for k, label in enumerate(labels)}
    found = np.array([place.get(value, -1) for value in values.tolist()], dtype=np.int64)
    if (found < 0).any():
        unknown = sorted(set(values[found < 0].tolist()), key=str)
        raise ValueError(
            f"{name} has labels that the model was not fitted to: {listed(unknown)}; it knows "
            f"{listed(labels)}"
        )
    return found


def listed(labels: Sequence[Label]) -> str:
    """First few of the labels, as text."""
    return ", ".join(map(repr, labels[:5])) + (", ..." if len(labels) > 5 else "")


def _is_whole(value: Any) -> bool:
    return isinstance(value, Real | np.bool_) and float(value).is_integer()
