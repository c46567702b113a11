"""One task a frame, for images and movies, in memory or lazy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import hyperspy.api as hs
import numpy as np
import pandas as pd

from hyperspy_rvae.lattice.columns import gather, join, take_apart
from hyperspy_rvae.signals.computing import chosen, compute, one_thread
from hyperspy_rvae.signals.reading import naming_frames, read_frame, unreadable

if TYPE_CHECKING:
    from hyperspy.signals import BaseSignal


TOGETHER = 64  # tables of frames, whose columns then are large enough to be freed one by one


def each_frame(
    function: Callable[..., pd.DataFrame],
    movie: np.ndarray | da.Array,
    arguments: Sequence[tuple[Any, ...]],
    show_progressbar: bool | None = None,
) -> pd.DataFrame:
    """Call ``function(frame, *arguments[k])`` for every frame and put the tables together.

    The calls run one after the other, because each uses threads of its own; where dask has been
    given a scheduler or a cluster, as many at once as that has threads, each in one of them.

    Parameters
    ----------
    function
        Takes an image, shape ``(height, width)``, and gives a table.
    movie
        Shape ``(frames, height, width)``.
    arguments
        Further positional arguments, one tuple a frame.
    show_progressbar
        If not given, HyperSpy's preference. A single image has none.
    """
    tasks = [
        dask.delayed(_named)(function, frame, number, given, chosen())
        for number, (frame, given) in enumerate(zip(single_frames(movie), arguments, strict=True))
    ]
    groups = [
        dask.delayed(_gathered)(tasks[first : first + TOGETHER])
        for first in range(0, len(tasks), TOGETHER)
    ]
    show = len(movie) > 1 and wants_progress(show_progressbar)
    with naming_frames(movie):
        found = compute(groups, show=show, scheduler="synchronous")
    lengths = np.concatenate([numbers for _, numbers in found])
    tables = [table for table, _ in found]
    del found
    return join(tables, np.repeat(np.arange(len(lengths)), lengths))


def single_frames(movie: np.ndarray | da.Array) -> Iterator[Any]:
    """Give each frame of a movie; of a lazy one as a task that shares its chunk with the others.

    Slices of a dask array would each read the whole chunk again.
    """
    if not isinstance(movie, da.Array):
        yield from movie
        return
    whole = movie.rechunk({1: -1, 2: -1})
    for block, length in zip(whole.to_delayed().ravel(), whole.chunks[0], strict=True):
        yield from (block[k] for k in range(length))


def in_turn(movie: np.ndarray | da.Array) -> Iterator[tuple[int, np.ndarray]]:
    """Give number and pixels of each frame; of a lazy movie a chunk at a time, each read once."""
    if not isinstance(movie, da.Array):
        yield from enumerate(movie)
        return
    number, whole = 0, movie.rechunk({1: -1, 2: -1})
    for block, length in zip(whole.to_delayed().ravel(), whole.chunks[0], strict=True):
        try:
            frames = block.compute()
        except Exception as error:
            raise unreadable(number, number + length, error) from error
        for frame in frames:
            yield number, frame
            number += 1


def fold_frames(
    function: Callable[..., tuple[Any, np.ndarray]],
    movie: np.ndarray | da.Array,
    *arguments: Any,
    show_progressbar: bool | None = None,
) -> np.ndarray:
    """Call ``carried, result = function(carried, frame, *arguments)`` frame after frame.

    Every frame is read once. What is carried from one frame to the next is None at the start.

    Parameters
    ----------
    function
        Takes what the frame before left, and an image, shape ``(height, width)``.
    movie
        Shape ``(frames, height, width)``.
    *arguments
        Further positional arguments.
    show_progressbar
        If not given, HyperSpy's preference.

    Returns
    -------
    results
        Stacked, one row a frame.
    """
    carried, results = None, []
    for number, frame in enumerate(single_frames(movie)):
        both = dask.delayed(_folded)(function, carried, frame, number, arguments)
        carried, result = both[0], both[1]
        results.append(result)
    show = wants_progress(show_progressbar)
    with naming_frames(movie):
        return np.stack(compute(results, show=show, scheduler="synchronous"))


def each_table(
    function: Callable[..., Any], tables: Sequence[Any], show_progressbar: bool | None = None
) -> list[Any]:
    """Call ``function(table)`` for each frame's atoms, as :func:`each_frame` does for images."""
    tasks = [dask.delayed(function)(table) for table in tables]
    show = wants_progress(show_progressbar) and len(tasks) > 1
    return list(compute(tasks, show=show, scheduler="synchronous"))


def frame_of(image: BaseSignal | np.ndarray, frame: int, shape: tuple[int, int]) -> np.ndarray:
    """One frame of a signal, or the one image that an array is, shape ``(height, width)``.

    Raises
    ------
    ValueError
        If it has other than `shape` pixels, or no such frame.
    """
    data = image if isinstance(image, np.ndarray) else getattr(image, "data", np.empty(0))
    if data.ndim < 2 or data.shape[-2:] != shape:
        raise ValueError(
            f"image is of shape {data.shape}, and the atoms are on one of {shape} (y, x); give the "
            "image that they were cut from."
        )
    movie = data.reshape(-1, *shape)
    if len(movie) > 1 and frame not in range(len(movie)):
        raise ValueError(f"image has frames 0 to {len(movie) - 1}, not {frame!r}.")
    return read_frame(movie, frame if len(movie) > 1 else 0)


def wants_progress(show_progressbar: bool | None) -> bool:
    """Take the user's word, or else HyperSpy's preference."""
    return hs.preferences.General.show_progressbar if show_progressbar is None else show_progressbar


def _named(
    function: Callable[..., pd.DataFrame],
    frame: np.ndarray,
    number: int,
    arguments: tuple[Any, ...],
    beside_others: bool,
) -> dict[str, Any]:
    try:
        with one_thread(beside_others):
            table = function(np.asarray(frame), *arguments)
        return take_apart(table)
    except ValueError as error:
        raise ValueError(f"frame {number}: {error}") from error


def _gathered(tables: list[dict[str, Any]]) -> tuple[dict[str, Any], list[int]]:
    lengths = [len(next(iter(table.values()))) for table in tables]
    return gather([dict(table) for table in tables]), lengths  # a worker may need its own again


def _folded(
    function: Callable[..., tuple[Any, np.ndarray]],
    carried: Any,
    frame: np.ndarray,
    number: int,
    arguments: tuple[Any, ...],
) -> tuple[Any, np.ndarray]:
    try:
        return function(carried, np.asarray(frame), *arguments)
    except ValueError as error:
        raise ValueError(f"frame {number}: {error}") from error
