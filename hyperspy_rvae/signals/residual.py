"""What the fit of a frame leaves of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hyperspy_rvae.lattice.refinement.rendering import model_image
from hyperspy_rvae.signals import record
from hyperspy_rvae.signals.checks import frame_count, movie_of
from hyperspy_rvae.signals.reading import read_frame

if TYPE_CHECKING:
    from hyperspy_rvae.signals.image import AtomLatticeImage


def plot_frame(image: AtomLatticeImage, frame: int) -> np.ndarray:
    """Plot image, model and difference; as ``AtomLatticeImage.plot_residual``."""
    from hyperspy_rvae.plotting.residual import plot_residual

    table = image.atoms
    if frame not in range(frame_count(image)):
        raise ValueError(
            f"frame {frame!r} is not there; the image has frames 0 to {frame_count(image) - 1}."
        )
    here = table[table["frame"] == frame]
    if here.empty:
        raise ValueError(f"frame {frame} has no atoms.")
    pixels = read_frame(movie_of(image), frame).astype(np.float64)
    model = model_image(pixels.shape, here)
    lost = here.loc[~here["converged"], ["x", "y"]] if "converged" in here else here.iloc[:0, 1:3]
    return plot_residual(pixels, model, lost.to_numpy(), pixel=record.pixel(image))
