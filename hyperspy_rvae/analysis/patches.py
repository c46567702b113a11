"""Each atom with its neighbours as one sample, and back."""

from __future__ import annotations

import numpy as np


def patches(values: np.ndarray, neighbours: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Gather the values of each atom and its neighbours.

    Where a neighbour is missing, as at the rim, the value of the one that stands nearest to its
    place in the patch is taken.

    Parameters
    ----------
    values
        Shape ``(n, c)``, finite.
    neighbours
        Row of the neighbour at each lattice step, shape ``(n, m)``, -1 for none; the atom itself
        first.
    offsets
        The steps, shape ``(m, 2)``.

    Returns
    -------
    samples
        Shape ``(n, m, c)``.
    """
    distance = ((offsets[:, None] - offsets[None]) ** 2).sum(-1)
    nearest = np.argsort(distance, axis=1, kind="stable")
    rows = np.empty_like(neighbours)
    for place, order in enumerate(nearest):
        candidates = neighbours[:, order]
        first = np.argmax(candidates >= 0, axis=1)
        rows[:, place] = np.take_along_axis(candidates, first[:, None], 1)[:, 0]
    return values[rows]


def overlapped_mean(samples: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """Average, for each atom, what all the patches that hold it say of it.

    Parameters
    ----------
    samples
        Shape ``(n, m, c)``.
    neighbours
        As given to :func:`patches`.

    Returns
    -------
    values
        Shape ``(n, c)``.
    """
    there = neighbours >= 0
    rows = neighbours[there]
    count = np.bincount(rows, minlength=len(samples))
    sums = [
        np.bincount(rows, weights=samples[..., part][there], minlength=len(samples))
        for part in range(samples.shape[-1])
    ]
    return np.stack(sums, axis=-1) / count[:, None]
