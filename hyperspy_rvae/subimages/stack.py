"""Windows of all frames of a movie, in memory or block by block."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pandas as pd

from hyperspy_rvae.subimages.windows import cut_windows

AT_ONCE = 2**24


def cut_stack(
    movie: np.ndarray | da.Array, table: pd.DataFrame, size: int, order: int = 3
) -> np.ndarray | da.Array:
    """Windows around all atoms of a movie, in the order of the table.

    Parameters
    ----------
    movie
        Shape ``(frames, height, width)``.
    table
        Columns ``frame``, ``x``, ``y``; sorted by frame.
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
    frame, xy = table["frame"].to_numpy(), table[["x", "y"]].to_numpy()
    if not isinstance(movie, da.Array):
        return cut_block(movie, frame, xy, size, order)
    whole = movie.rechunk({1: -1, 2: -1})
    ends = np.cumsum(whole.chunks[0])
    starts = ends - whole.chunks[0]
    parts = []
    for block, first, end in zip(whole.to_delayed().ravel(), starts, ends, strict=True):
        for rows in _pieces(frame, first, end, size):
            cut = dask.delayed(cut_block)(
                block, frame[rows] - first, xy[rows], size, order, int(first)
            )
            parts.append(da.from_delayed(cut, (rows.stop - rows.start, size, size), np.float32))
    return da.concatenate(parts) if parts else da.empty((0, size, size), dtype=np.float32)


def cut_block(
    movie: np.ndarray, frame: np.ndarray, xy: np.ndarray, size: int, order: int = 3, first: int = 0
) -> np.ndarray:
    """Windows around the atoms of some frames.

    Parameters
    ----------
    movie
        Shape ``(frames, height, width)``.
    frame
        Frame of each atom within `movie`, shape ``(n,)``, ascending.
    xy
        Positions, shape ``(n, 2)``, pixels.
    size, order
        As in :func:`cut_stack`.
    first
        Number of the first frame in the whole movie, for errors.

    Returns
    -------
    windows
        Shape ``(n, size, size)``, float32.
    """
    windows = np.empty((len(frame), size, size), dtype=np.float32)
    for k in np.unique(frame):
        rows = slice(*np.searchsorted(frame, [k, k + 1]))
        if not np.isfinite(movie[k]).all():
            raise ValueError(
                f"frame {first + k} has {np.sum(~np.isfinite(movie[k]))} pixels that are NaN or "
                "infinite; replace them (or leave the frame out with inav) before cutting "
                "subimages."
            )
        windows[rows] = cut_windows(movie[k], xy[rows], size, order)
    return windows


def _pieces(frame: np.ndarray, first: int, end: int, size: int) -> list[slice]:
    """Slices of the atoms in frames `first` to `end`, of up to 64 MB of windows each."""
    start, stop = np.searchsorted(frame, [first, end])
    step = max(1, AT_ONCE // size**2)
    return [slice(k, min(k + step, stop)) for k in range(start, stop, step)]
