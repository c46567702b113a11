"""From an image and its table to the windows around its atoms."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.axes import Axis, pack_axes
from hyperspy_rvae.lattice.packing import pack
from hyperspy_rvae.lattice.table import nearest_distance, select_sublattice
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.build import atom_axis, like
from hyperspy_rvae.signals.checks import check_choice, check_image, frame_count, movie_of
from hyperspy_rvae.subimages.stack import cut_stack, stack_channels
from hyperspy_rvae.subimages.windows import (
    SMALLEST,
    Edge,
    check_window,
    grid_centres,
    whole_windows,
)

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal

    from hyperspy_rvae.signals.image import AtomLatticeImage
    from hyperspy_rvae.signals.subimages import AtomSubimages

Centres = Literal["atoms", "grid"]
NEIGHBOURHOOD = 2.5

_logger = logging.getLogger(__name__)


def extract(
    image: AtomLatticeImage,
    window_size: int | None,
    sublattice: str | None,
    centres: Centres,
    step: int | None,
    order: int,
    edge: Edge,
    channels: Sequence[BaseSignal] | None = None,
) -> AtomSubimages:
    """Cut the windows; the parameters are those of ``AtomLatticeImage.extract_subimages``."""
    check_image(image)
    images = [image, *_in_register(image, channels)]
    check_choice(centres, get_args(Centres), "centres")
    if step is not None and centres == "atoms":
        raise ValueError(
            "step is the distance between the points of a grid; it needs centres='grid'."
        )
    if sublattice is not None and centres == "grid":
        raise ValueError(
            f"a grid has no sublattices, got sublattice={sublattice!r}; leave it out, or take "
            "centres='atoms'."
        )
    atoms = None
    if centres == "atoms" or window_size is None:
        atoms = select_sublattice(record.current_table(image, copy=False), sublattice)
    size = neighbourhood(atoms) if window_size is None else window_size
    spacing = float("nan") if atoms is None else nearest_distance(atoms)
    check_window(size, image.data.shape[-2:], order, edge, spacing)
    table = (
        grid_table(image, size, size // 2 if step is None else step) if centres == "grid" else atoms
    )
    xy = np.stack([table["x"], table["y"]], axis=1)
    kept = slice(None) if edge == "reflect" else _whole(xy, size, image.data.shape[-2:])
    axes = record.image_axes(image)
    described: dict[str, Any] = {
        "axes": pack_axes(axes),
        "window": {"size": int(size), "centres": centres, "order": int(order), "edge": edge},
    }
    if centres == "grid" or not record.is_current(image):  # else the image's own table serves
        described["table"] = pack(table[kept])
    frame = table["frame"].to_numpy()[kept]
    out_axes = [atom_axis(table.index.to_numpy()[kept]), *_window_axes(size, axes[-2:])]
    if channels is None:
        windows = cut_stack(movie_of(image), frame, xy[kept], size, order)
        return like(image, windows, out_axes, "atom_subimages", described)
    described["window"]["channels"] = [str(each.metadata.General.title) for each in images]
    out_axes.insert(1, {"name": record.CHANNEL, "size": len(images), "navigate": True})
    windows = stack_channels([movie_of(each) for each in images], frame, xy[kept], size, order)
    return like(image, windows, out_axes, "atom_subimages", described)


def _in_register(
    image: AtomLatticeImage, channels: Sequence[BaseSignal] | None
) -> Sequence[BaseSignal]:
    """Refuse further channels that are not images of the same pixels."""
    if channels is None:
        return []
    if hasattr(channels, "axes_manager") or not isinstance(channels, Sequence):
        raise TypeError(
            f"channels must be a list of images in register, got {type(channels).__name__}; "
            "give a single one as [image]."
        )
    for each in channels:
        check_image(each)
        if each.data.shape != image.data.shape:
            raise ValueError(
                "channels must show the same frames and pixels, got an image of shape "
                f"{each.data.shape} for one of {image.data.shape} in array order; align and crop "
                "them first."
            )
    return channels


def neighbourhood(table: pd.DataFrame) -> int:
    """Find the odd window nearest to 2.5 distances between neighbours."""
    spacing = nearest_distance(table)
    if np.isnan(spacing):
        raise ValueError(
            "no frame has two atoms, so a window cannot be chosen from the distance between "
            "neighbours; give window_size."
        )
    size = max(SMALLEST, 2 * int(NEIGHBOURHOOD * spacing / 2) + 1)
    _logger.info("window_size is %d px; nearest neighbours are %.1f px apart", size, spacing)
    return size


def grid_table(image: AtomLatticeImage, size: int, step: int) -> pd.DataFrame:
    """Make a table of the points of a grid, the same in every frame."""
    xy = grid_centres(image.data.shape[-2:], size, step)
    frames = np.arange(frame_count(image))
    x, y = np.tile(xy, (len(frames), 1)).T
    return pd.DataFrame({"frame": frames.repeat(len(xy)), "x": x, "y": y, "sublattice": "grid"})


def _whole(xy: np.ndarray, size: int, shape: tuple[int, int]) -> np.ndarray | slice:
    """Which windows lie within the image."""
    kept = whole_windows(xy, size, shape)
    if not kept.any():
        raise ValueError(
            f"none of the {len(xy)} atoms has a whole window of {size} px in the image of "
            f"{shape[1]} x {shape[0]} pixels (x, y); take a smaller window or edge='reflect'."
        )
    return slice(None) if kept.all() else kept


def _window_axes(size: int, axes: list[Axis]) -> list[dict[str, Any]]:
    """HyperSpy's y and x axes of a window, zero at the atom."""
    return [
        {
            "name": name,
            "size": size,
            "scale": axis.scale,
            "offset": -(size - 1) / 2 * axis.scale,
            "units": axis.units or None,
            "navigate": False,
        }
        for name, axis in zip("yx", axes, strict=True)
    ]
