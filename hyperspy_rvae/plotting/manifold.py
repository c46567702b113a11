"""Decoded images on a grid of latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes


def plot_manifold(
    images: np.ndarray,
    across: np.ndarray,
    up: np.ndarray,
    *,
    names: Sequence[str] = ("z1", "z2"),
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw decoded images side by side as one picture.

    Parameters
    ----------
    images
        Shape ``(rows, columns, height, width)``; the first row is drawn at the bottom.
    across
        Latent of each column, shape ``(columns,)``.
    up
        Latent of each row, shape ``(rows,)``.
    names
        Names of the latents that go right and up.
    ax
        Axes to draw on; new ones if not given.
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.imshow`.

    Returns
    -------
    axes
        The axes drawn on.
    """
    rows, columns, height, width = images.shape
    picture = images[::-1].transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    if ax is None:
        ax = plt.figure(
            figsize=(6.4, 6.4 * max(0.3, rows * height / (columns * width))), layout="constrained"
        ).add_subplot()
    ax.imshow(picture, **({"cmap": "gray"} | kwargs))
    for edge in range(1, columns):
        ax.axvline(edge * width - 0.5, color="k", lw=0.5)
    for edge in range(1, rows):
        ax.axhline(edge * height - 0.5, color="k", lw=0.5)
    shown = np.linspace(0, columns - 1, min(5, columns)).astype(int)
    ax.set_xticks((shown + 0.5) * width - 0.5, _numbers(across[shown]))
    ax.set_xlabel(names[0])
    ax.set_yticks([])
    if len(names) > 1:
        shown = np.linspace(0, rows - 1, min(5, rows)).astype(int)
        ax.set_yticks((rows - shown - 0.5) * height - 0.5, _numbers(up[shown]))
        ax.set_ylabel(names[1])
    return ax


def _numbers(values: np.ndarray) -> list[str]:
    return [f"{value:.1f}" for value in np.round(values, 1) + 0.0]  # no "-0.0"
