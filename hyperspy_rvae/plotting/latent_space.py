"""Latents as points, coloured by what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from hyperspy_rvae.plotting.maps import scatter_values


def plot_latent_space(
    points: np.ndarray,
    values: np.ndarray | None = None,
    name: str | None = None,
    *,
    names: Sequence[str] = ("z1", "z2"),
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Scatter two latents.

    Parameters
    ----------
    points
        Shape ``(n, 2)``.
    values
        What gives the colours, shape ``(n,)``: numbers, or text for one colour a label. None: one
        colour for all.
    name
        What the values are.
    names
        Names of the latents that go right and up.
    ax
        Axes to draw on; new ones if not given.
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.scatter`.

    Returns
    -------
    axes
        The axes drawn on.
    """
    if ax is None:
        ax = plt.figure(figsize=(6.4, 5.2), layout="constrained").add_subplot()
    options = {"s": float(np.clip(4e4 / max(len(points), 1), 2, 40)), "linewidths": 0} | kwargs
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    if values is None:
        ax.scatter(*points.T, **options)
    else:
        scatter_values(ax, points, values, name or "", **options)
    return ax
