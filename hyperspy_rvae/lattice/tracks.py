"""Atoms followed from frame to frame, by trackpy's linker."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from tqdm.auto import tqdm

_MOST_HOPS = 0.5  # of a frame's atoms; where more are lost, it is not that they hop
_SMALLEST = 0.2  # of the reach; below that, a crowd of atoms cannot be told apart


def link_tracks(
    positions: Sequence[np.ndarray],
    reach: float,
    hop: float = 0.0,
    memory: int = 0,
    *,
    show_progress: bool = False,
) -> list[np.ndarray]:
    """Give atoms numbers that they keep through a movie.

    Atoms are linked within `reach` first, all of two frames together so that the sum of the
    squared steps is least (Crocker and Grier, J. Colloid Interface Sci. 179, 298, 1996). What
    then ends in one frame for good is linked with what begins in the next, within `hop`; and what
    ends is linked with what begins up to `memory` frames later than the next, within `reach`.

    Parameters
    ----------
    positions
        One array of shape ``(n, 2)`` a frame, drift taken off; n may be 0.
    reach
        Largest step of an atom from frame to frame.
    hop
        Largest hop of an atom to an empty place; 0 for none.
    memory
        Frames for which an atom may be unseen and keep its number.
    show_progress
        Whether to show a bar that counts frames.

    Returns
    -------
    tracks
        One array of shape ``(n,)`` a frame, int; numbers start at 0 in the order of appearance.

    Raises
    ------
    ValueError
        If too many atoms lie within `reach` of one another.
    """
    places = [np.asarray(here, dtype=np.float64).reshape(-1, 2) for here in positions]
    tracks = _link(places, reach, show_progress)
    if hop > reach:
        tracks = _join(places, tracks, hop, 1, _gone_for_good(places, tracks, reach, memory))
    for gap in range(2, memory + 2):
        tracks = _join(places, tracks, reach, gap)
    ends = np.cumsum([len(here) for here in tracks])[:-1]
    seen = np.concatenate(tracks) if tracks else np.empty(0, dtype=np.int64)
    del tracks
    return np.split(pd.factorize(seen)[0], ends)


def followed_shares(tracks: Sequence[np.ndarray]) -> np.ndarray:
    """Share of each frame's atoms that are in the frame after it as well.

    Parameters
    ----------
    tracks
        As :func:`link_tracks` gives them.

    Returns
    -------
    shares
        Shape ``(frames - 1,)``; NaN where either frame has no atoms.
    """
    return np.array(
        [
            np.isin(here, after).mean() if len(here) and len(after) else np.nan
            for here, after in pairwise(tracks)
        ]
    )


def _link(
    places: Sequence[np.ndarray], reach: float, show_progress: bool = False
) -> list[np.ndarray]:
    from trackpy.linking import SubnetOversizeException, link_iter

    with _silent():
        steps = link_iter(places, reach, adaptive_stop=_SMALLEST * reach)
        try:
            frames = tqdm(steps, "frames", len(places), disable=not show_progress)
            return [np.asarray(numbers, dtype=np.int64) for _, numbers in frames]
        except SubnetOversizeException as error:
            raise ValueError(
                f"too many atoms lie within {reach:g} px of one another to be followed; give a "
                "smaller reach, below half the distance between neighbours."
            ) from error


def _join(
    places: Sequence[np.ndarray],
    tracks: Sequence[np.ndarray],
    reach: float,
    gap: int,
    ended: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Give tracks that begin the number of those that ended `gap` frames before, within reach.

    With `ended`, which says of each track whether it may go on so, frames are left alone in which
    most tracks end.
    """
    first, last = _spans(tracks)
    became = np.arange(len(first))
    for frame in range(gap, len(tracks)):
        here, before = tracks[frame], tracks[frame - gap]
        new = np.flatnonzero(first[here] == frame)
        old = np.flatnonzero(last[before] == frame - gap)
        if ended is not None:
            old = old[ended[before[old]]] if len(old) <= _MOST_HOPS * len(before) else old[:0]
        if not len(new) or not len(old):
            continue
        start, end = _link([places[frame - gap][old], places[frame][new]], reach)
        for place in np.flatnonzero(np.isin(end, start)):
            became[here[new[place]]] = became[before[old[start == end[place]][0]]]
    return [became[here] for here in tracks]


def _gone_for_good(
    places: Sequence[np.ndarray], tracks: Sequence[np.ndarray], reach: float, memory: int
) -> np.ndarray:
    """Whether nothing appears where a track has ended, as long as it is remembered."""
    first, last = _spans(tracks)
    gone = np.ones(len(first), dtype=bool)
    for frame, here in enumerate(tracks):
        ends = np.flatnonzero(last[here] == frame)
        for later in range(frame + 2, min(frame + 2 + memory, len(tracks))):
            begins = places[later][first[tracks[later]] == later]
            if len(begins) and len(ends):
                distance = np.asarray(cKDTree(begins).query(places[frame][ends])[0])
                gone[here[ends[distance <= reach]]] = False
    return gone


def _spans(tracks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """First and last frame of each track, shape ``(tracks,)`` each."""
    track = np.concatenate(tracks)
    frame = np.repeat(np.arange(len(tracks)), [len(here) for here in tracks])
    first = np.full(track.max(initial=-1) + 1, len(tracks))
    last = np.full(len(first), -1)
    np.minimum.at(first, track, frame)
    np.maximum.at(last, track, frame)
    return first, last


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep trackpy from printing a line a frame."""
    import trackpy  # noqa: F401  its import sets the level

    logger = logging.getLogger("trackpy")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
