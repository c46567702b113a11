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


@contextlib.contextmanager
def naming_frames(movie: np.ndarray | da.Array | None) -> Iterator[None]:
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
        if not isinstance(movie, da.Array) or _tells(error):
            raise
        _logger.warning("%s; looking for frames that cannot be read", error)
        first = 0
        for number, length in enumerate(movie.chunks[0]):
            try:
                movie.blocks[number].compute()
            except Exception as again:
                raise unreadable(first, first + length, again) from error
            first += length
        raise


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


def movie_of_windows(windows: Any) -> da.Array | None:
    """Give the movie that windows are lazily cut from, if they are."""
    layers = getattr(getattr(windows, "dask", None), "layers", {})
    return getattr(layers.get(getattr(windows, "name", None)), "source", None)
