"""Frames and positions, turned and filtered."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import ndimage


def turned_shape(shape: tuple[int, int], angle: float) -> tuple[int, int]:
    """Height and width that hold a frame after it was turned by `angle`, in radians."""
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    height, width = (n - 1 for n in shape)
    # rounding would ask for one more pixel at right angles
    return (
        int(np.ceil(height * cos + width * sin - 1e-6)) + 1,
        int(np.ceil(width * cos + height * sin - 1e-6)) + 1,
    )


def turn_frame(frame: np.ndarray, angle: float, order: int = 3) -> np.ndarray:
    """Turn a frame about its middle, onto a frame that holds all of it.

    Parameters
    ----------
    frame
        Shape ``(height, width)``.
    angle
        Radians, counter-clockwise as displayed.
    order
        Of the spline.

    Returns
    -------
    turned
        float32, of the shape of :func:`turned_shape`; the mean of the frame where there was
        nothing.
    """
    shape = turned_shape(frame.shape, angle)
    cos, sin = np.cos(angle), np.sin(angle)
    back = np.array([[cos, sin], [-sin, cos]])  # of (y, x) on the turned frame
    middle, there = (np.array(frame.shape) - 1) / 2, (np.array(shape) - 1) / 2
    return ndimage.affine_transform(
        frame.astype(np.float32),
        back,
        offset=middle - back @ there,
        output_shape=shape,
        order=order,
        cval=float(frame.mean()),
    )


def turn_table(table: pd.DataFrame, shape: tuple[int, int], angle: float) -> pd.DataFrame:
    """Turn a table of atoms with its frame.

    Parameters
    ----------
    table
        Positions in pixels; ``rotation`` and the standard deviations follow where they are there.
    shape
        Height and width of the frame before.
    angle
        As for :func:`turn_frame`.

    Returns
    -------
    table
        Positions on the turned frame.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    before, after = (np.array(s[::-1]) for s in (shape, turned_shape(shape, angle)))
    xy = (table[["x", "y"]].to_numpy() - (before - 1) / 2) @ turn.T + (after - 1) / 2
    turned = table.assign(x=xy[:, 0], y=xy[:, 1])
    if "rotation" in turned:
        turned["rotation"] = (turned["rotation"] + angle) % np.pi
    if {"x_std", "y_std"} <= set(turned):
        variances = table[["x_std", "y_std"]].to_numpy() ** 2 @ (turn**2).T
        turned[["x_std", "y_std"]] = np.sqrt(variances)
    return turned


def upsample_frame(frame: np.ndarray, factor: int, order: int = 3) -> np.ndarray:
    """Sample a frame `factor` times as finely along both axes, float32.

    Parameters
    ----------
    frame
        Shape ``(height, width)``.
    factor
        New pixels that share the area of an old one, along each axis.
    order
        Of the spline.
    """
    fine = ndimage.zoom(
        frame.astype(np.float32), factor, order=order, mode="nearest", grid_mode=True
    )
    return np.asarray(fine)


def subtract_background(frame: np.ndarray, width: float) -> np.ndarray:
    """Subtract a frame's Gaussian mean and add its own mean, float32.

    Parameters
    ----------
    frame
        Shape ``(height, width)``.
    width
        Standard deviation of the Gaussian in pixels.
    """
    frame = frame.astype(np.float32)
    return frame - ndimage.gaussian_filter(frame, width, mode="nearest") + frame.mean()


def double_gaussian(frame: np.ndarray, fine: float, coarse: float) -> np.ndarray:
    """Keep the lengths between two, by the difference of two Gaussians in Fourier space.

    Parameters
    ----------
    frame
        Shape ``(height, width)``.
    fine, coarse
        Standard deviations in pixels of the Gaussians in real space: details finer than the one
        and variations coarser than the other are damped.

    Returns
    -------
    filtered
        float32; the mean stays.
    """
    rows, columns = np.fft.fftfreq(frame.shape[0]), np.fft.rfftfreq(frame.shape[1])
    square = 2 * np.pi**2 * (rows[:, None] ** 2 + columns**2)
    kept = np.exp(-square * fine**2) - np.exp(-square * coarse**2)
    kept[0, 0] = 1.0
    return np.fft.irfft2(np.fft.rfft2(frame) * kept, s=frame.shape).astype(np.float32)
