"""Where the neighbours of atoms are, all atoms laid over one another."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

MOST_POINTS = 4000  # beyond which the cloud is drawn as a density


def plot_cloud(
    vectors: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    name: str = "",
    units: str = "px",
    ax: Axes | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the vectors from atoms to their neighbours as a cloud of points.

    Parameters
    ----------
    vectors
        Shape ``(n, k, 2)``: u right, v down; NaN where a neighbour is missing.
    labels
        Shape ``(n,)``: a label of each atom, one colour each.
    name
        What the labels are.
    units
        Of the vectors.
    ax
        Axes to draw on; new ones if not given.
    **kwargs
        Passed to :meth:`matplotlib.axes.Axes.scatter`, or to
        :meth:`matplotlib.axes.Axes.hexbin` for more than 4,000 vectors without labels.

    Returns
    -------
    axes
        The axes drawn on; v runs down, as in the image.
    """
    if ax is None:
        ax = plt.figure(figsize=(5.6, 5.0), layout="constrained").add_subplot()
    reach = 1.05 * float(np.nanmax(np.abs(vectors), initial=0.0)) or 1.0
    known = np.isfinite(vectors).all(-1)
    if labels is None and known.sum() > MOST_POINTS:
        options: dict[str, Any] = {"gridsize": 120, "bins": "log", "cmap": "magma", "mincnt": 1}
        box = (-reach, reach, -reach, reach)
        drawn = ax.hexbin(*vectors[known].T, extent=box, **(options | kwargs))
        ax.figure.colorbar(drawn, ax=ax, label="neighbours")
    else:
        groups = np.zeros(len(vectors), dtype=int) if labels is None else labels
        for number, label in enumerate(np.unique(groups)):
            u, v = vectors[groups == label][known[groups == label]].T
            options = {"s": 4, "linewidths": 0, "alpha": 0.6, "color": f"C{number % 10}"}
            ax.scatter(u, v, label=str(label), **(options | kwargs))
        if labels is not None:
            ax.legend(title=name, fontsize="small", markerscale=3)
    ax.plot(0, 0, "+", color="black")
    ax.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
    ax.set(xlabel=f"u ({units})", ylabel=f"v ({units})")
    return ax
