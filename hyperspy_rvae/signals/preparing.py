"""From an image to one made ready, its table in step."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperspy_rvae.lattice import preparing
from hyperspy_rvae.lattice.table import select_sublattice
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.checks import check_image, is_number
from hyperspy_rvae.signals.neighbourhood import repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from hyperspy_rvae.signals.prepared import PreparedImage

SQUARE = 1e-3

_logger = logging.getLogger(__name__)


def rotate(
    image: PreparedImage, angle: float | None, sublattice: str | None, order: int
) -> PreparedImage:
    """Turn; as ``PreparedImage.rotate``."""
    check_image(image)
    y_axis, x_axis = record.image_axes(image)[-2:]
    if abs(abs(x_axis.scale / y_axis.scale) - 1) > SQUARE or x_axis.units != y_axis.units:
        raise ValueError(
            f"pixels of {x_axis.scale:g} {x_axis.units} by {y_axis.scale:g} {y_axis.units} are not "
            "square, and a turn would shear the image; resample it first."
        )
    table = image.atoms if record.has_table(image) else None
    if angle is None:
        angle = _slope(image, sublattice)
        _logger.info("turned by %.4f rad, which lays the lattice along x", angle)
    if not is_number(angle):
        raise ValueError(f"angle must be a number of radians, got {angle!r}.")
    before = image.data.shape[-2:]
    shape = preparing.turned_shape(before, angle)
    out = _each(image, preparing.turn_frame, shape, angle=float(angle), order=order)
    for new, old, now, then in zip(
        out.axes_manager.signal_axes, (x_axis, y_axis), shape[::-1], before[::-1], strict=True
    ):
        new.offset = old.offset - ((now - 1) - (then - 1)) / 2 * old.scale
    if table is not None:
        record.write_table(out, preparing.turn_table(table, before, angle))
    return out


def upsample(image: PreparedImage, factor: int, order: int) -> PreparedImage:
    """Sample finer; as ``PreparedImage.upsample``."""
    check_image(image)
    if isinstance(factor, bool) or not isinstance(factor, (int, np.integer)) or factor < 1:
        raise ValueError(f"factor must be a whole number of pixels for one, got {factor!r}.")
    height, width = image.data.shape[-2:]
    shape = (height * factor, width * factor)
    out = _each(image, preparing.upsample_frame, shape, factor=int(factor), order=order)
    for new, old in zip(out.axes_manager.signal_axes, image.axes_manager.signal_axes, strict=True):
        new.scale = old.scale / factor
        new.offset = old.offset - (old.scale - new.scale) / 2
    return out


def subtract_background(image: PreparedImage, width: float) -> PreparedImage:
    """Subtract; as ``PreparedImage.subtract_background``."""
    check_image(image)
    _check_width(width, "width")
    return _each(image, preparing.subtract_background, image.data.shape[-2:], width=float(width))


def filter_band(image: PreparedImage, fine: float, coarse: float) -> PreparedImage:
    """Filter; as ``PreparedImage.filter_band``."""
    check_image(image)
    _check_width(fine, "fine")
    _check_width(coarse, "coarse")
    if not fine < coarse:
        raise ValueError(f"fine must be less than coarse, got {fine!r} and {coarse!r} px.")
    given = {"fine": float(fine), "coarse": float(coarse)}
    return _each(image, preparing.double_gaussian, image.data.shape[-2:], **given)


def align_frames(
    image: PreparedImage, shifts: np.ndarray | None, crop: bool, options: dict[str, Any]
) -> PreparedImage:
    """Align; as ``PreparedImage.align_frames``."""
    check_image(image)
    if image.axes_manager.navigation_dimension != 1:
        raise ValueError(
            "a movie along one axis is needed to align its frames, this has "
            f"{image.axes_manager.navigation_dimension} navigation axes."
        )
    if shifts is None:
        shifts = image.estimate_shift2D(**options)
    elif options:
        raise ValueError(f"shifts are given, so {', '.join(options)} would change nothing.")
    shifts = np.asarray(shifts, dtype=np.float64)
    if shifts.shape != (image.axes_manager.navigation_size, 2) or not np.isfinite(shifts).all():
        raise ValueError(
            f"shifts must be y and x of each of the {image.axes_manager.navigation_size} frames, "
            f"got an array of shape {shifts.shape}."
        )
    out = image.deepcopy()
    if record.has_table(image):
        moved = image.atoms
        frame = moved["frame"].to_numpy()
        moved[["x", "y"]] -= shifts[frame][:, ::-1]
        height, width = image.data.shape[-2:]
        kept = moved["x"].between(-0.5, width - 0.5, "left")
        kept &= moved["y"].between(-0.5, height - 0.5, "left")
        if not kept.all():
            _logger.info("%d atoms have left the aligned frames", (~kept).sum())
        record.write_table(out, moved[kept])
    if shifts.any():
        out.align2D(shifts=shifts, crop=crop, fill_value=0, show_progressbar=False)
    return out


def _each(
    image: PreparedImage,
    function: Callable[..., np.ndarray],
    shape: tuple[int, int],
    **given: Any,
) -> PreparedImage:
    """Call a kernel for every frame, lazily where the image is."""
    return image.map(
        function,
        inplace=False,
        ragged=False,
        lazy_output=image._lazy,
        output_signal_size=shape,
        output_dtype=np.dtype(np.float32),
        show_progressbar=False,
        **given,
    )


def _slope(image: PreparedImage, sublattice: str | None) -> float:
    """Angle by which the lattice vector nearer to the x axis must be turned to lie along it."""
    table = image.atoms
    name = table["sublattice"].iloc[0] if sublattice is None and len(table) else sublattice
    a = repeats(select_sublattice(table, name), str(name))[0]
    return float(np.arctan2(a[1], a[0]))


def _check_width(width: Any, name: str) -> None:
    if not (is_number(width) and width > 0):
        raise ValueError(f"{name} must be a number of pixels above 0, got {width!r}.")
