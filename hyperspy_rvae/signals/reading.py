"""Which frames of a lazy movie cannot be read."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator
from typing import Any

import dask.array as da
import numpy as np

_logger = logging.getLogger(__name__)


def read_frame(movie: np.ndarray | da.Array, frame: int) -> np.ndarray:
    """Read one frame of a movie.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    try:
        return np.asarray(movie[frame])
    except Exception as error:
        if not isinstance(movie, da.Array) or _tells(error):
            raise
        raise unreadable(frame, frame + 1, error) from error


@contextlib.contextmanager
def naming_frames(*movies: np.ndarray | da.Array) -> Iterator[None]:
    """Name the frames that cannot be read, if that is why what is done here fails.

    Readers name no frame, and chunks are read together. So the movie is read again, chunk by
    chunk, up to the one that fails.

    Raises
    ------
    OSError
        If a chunk cannot be read.
    """
    try:
        yield
    except Exception as error:
        lazy = [movie for movie in movies if isinstance(movie, da.Array)]
        if not lazy or _tells(error):
            raise
        _logger.warning("%s; looking for frames that cannot be read", error)
        for movie in lazy:
            _look_for_frames(movie, error)
        raise


def _look_for_frames(movie: da.Array, error: Exception) -> None:
    first = 0
    for number, length in enumerate(movie.chunks[0]):
        try:
            movie.blocks[number].compute()
        except Exception as again:
            raise unreadable(first, first + length, again) from error
        first += length


def unreadable(first: int, end: int, error: Exception) -> OSError:
    """Make the error that says which frames, up to `end`, cannot be read."""
    which = f"frame {first}" if end == first + 1 else f"frames {first} to {end - 1}"
    return OSError(
        f"{which} cannot be read ({type(error).__name__}: {error}); the file is damaged or was cut "
        "short: copy it anew, or leave the frames out with inav."
    )


def _tells(error: Exception) -> bool:
    """Whether an error says enough: of a frame, of memory, of a cluster, or of a training."""
    cluster = type(error).__module__.split(".")[0] == "distributed"
    *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
    training = innermost.f_globals.get("__name__", "").startswith("hyperspy_rvae.models")
    memory = isinstance(error, MemoryError)
    return cluster or training or memory or str(error).startswith("frame")


def movies_of_windows(windows: Any) -> list[da.Array]:
    """Give the movies that windows are lazily cut from, one a channel, if they are."""
    layers = getattr(getattr(windows, "dask", None), "layers", {})
    return getattr(layers.get(getattr(windows, "name", None)), "source", [])
