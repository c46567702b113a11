"""Windows of all frames of a movie, in memory or block by block."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
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
    movie
        Shape ``(frames, height, width)``; its chunks are brought into whole frames.
    ends
        Number of the first window of each frame, and at last the number of all; shape
        ``(frames + 1,)``.
    xy
        Position of each window, shape ``(n, 2)``, frame after frame.
    size, order
        As in :func:`cut_stack`.
    """

    def __init__(
        self, movie: da.Array, ends: np.ndarray, xy: np.ndarray, size: int, order: int
    ) -> None:
        self.source = movie
        self.movie: Any = joined(movie)
        self.ends, self.xy, self.size, self.order = ends, xy, size, order
        self.name = f"windows-{uuid.uuid4().hex}"
        self.lengths: list[int] = []
        tasks = {}
        for block, frames, rows in self._parts():
            counts = np.diff(np.clip(ends[frames.start : frames.stop + 1], rows.start, rows.stop))
            place = (self.name, len(self.lengths), 0, 0)
            key = (self.movie.name, block, 0, 0)
            tasks[place] = (cut_block, key, counts, xy[rows], size, order, frames.start)
            self.lengths.append(rows.stop - rows.start)
        super().__init__(tasks)

    def __reduce__(self) -> Any:
        """Send tasks alone to a cluster; they hold all that it needs."""
        return MaterializedLayer, (self.mapping,)

    def array(self) -> da.Array:
        """Give the windows that the tasks cut, shape ``(n, size, size)``."""
        if not self.lengths:
            return da.empty((0, self.size, self.size), dtype=np.float32)
        graph = HighLevelGraph.from_collections(self.name, self, dependencies=[self.movie])
        chunks = (tuple(self.lengths), (self.size,), (self.size,))
        return da.Array(graph, self.name, chunks, dtype=np.float32)

    def only(self, rows: np.ndarray) -> da.Array:
        """Cut only some of the windows, by ascending number."""
        ends = np.searchsorted(rows, self.ends)
        return Cuts(self.source, ends, self.xy[rows], self.size, self.order).array()

    def _parts(self) -> Iterator[tuple[int, slice, slice]]:
        """Each block's number, its frames and windows of it, up to 64 MB of them."""
        step, first = max(1, AT_ONCE // self.size**2), 0
        for block, length in enumerate(self.movie.chunks[0]):
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
    return Cuts(movie, ends, xy, size, order).array()


def stack_channels(windows: list[np.ndarray | da.Array]) -> np.ndarray | da.Array:
    """Put windows ``(n, size, size)`` of several images side by side.

    Returns
    -------
    windows
        Shape ``(n, channels, size, size)``; a dask array if one of them is.
    """
    lazy = next((each for each in windows if isinstance(each, da.Array)), None)
    if lazy is None:
        return np.stack(windows, axis=1)
    return da.stack([da.asarray(each).rechunk(lazy.chunks) for each in windows], 1).rechunk({1: -1})


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
