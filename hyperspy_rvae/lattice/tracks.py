"""Atoms followed from frame to frame, by trackpy's linker."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

_MOST_HOPS = 0.5  # of a frame's atoms; where more are lost, it is not that they hop
_SMALLEST = 0.2  # of the reach; below that, a crowd of atoms cannot be told apart


def link_tracks(
    positions: Sequence[np.ndarray], reach: float, hop: float = 0.0, memory: int = 0
) -> list[np.ndarray]:
    """Give atoms numbers that they keep through a movie.

    Atoms are linked within `reach` first, all of two frames together so that the sum of the
    squared steps is least (Crocker and Grier, J. Colloid Interface Sci. 179, 298, 1996). What
    then ends in one frame is linked with what begins in the next, within `hop`.

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

    Returns
    -------
    tracks
        One array of shape ``(n,)`` a frame, int; numbers start at 0 in the order of appearance.

    Raises
    ------
    ValueError
        If too many atoms lie within `reach` of one another.
    """
    tracks = _link(positions, reach, memory)
    if hop > reach:
        tracks = _join_hops(positions, tracks, hop)
    seen = np.concatenate(tracks) if tracks else np.empty(0, dtype=np.int64)
    names, first, code = np.unique(seen, return_index=True, return_inverse=True)
    order = np.empty(len(names), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(names))
    return np.split(order[code], np.cumsum([len(here) for here in tracks])[:-1])


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


def _link(positions: Sequence[np.ndarray], reach: float, memory: int) -> list[np.ndarray]:
    from trackpy.linking import SubnetOversizeException, link_iter

    places = [np.asarray(here, dtype=np.float64).reshape(-1, 2) for here in positions]
    with _silent():
        try:
            linked = list(link_iter(places, reach, memory=memory, adaptive_stop=_SMALLEST * reach))
        except SubnetOversizeException as error:
            raise ValueError(
                f"too many atoms lie within {reach:g} px of one another to be followed; give a "
                "smaller reach, below half the distance between neighbours."
            ) from error
    return [np.asarray(numbers, dtype=np.int64) for _, numbers in linked]


def _join_hops(
    positions: Sequence[np.ndarray], tracks: Sequence[np.ndarray], hop: float
) -> list[np.ndarray]:
    """Give tracks that begin where another has just ended the number of that one."""
    joined = [here.copy() for here in tracks]
    last = {int(track): frame for frame, here in enumerate(tracks) for track in here}
    begun: set[int] = set(joined[0].tolist()) if joined else set()
    became: dict[int, int] = {}
    for frame in range(1, len(tracks)):
        new = np.array([track not in begun for track in tracks[frame].tolist()], dtype=bool)
        gone = np.array([last[track] == frame - 1 for track in tracks[frame - 1].tolist()], bool)
        begun.update(tracks[frame].tolist())
        if not new.any() or not gone.any() or gone.mean() > _MOST_HOPS:
            continue
        from_, to = np.flatnonzero(gone), np.flatnonzero(new)
        start, end = _link([positions[frame - 1][from_], positions[frame][to]], hop, 0)
        for place in np.flatnonzero(np.isin(end, start)):
            old = int(tracks[frame - 1][from_[start == end[place]][0]])
            became[int(tracks[frame][to[place]])] = became.get(old, old)
    if became:
        joined = [np.array([became.get(t, t) for t in here.tolist()], np.int64) for here in joined]
    return joined


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
