"""From vectors to groups, domains and classes, as columns of the table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd

from hyperspy_rvae.analysis.grouping import (
    Algorithm,
    Features,
    connected_parts,
    describe_groups,
    find_groups,
)
from hyperspy_rvae.analysis.patches import patches
from hyperspy_rvae.lattice.mesh import BESIDE, square_offsets
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import alike
from hyperspy_rvae.signals.checks import check_choice
from hyperspy_rvae.signals.denoising import check_radius
from hyperspy_rvae.signals.neighbourhood import neighbours_of, repeats
from hyperspy_rvae.signals.vectors import has_vector

if TYPE_CHECKING:
    from hyperspy_rvae.signals.displacements import AtomDisplacements

_logger = logging.getLogger(__name__)


def cluster(
    signal: AtomDisplacements,
    n: int | None,
    algorithm: Algorithm | Any,
    features: Features,
    seed: int | None,
) -> AtomDisplacements:
    """Cluster; the parameters are those of ``AtomDisplacements.cluster``."""
    check_choice(features, get_args(Features), "features")
    rows = signal.vector_rows()
    _check_algorithm(algorithm)
    _check_number(n, algorithm, len(rows))
    labels = find_groups(rows[["u", "v"]].to_numpy(), n, algorithm, features, seed)
    _logger.info("%d groups, %d atoms in none", labels.max() + 1, np.sum(labels == -1))
    return alike(signal, columns={"cluster": _on_axis(signal, labels)})


def classify(
    signal: AtomDisplacements,
    labels: Any,
    estimator: Any,
    radius: int,
    seed: int | None,
) -> AtomDisplacements:
    """Classify; the parameters are those of ``AtomDisplacements.classify``."""
    from hyperspy_rvae.analysis.classification import classify_samples

    check_radius(radius, least=0)
    if estimator is not None and not all(hasattr(estimator, name) for name in ("fit", "predict")):
        raise TypeError(f"estimator must be a scikit-learn classifier, got {estimator!r}.")
    rows = signal.vector_rows()
    names, given = _labels(signal, rows, labels)
    offsets = square_offsets(radius)
    samples = patches(rows[["u", "v"]].to_numpy(), neighbours_of(rows, offsets), offsets)
    classes, probabilities, scores = classify_samples(
        samples.reshape(len(samples), -1), given, estimator, seed
    )
    columns = {"class": _on_axis(signal, classes.astype(np.int64))}
    for place, name in enumerate(names):
        columns[f"probability_{name}"] = _on_axis(signal, probabilities[:, place])
    out = alike(signal, columns=columns)
    described = record.read_node(signal, "displacement")
    told = {"names": [str(name) for name in names], "scores": np.asarray(scores)}
    record.write(out, "displacement", described | {"classes": told})
    _logger.info("balanced accuracy %.3f over %d folds", scores.mean(), len(scores))
    return out


def find_domains(signal: AtomDisplacements, column: str) -> AtomDisplacements:
    """Join and mark; as ``AtomDisplacements.find_domains``."""
    table = signal.atoms
    labels = group_labels(signal, column).to_numpy()
    neighbours = neighbours_of(table, BESIDE)
    domains, walls = connected_parts(labels, neighbours)
    return alike(signal, columns={"domain": domains, "wall": walls})


def describe(signal: AtomDisplacements, column: str) -> pd.DataFrame:
    """Statistics of each group; as ``AtomDisplacements.describe_groups``."""
    rows = signal.vector_rows()
    labels = group_labels(signal, column).loc[rows.index]
    width, height, units = record.pixel(signal)
    cells = rows[rows["sublattice"] == rows["sublattice"].iloc[0]]
    area = abs(np.linalg.det(repeats(cells, str(cells["sublattice"].iloc[0])))) * width * height
    table = describe_groups(rows[["u", "v"]].to_numpy(), labels.to_numpy(), float(area))
    table.index.name = column
    table.attrs["units"] = {"area": f"{units}²" if units else "px²", "u": signal.units}
    return table


def group_labels(signal: AtomDisplacements, column: str) -> pd.Series:
    """Give the column of the table that says to which group an atom belongs.

    Raises
    ------
    ValueError
        If it is not there or doesn't hold whole numbers.
    """
    table = signal.atoms
    if column not in table or not pd.api.types.is_integer_dtype(table[column]):
        groups = [name for name in ("cluster", "class", "domain") if name in table]
        raise ValueError(
            f"there is no column {column!r} of group numbers; there is "
            f"{', '.join(groups) or 'none yet'}: cluster(), classify() and find_domains() make one."
        )
    return table[column]


def _on_axis(signal: AtomDisplacements, values: np.ndarray) -> np.ndarray:
    """Values of the atoms that have a vector for all on the axis; -1 or NaN for the others."""
    there = has_vector(signal)
    out = np.full(len(there), -1 if values.dtype.kind == "i" else np.nan, dtype=values.dtype)
    out[there] = values
    return out


def _labels(
    signal: AtomDisplacements, rows: pd.DataFrame, labels: Any
) -> tuple[list[Any], np.ndarray]:
    """Names of the classes, and their numbers for the rows, -1 for none."""
    if isinstance(labels, Mapping):
        from hyperspy_rvae.signals.regions import inside

        given = np.full(len(rows), -1, dtype=np.int64)
        for number, (name, region) in enumerate(labels.items()):
            regions = region if isinstance(region, (list, tuple)) else [region]
            here = np.any(
                [inside(record.stored_axes(signal), rows, roi) for roi in regions], axis=0
            )
            if not here.any():
                raise ValueError(f"the region of {name!r} holds no atom that has a vector.")
            if (given[here] != -1).any():
                raise ValueError(f"the region of {name!r} overlaps that of another class.")
            given[here] = number
        return list(labels), given
    values = np.asarray(labels)
    ids = record.atom_ids(signal)
    if values.shape != ids.shape:
        raise ValueError(
            f"labels must be one per atom of the axis, {len(ids)}, or regions by name, got shape "
            f"{values.shape}."
        )
    values = values[has_vector(signal)]
    if values.dtype.kind == "O":
        values = np.where(pd.isna(values), "", values).astype(str)
    known = (values != "") if values.dtype.kind == "U" else (values != -1) & (values == values)
    if not known.any():
        raise ValueError(
            "the labels name no atom that has a vector; -1 (or '' for text) stands for no label."
        )
    names, numbers = np.unique(values[known], return_inverse=True)
    given = np.full(len(rows), -1, dtype=np.int64)
    given[known] = numbers
    return names.tolist(), given


def _check_algorithm(algorithm: Any) -> None:
    if isinstance(algorithm, str):
        check_choice(algorithm, get_args(Algorithm), "algorithm")
    elif not hasattr(algorithm, "fit_predict"):
        raise TypeError(
            f"algorithm must be one of {get_args(Algorithm)} or a scikit-learn clustering with "
            f"fit_predict, got {algorithm!r}."
        )


def _check_number(n: Any, algorithm: Any, most: int) -> None:
    if n is None:
        if most < 5:
            raise ValueError(f"{most} vectors are too few to estimate a number of groups; give n.")
        return
    if not isinstance(algorithm, str) or algorithm in ("dbscan", "hdbscan"):
        raise ValueError(
            f"{algorithm!r} finds the number of groups itself, got n={n!r}; leave n out."
        )
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= most:
        raise ValueError(f"n must be a whole number of groups from 1 to {most}, got {n!r}.")
