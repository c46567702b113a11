"""What an image must be before any work is done on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal


def check_image(image: BaseSignal) -> None:
    """Refuse images that cannot hold atoms.

    The pixels of a lazy image are looked at when they are read, frame by frame.

    Raises
    ------
    ValueError
        If the image is empty, or has pixels that are NaN or infinite.
    TypeError
        If it is complex or no image at all.
    """
    if not hasattr(image, "axes_manager"):
        raise TypeError(f"a HyperSpy signal is needed, got {type(image).__name__}.")
    if image.axes_manager.signal_dimension != 2:
        raise ValueError(
            "an image with two signal axes (x, y) is needed, got "
            f"{image.axes_manager.signal_dimension}; set them with transpose(signal_axes=2) or "
            "as_signal2D()."
        )
    if image.data.dtype.kind not in "biuf":
        raise TypeError(
            f"real pixels are needed, got {image.data.dtype}; take the amplitude, phase or "
            "real part first."
        )
    if 0 in image.data.shape:
        raise ValueError(f"the image is empty, its shape is {image.data.shape}.")
    if not isinstance(image.data, da.Array):
        check_pixels(image.data)


def check_pixels(data: np.ndarray, what: str = "the image") -> None:
    """Refuse pixels that are NaN or infinite."""
    bad = ~np.isfinite(data)
    if bad.all():
        raise ValueError(f"{what} has no finite pixel at all; check how it was loaded.")
    if bad.any():
        raise ValueError(
            f"{what} has {bad.sum()} pixels that are NaN or infinite, the first at index "
            f"{tuple(int(i) for i in np.argwhere(bad)[0])}; replace them first, for example with "
            "numpy.nan_to_num."
        )


def movie_of(image: BaseSignal) -> np.ndarray | da.Array:
    """Give the image as ``(frames, height, width)``, by flat navigation index."""
    data = image.data
    if isinstance(data, da.Array) and data.ndim > 3:
        data = data.rechunk({axis: -1 for axis in range(1, data.ndim)})
    return data.reshape(-1, *data.shape[-2:])


def frame_count(image: BaseSignal) -> int:
    """Give the number of frames, 1 for a single image."""
    return max(1, image.axes_manager.navigation_size)


def check_choice(value: object, choices: tuple[object, ...], name: str) -> None:
    """Refuse what is not one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {choices}, got {value!r}.")


def is_number(value: Any) -> bool:
    """Whether a value is one finite number."""
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return number and bool(np.isfinite(value))


def check_number(value: object, name: str) -> None:
    """Refuse what is no finite number of pixels."""
    if not is_number(value):
        raise ValueError(f"{name} must be a number of pixels, got {value!r}.")
