"""Square windows around sub-pixel centres of one image."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from hyperspy_rvae.subimages.splines import coefficients, sample

Edge = Literal["drop", "reflect"]
SMALLEST = 5


def check_window(size: int, shape: tuple[int, int], order: int, edge: str, spacing: float) -> None:
    """Refuse windows that cannot be cut.

    Parameters
    ----------
    size
        Side of the window in pixels.
    shape
        Height and width of the image in pixels.
    order
        Order of the interpolating spline.
    edge
        What to do with windows that leave the image.
    spacing
        Distance between neighbouring atoms in pixels, for the advice in errors; NaN if unknown.
    """
    advice = f", here about {2.5 * spacing:.0f} px" if np.isfinite(spacing) else ""
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
        raise TypeError(f"window_size must be a whole number of pixels, got {size!r}.")
    if size < SMALLEST:
        raise ValueError(
            f"window_size must be at least {SMALLEST} px, got {size}; a window should hold the "
            f"nearest neighbours{advice}."
        )
    if size > min(shape):
        raise ValueError(
            f"window_size is {size} px and the image has only {shape[1]} x {shape[0]} (x, y); "
            f"take a smaller window; it should hold the nearest neighbours{advice}."
        )
    if type(order) is not int or order not in range(6):
        raise ValueError(f"order must be 0 to 5 (1 linear, 3 cubic spline), got {order!r}.")
    if edge not in get_args(Edge):
        raise ValueError(f"edge must be one of {get_args(Edge)}, got {edge!r}.")


def whole_windows(xy: np.ndarray, size: int, shape: tuple[int, int]) -> np.ndarray:
    """Which windows lie within the image.

    Parameters
    ----------
    xy
        Centres, shape ``(n, 2)``, x and y in pixels.
    size
        Side of the window in pixels.
    shape
        Height and width of the image in pixels.

    Returns
    -------
    whole
        Shape ``(n,)``, True where all ``size * size`` sampling points lie between the centres of
        the first and the last pixel.
    """
    half = (size - 1) / 2
    height, width = shape
    return (
        (xy[:, 0] >= half)
        & (xy[:, 0] <= width - 1 - half)
        & (xy[:, 1] >= half)
        & (xy[:, 1] <= height - 1 - half)
    )


def cut_windows(image: np.ndarray, xy: np.ndarray, size: int, order: int = 3) -> np.ndarray:
    """Windows sampled around sub-pixel centres by spline interpolation.

    Parameters
    ----------
    image
        Shape ``(height, width)``, real and finite.
    xy
        Centres, shape ``(n, 2)``, x and y in pixels; each comes to lie at ``((size - 1) / 2,
        (size - 1) / 2)`` of its window.
    size
        Side of the window in pixels, odd or even.
    order
        Order of the spline, 0 (nearest pixel) to 5. Points outside the image are mirrored.

    Returns
    -------
    windows
        Shape ``(n, size, size)``, float32.
    """
    return sample(coefficients(image, order), xy, size, order)


def grid_centres(shape: tuple[int, int], size: int, step: int) -> np.ndarray:
    """Centres of windows that slide over an image in steps, row by row.

    Parameters
    ----------
    shape
        Height and width of the image in pixels.
    size
        Side of the window in pixels.
    step
        Distance between neighbouring windows in pixels.

    Returns
    -------
    xy
        Shape ``(n, 2)``, pixels; every window lies in the image.
    """
    if isinstance(step, bool) or not isinstance(step, (int, np.integer)) or step < 1:
        raise ValueError(f"step must be a whole number of pixels, at least 1, got {step!r}.")
    y, x = (np.arange(0, side - size + 1, step) + (size - 1) / 2 for side in shape)
    return np.stack([part.ravel() for part in np.meshgrid(x, y)], 1)
