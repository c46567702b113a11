"""Compiled B-splines: an image as coefficients, and windows of it at sub-pixel places.

A window has one sub-pixel offset, so that its ``order + 1`` weights along each side are the same
for all of its pixels, and one small pass down and one across give them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

_POLES = {
    2: (math.sqrt(8) - 3,),
    3: (math.sqrt(3) - 2,),
    4: (
        math.sqrt(664 - math.sqrt(438976)) + math.sqrt(304) - 19,
        math.sqrt(664 + math.sqrt(438976)) - math.sqrt(304) - 19,
    ),
    5: (
        math.sqrt(67.5 - math.sqrt(4436.25)) + math.sqrt(26.25) - 6.5,
        math.sqrt(67.5 + math.sqrt(4436.25)) - math.sqrt(26.25) - 6.5,
    ),
}
_NEGLIGIBLE = 1e-16  # of the first sample's weight


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "reassoc"}}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no folder to keep it in
        return numba.njit(**options)(function)


def coefficients(image: np.ndarray, order: int) -> np.ndarray:
    """B-spline coefficients of an image that goes on mirrored about its outer pixels.

    As :func:`scipy.ndimage.spline_filter` with ``mode="mirror"``, after Unser, Aldroubi and Eden,
    IEEE Trans. Signal Process. 41, 834 (1993).

    Parameters
    ----------
    image
        Shape ``(height, width)``.
    order
        0 to 5; up to 1 the coefficients are the pixels.

    Returns
    -------
    coefficients
        float64, of the same shape.
    """
    result = np.array(image, dtype=np.float64, order="C")
    for pole in _POLES.get(order, ()):
        _filter_down(result, pole)
        _filter_across(result, pole)
    return result


def sample(coefficients: np.ndarray, xy: np.ndarray, size: int, order: int) -> np.ndarray:
    """Windows of a spline around sub-pixel centres.

    Parameters
    ----------
    coefficients
        As :func:`coefficients` gives them, shape ``(height, width)``.
    xy
        Centres, shape ``(n, 2)``, pixels.
    size
        Side of a window, pixels.
    order
        Of the spline.

    Returns
    -------
    windows
        Shape ``(n, size, size)``, float32.
    """
    windows = np.empty((len(xy), size, size), dtype=np.float32)
    _sample(coefficients, np.ascontiguousarray(xy, dtype=np.float64), order, windows)
    return windows


@_compiled
def _ends(length, pole):  # type: ignore[no-untyped-def]
    """Weights of the first so many samples in the first value of the causal filter."""
    reach = min(length, int(math.log(_NEGLIGIBLE) / math.log(abs(pole))) + 1)
    weights = pole ** np.arange(reach).astype(np.float64)
    if reach == length:  # the mirrored row is short enough to be felt all around
        back = pole ** (2.0 * length - 2 - np.arange(length))
        weights[1:-1] += back[1:-1]
        weights /= 1 - pole ** (2.0 * length - 2)
    return weights


@_compiled
def _filter_down(values, pole):  # type: ignore[no-untyped-def]
    """Filter all columns in place, row by row."""
    height, width = values.shape
    if height < 2:
        return
    weights = _ends(height, pole)
    gain = (1 - pole) * (1 - 1 / pole)
    first = np.zeros(width)
    for row in range(len(weights)):
        for k in range(width):
            first[k] += weights[row] * values[row, k]
    for k in range(width):
        values[0, k] = first[k] * gain
    for row in range(1, height):
        for k in range(width):
            values[row, k] = values[row, k] * gain + pole * values[row - 1, k]
    last = pole / (pole * pole - 1)
    for k in range(width):
        values[height - 1, k] = last * (values[height - 1, k] + pole * values[height - 2, k])
    for row in range(height - 2, -1, -1):
        for k in range(width):
            values[row, k] = pole * (values[row + 1, k] - values[row, k])


@_compiled
def _filter_across(values, pole):  # type: ignore[no-untyped-def]
    """Filter all rows in place."""
    height, width = values.shape
    if width < 2:
        return
    weights = _ends(width, pole)
    gain = (1 - pole) * (1 - 1 / pole)
    last = pole / (pole * pole - 1)
    for row in range(height):
        line = values[row]
        c = 0.0
        for k in range(len(weights)):
            c += weights[k] * line[k]
        c *= gain
        line[0] = c
        for k in range(1, width):
            c = line[k] * gain + pole * c
            line[k] = c
        c = last * (line[width - 1] + pole * line[width - 2])
        line[width - 1] = c
        for k in range(width - 2, -1, -1):
            c = pole * (c - line[k])
            line[k] = c


@_compiled
def _start(place, order, weights):  # type: ignore[no-untyped-def]
    """Index of the first coefficient that a place needs, and the weights of all of them."""
    left = place - (order - 1) / 2
    first = math.floor(left)
    t = left - first
    weights[0] = 1.0
    for degree in range(1, order + 1):  # the recursion of Cox and de Boor on whole knots
        carried = 0.0
        for k in range(degree):
            part = weights[k] / degree
            weights[k] = carried + (k + 1 - t) * part
            carried = (t + degree - k - 1) * part
        weights[degree] = carried
    return int(first)


@_compiled
def _mirrored(index, length):  # type: ignore[no-untyped-def]
    """Index within a row that goes on mirrored about its first and last pixel."""
    if length == 1:
        return 0
    index = abs(index) % (2 * length - 2)
    return min(index, 2 * length - 2 - index)


@_compiled
def _sample(coefficients, xy, order, windows):  # type: ignore[no-untyped-def]
    height, width = coefficients.shape
    count, size = windows.shape[:2]
    side = size + order
    down, across = np.empty(order + 1), np.empty(order + 1)
    patch, line = np.empty((side, side)), np.empty(side)
    out = np.empty(size)
    for n in range(count):
        left = _start(xy[n, 0] - (size - 1) / 2, order, across)
        top = _start(xy[n, 1] - (size - 1) / 2, order, down)
        if 0 <= left <= width - side and 0 <= top <= height - side:  # no sum that overflows
            source = coefficients[top : top + side, left : left + side]
        else:
            for r in range(side):
                row = _mirrored(top + r, height)
                for c in range(side):
                    patch[r, c] = coefficients[row, _mirrored(left + c, width)]
            source = patch[:, :]
        for r in range(size):
            line[:] = 0.0
            for k in range(order + 1):
                for c in range(side):
                    line[c] += down[k] * source[r + k, c]
            out[:] = 0.0
            for k in range(order + 1):
                for c in range(size):
                    out[c] += across[k] * line[c + k]
            for c in range(size):
                windows[n, r, c] = out[c]
