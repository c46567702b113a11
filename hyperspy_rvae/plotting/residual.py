"""An image, the model fitted to it, and what the model leaves."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from hyperspy_rvae.plotting.canvas import Pixel, image_axes

WIDTH_IN = 4.6  # of one panel
MEDIANS = 6.0  # of the difference, up to full colour: four standard deviations of normal noise


def plot_residual(
    image: np.ndarray,
    model: np.ndarray,
    lost: np.ndarray,
    *,
    pixel: Pixel = (1.0, 1.0, ""),
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Draw an image, its model and the difference side by side.

    Parameters
    ----------
    image, model
        Shape ``(height, width)``.
    lost
        Positions whose fit did not converge, shape ``(n, 2)``, x and y in pixels; they are
        marked with crosses.
    pixel
        Width and height of a pixel, and their units, for the scale bars.
    axes
        Three axes to draw on; new ones if not given.

    Returns
    -------
    axes
        The three axes drawn on. Image and model have the same grey levels, and zero is white in
        the difference, image less model.
    """
    if axes is None:
        size = (3 * WIDTH_IN, WIDTH_IN * max(0.4, min(1.2, image.shape[0] / image.shape[1])) + 0.6)
        axes = plt.figure(figsize=size, layout="constrained").subplots(
            1, 3, sharex=True, sharey=True
        )
    rest = image - model
    low, high = np.nanpercentile(image, [0.5, 99.5])
    most = MEDIANS * float(np.nanmedian(np.abs(rest))) or 1.0
    looks = [
        ("image", image, {"cmap": "gray", "vmin": low, "vmax": high}),
        ("model", model, {"cmap": "gray", "vmin": low, "vmax": high}),
        ("image less model", rest, {"cmap": "RdBu_r", "vmin": -most, "vmax": most}),
    ]
    drawn = None
    for ax, (title, values, look) in zip(axes, looks, strict=True):
        image_axes(ax, values, np.empty((0, 2)), pixel)
        drawn = ax.images[-1]
        drawn.set(cmap=look["cmap"], clim=(look["vmin"], look["vmax"]))
        ax.set_title(title)
    if len(lost):
        axes[2].plot(*lost.T, "x", color="black", label="did not converge")
        axes[2].legend(loc="upper right")
    axes[2].figure.colorbar(drawn, ax=axes[2], extend="both")
    return axes
