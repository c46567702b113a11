"""Conditions at the door: columns of the table by name, or arrays, which become columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.packing import pack
from hyperspy_rvae.signals import record

if TYPE_CHECKING:
    from hyperspy_rvae.models import RVAE
    from hyperspy_rvae.signals.latents import AtomLatents
    from hyperspy_rvae.signals.subimages import AtomSubimages

NAME, LABELS = "condition", "label"


def condition_of(subimages: AtomSubimages, condition: Any) -> Any:
    """Condition of each subimage, with the names of its columns.

    Parameters
    ----------
    subimages
        With a table, where columns are asked for.
    condition
        Name of a column of the table, or a list of names; or labels or values, row for row with
        the atom axis, or with the atoms' ids as pandas index. An array is called "condition", its
        columns "condition_1", .... A dask array stays as it is.

    Raises
    ------
    ValueError
        If there is no such column, or one of several is not of numbers.
    """
    if condition is None or isinstance(condition, da.Array):
        return condition
    if isinstance(condition, str):
        return _column(subimages, condition)
    if _are_columns(subimages, condition):
        return _columns(subimages, condition)
    if isinstance(condition, pd.Series | pd.DataFrame):
        condition = _in_order(subimages, condition)
        if _names_itself(subimages, condition):
            return condition
    values = np.asarray(condition)
    if values.ndim != 2:
        return pd.Series(condition if values.ndim else values[None], name=NAME)
    return pd.DataFrame(values, columns=[f"{NAME}_{k + 1}" for k in range(values.shape[1])])


def labels_of(subimages: AtomSubimages, labels: Any) -> Any:
    """Labels of some of the subimages: a column of the table by its name, or an array.

    What is no column of the table yet is called "label", if it has no name of its own.
    """
    if isinstance(labels, str):
        return _column(subimages, labels, "labels")
    if labels is None or isinstance(labels, da.Array):
        return labels
    if isinstance(labels, pd.Series):
        labels = _in_order(subimages, labels)
        return labels if _names_itself(subimages, labels) else labels.rename(LABELS)
    return pd.Series(labels, name=LABELS)


def count_labels(labels: Any) -> int:
    """How many different labels there are; refuse them if there are not at least two."""
    from hyperspy_rvae.models.labels import UNKNOWN, as_labels, listed

    found, missing = as_labels("labels", labels)
    if found.dtype.kind == "i":
        missing = missing | (found == UNKNOWN)
    different = np.unique(found[~missing]).tolist()
    if len(different) < 2:
        only = f"{listed(different)} only" if different else "none"
        raise ValueError(f"labels must be of at least two kinds, got {only}; leave them out.")
    return len(different)


def known_condition(subimages: AtomSubimages, model: RVAE, condition: Any) -> Any:
    """Condition for a fitted model; if not given, the columns that it was fitted with.

    Raises
    ------
    ValueError
        If the model needs what neither is given nor in the table.
    """
    if condition is not None or model.condition_ is None:
        return condition_of(subimages, condition)
    names = list(model.condition_.names)
    if not names or not record.has_table(subimages):
        raise ValueError(
            f"the model was fitted with a condition, {model.condition_}; give it: "
            "encode(model, condition=...)."
        )
    missing = [name for name in names if name not in record.stored_table(subimages, copy=False)]
    if missing:
        raise ValueError(
            f"the model was fitted with a condition, {model.condition_}, and the table has no "
            f"column {', '.join(map(repr, missing))}; add it to the table, or give "
            "encode(model, condition=...)."
        )
    return condition_of(subimages, names[0] if len(names) == 1 else names)


def check_told(condition: Any, learned: Any, labels: Any, y: Any, classes: int) -> None:
    """Refuse, before a training, conditions and labels of which the share to learn from lacks some.

    Parameters
    ----------
    condition, labels
        Of all subimages, or None.
    learned, y
        Condition and labels of those to learn from, or None.
    classes
        How many classes the labels are of.
    """
    if labels is not None:
        _check_labels(labels, y, classes)
    if condition is not None:
        _check_condition(condition, learned)


def _check_labels(labels: Any, y: Any, classes: int) -> None:
    from hyperspy_rvae.models.labels import learn_classes

    if not classes:
        raise ValueError("labels are given and discrete_classes is 0; leave out one of them.")
    try:
        learn_classes(y, classes, "labels")
    except ValueError as error:
        if len(y) == len(labels):
            raise
        raise ValueError(
            f"of those to learn from, {error}; raise max_subimages, or choose another seed."
        ) from error


def _check_condition(condition: Any, learned: Any) -> None:
    from hyperspy_rvae.models import conditions

    found = conditions.learn(learned)
    if not isinstance(condition, da.Array):
        try:
            found.codes(condition)
        except ValueError as error:
            raise ValueError(f"{error}; raise max_subimages, or choose another seed.") from error


def keep(latents: AtomLatents, condition: Any) -> None:
    """Put a condition, or labels, that were given as an array into the table of the latents."""
    if not isinstance(condition, pd.Series | pd.DataFrame) or not record.has_table(latents):
        return
    table, ids = record.stored_table(latents), record.atom_ids(latents)
    new = [name for name in condition_names(condition) if name not in table or _is_ours(name)]
    for name in new:
        values = condition if isinstance(condition, pd.Series) else condition[name]
        table[name] = pd.Series(values.to_numpy(), index=ids).reindex(table.index)
    if new:
        record.write(latents, "table", pack(table))


def condition_names(condition: pd.Series | pd.DataFrame) -> list[str]:
    """Names of the columns of a condition."""
    return [condition.name] if isinstance(condition, pd.Series) else list(condition.columns)


def _column(subimages: AtomSubimages, name: str, what: str = NAME) -> pd.Series:
    table = record.listed_atoms(subimages, copy=False)
    if name not in table:
        raise ValueError(
            f"{what} must be a column of the table or one entry an atom; there is no column "
            f"{name!r}, there are {', '.join(table)}."
        )
    return table[name]


def _columns(subimages: AtomSubimages, names: list[str]) -> pd.Series | pd.DataFrame:
    columns = [_column(subimages, name) for name in names]
    if len(columns) == 1:
        return columns[0]
    text = [column.name for column in columns if not pd.api.types.is_numeric_dtype(column)]
    if text:
        raise ValueError(
            f"several columns of a condition must be of numbers, and {text[0]!r} is not; number "
            "its labels, or join the columns to a single one of labels."
        )
    return pd.concat(columns, axis=1)


def _are_columns(subimages: AtomSubimages, names: Any) -> bool:
    # Or else labels, one for each atom.
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return False
    if not names or not record.has_table(subimages):
        return False
    others = len(names) != len(record.atom_ids(subimages))
    return others or set(names) <= set(record.stored_table(subimages, copy=False))


def _in_order(
    subimages: AtomSubimages, given: pd.Series | pd.DataFrame
) -> pd.Series | pd.DataFrame:
    # By the atoms' ids if the index has all of them, and else row for row.
    ids = record.atom_ids(subimages)
    rows = given.index.get_indexer(ids) if given.index.is_unique else np.array([-1])
    return given.iloc[rows] if (rows >= 0).all() else given


def _names_itself(subimages: AtomSubimages, given: pd.Series | pd.DataFrame) -> bool:
    # Whether what has these names is, or can become, columns of the table.
    columns = given.to_frame() if isinstance(given, pd.Series) else given
    if not all(isinstance(name, str) for name in columns):
        return False
    table = record.listed_atoms(subimages, copy=False) if record.has_table(subimages) else {}
    there = [name for name in columns if name in table]
    return all(np.array_equal(table[name], columns[name]) for name in there)


def _is_ours(name: str) -> bool:
    return name in (NAME, LABELS) or name.startswith(f"{NAME}_")
