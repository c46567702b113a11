"""Windows of all frames of a movie, in memory or block by block."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from hyperspy_rvae.subimages.windows import cut_windows

AT_ONCE = 2**24  # pixels of windows that one task cuts
JOINED = 2**23  # bytes; frames in smaller chunks are read together, so that tasks stay few


class Cuts(MaterializedLayer):
    """The tasks that cut windows, one a block, and what they are cut from.

    Parameters
    ----------
    movies
        One a channel, shape ``(frames, height, width)`` each; their chunks are brought into whole
        frames.
    ends
        Number of the first window of each frame, and at last the number of all; shape
        ``(frames + 1,)``.
    xy
        Position of each window, shape ``(n, 2)``, frame after frame.
    size, order
        As in :func:`cut_stack`.
    channelled
        Whether the windows are to have an axis of channels.
    """

    def __init__(
        self,
        movies: list[da.Array],
        ends: np.ndarray,
        xy: np.ndarray,
        size: int,
        order: int,
        channelled: bool = False,
    ) -> None:
        self.source = movies
        first: Any = joined(movies[0])
        self.movies = [first, *(movie.rechunk(first.chunks) for movie in movies[1:])]
        self.ends, self.xy, self.size, self.order = ends, xy, size, order
        self.channelled = channelled
        self.name = f"windows-{uuid.uuid4().hex}"
        self.lengths: list[int] = []
        tasks = {}
        for block, frames, rows in self._parts():
            counts = np.diff(np.clip(ends[frames.start : frames.stop + 1], rows.start, rows.stop))
            place = (self.name, len(self.lengths), *(0 for _ in self._window()))
            keys = [(movie.name, block, 0, 0) for movie in self.movies]
            cut, given = (cut_channels, keys) if channelled else (cut_block, keys[0])
            tasks[place] = (cut, given, counts, xy[rows], size, order, frames.start)
            self.lengths.append(rows.stop - rows.start)
        super().__init__(tasks)

    def __reduce__(self) -> Any:
        """Send tasks alone to a cluster; they hold all that it needs."""
        return MaterializedLayer, (self.mapping,)

    def array(self) -> da.Array:
        """Give the windows that the tasks cut, ``(n, size, size)`` or with channels after n."""
        if not self.lengths:
            return da.empty((0, *self._window()), dtype=np.float32)
        graph = HighLevelGraph.from_collections(self.name, self, dependencies=self.movies)
        chunks = (tuple(self.lengths), *((side,) for side in self._window()))
        return da.Array(graph, self.name, chunks, dtype=np.float32)

    def only(self, rows: np.ndarray) -> da.Array:
        """Cut only some of the windows, by ascending number."""
        ends = np.searchsorted(rows, self.ends)
        xy = self.xy[rows]
        return Cuts(self.source, ends, xy, self.size, self.order, self.channelled).array()

    def _window(self) -> tuple[int, ...]:
        """Shape of one window."""
        channels = (len(self.source),) if self.channelled else ()
        return (*channels, self.size, self.size)

    def _parts(self) -> Iterator[tuple[int, slice, slice]]:
        """Each block's number, its frames and windows of it, up to 64 MB of them."""
        step, first = max(1, AT_ONCE // int(np.prod(self._window()))), 0
        for block, length in enumerate(self.movies[0].chunks[0]):
            frames = slice(first, first + length)
            first = frames.stop
            start, stop = int(self.ends[frames.start]), int(self.ends[frames.stop])
            for k in range(start, stop, step):
                yield block, frames, slice(k, min(k + step, stop))


def cut_stack(
    movie: np.ndarray | da.Array, frame: np.ndarray, xy: np.ndarray, size: int, order: int = 3
) -> np.ndarray | da.Array:
    """Windows around all atoms of a movie, in their order.

    Parameters
    ----------
    movie
        Shape ``(frames, height, width)``.
    frame
        Frame of each atom, shape ``(n,)``, ascending.
    xy
        Positions, shape ``(n, 2)``, pixels.
    size
        Side of the window in pixels.
    order
        Order of the interpolating spline.

    Returns
    -------
    windows
        Shape ``(n, size, size)``, float32. A dask movie gives a dask array of known chunks that
        never mix the frames of two chunks of the movie, each of which is read once.
    """
    ends = np.searchsorted(frame, np.arange(len(movie) + 1))
    if not isinstance(movie, da.Array):
        return cut_block(movie, np.diff(ends), xy, size, order)
    return Cuts([movie], ends, xy, size, order).array()


def stack_channels(
    movies: Sequence[np.ndarray | da.Array],
    frame: np.ndarray,
    xy: np.ndarray,
    size: int,
    order: int = 3,
) -> np.ndarray | da.Array:
    """Windows around all atoms of several movies in register; as :func:`cut_stack`.

    Returns
    -------
    windows
        Shape ``(n, channels, size, size)``; a dask array if one of the movies is.
    """
    ends = np.searchsorted(frame, np.arange(len(movies[0]) + 1))
    lazy = next((movie for movie in movies if isinstance(movie, da.Array)), None)
    if lazy is None:
        return cut_channels([*map(np.asarray, movies)], np.diff(ends), xy, size, order)
    each = [
        movie if isinstance(movie, da.Array) else da.from_array(movie, chunks=lazy.chunks)
        for movie in movies
    ]
    return Cuts(each, ends, xy, size, order, channelled=True).array()


def take(windows: np.ndarray | da.Array, rows: np.ndarray) -> np.ndarray | da.Array:
    """Take windows by ascending number; where they are cut lazily, only these are cut."""
    layers = getattr(getattr(windows, "dask", None), "layers", {})
    cuts = layers.get(getattr(windows, "name", None))
    return cuts.only(rows) if isinstance(cuts, Cuts) else windows[rows]


def joined(movie: da.Array) -> da.Array:
    """Bring a movie into chunks of whole frames, small ones put together."""
    least = max(1, JOINED // (movie.dtype.itemsize * int(np.prod(movie.shape[1:]))))
    lengths = [0]
    for length in movie.chunks[0]:
        if lengths[-1] + length <= least or not lengths[-1]:
            lengths[-1] += length
        else:
            lengths.append(length)
    return movie.rechunk((tuple(lengths), -1, -1))


def cut_channels(
    movies: Sequence[np.ndarray],
    counts: np.ndarray,
    xy: np.ndarray,
    size: int,
    order: int = 3,
    first: int = 0,
) -> np.ndarray:
    """Windows of several channels, ``(n, channels, size, size)``; as :func:`cut_block`."""
    windows = [cut_block(movie, counts, xy, size, order, first) for movie in movies]
    return np.stack(windows, axis=1)


def cut_block(
    movie: np.ndarray, counts: np.ndarray, xy: np.ndarray, size: int, order: int = 3, first: int = 0
) -> np.ndarray:
    """Windows around the atoms of some frames.

    Parameters
    ----------
    movie
        Shape ``(frames, height, width)``.
    counts
        Number of atoms in each frame, shape ``(frames,)``.
    xy
        Positions, shape ``(n, 2)``, pixels, frame after frame.
    size, order
        As in :func:`cut_stack`.
    first
        Number of the first frame in the whole movie, for errors.

    Returns
    -------
    windows
        Shape ``(n, size, size)``, float32.
    """
    windows = np.empty((len(xy), size, size), dtype=np.float32)
    ends = np.cumsum(counts)
    for k in np.flatnonzero(counts):
        rows = slice(ends[k] - counts[k], ends[k])
        if not np.isfinite(movie[k]).all():
            raise ValueError(
                f"frame {first + k} has {np.sum(~np.isfinite(movie[k]))} pixels that are NaN or "
                "infinite; replace them (or leave the frame out with inav) before cutting "
                "subimages."
            )
        windows[rows] = cut_windows(movie[k], xy[rows], size, order)
    return windows
