"""Subimages larger than memory: a share of them to learn from, latents chunk by chunk."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np

from hyperspy_rvae.models.checks import check_rows
from hyperspy_rvae.models.cluster import cluster
from hyperspy_rvae.models.threads import alone

_MESSAGE = 10_000_000  # bytes; a larger model is not sent with the graph
_SAMPLE = 10_000  # subimages for scales and validation

Encode = Callable[[np.ndarray, Any], tuple[np.ndarray, np.ndarray]]


def drawn(count: int, most: int | None, seed: int) -> np.ndarray | None:
    """Ascending numbers of `most` of so many subimages, without replacement; None for all."""
    if most is None or most >= count:
        return None
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def draw(X: Any, most: int | None, seed: int) -> Any:
    """Subimages to learn from, in memory: all, or `most` of them drawn without replacement.

    What belongs to them row by row, such as their labels, is drawn alike.
    """
    rows = None if most is None else drawn(len(X), most, seed)
    if rows is not None:
        if hasattr(X, "iloc"):  # a pandas object keeps its names
            return X.iloc[rows]
        X = (X if isinstance(X, da.Array) else np.asarray(X))[rows]
    return X.compute() if isinstance(X, da.Array) else X


@dataclass(frozen=True)
class Streamed:
    """Lazy subimages that are learned from a part at a time, and the numbers of a sample of them.

    The context ``(n, c)`` is what belongs to each of them all.
    """

    X: da.Array
    rows: np.ndarray
    buffer: int
    context: np.ndarray


def to_learn(X: Any, most: int | None, buffer: int | None, seed: int) -> tuple[Any, Any]:
    """Subimages in memory to learn from; or a sample of them, and lazily all that there are.

    Parameters
    ----------
    X
        Subimages.
    most
        How many of them to learn from; all if None.
    buffer
        How many of a dask array may be in memory at once; None for all.
    seed
        Of the draw.

    Returns
    -------
    some, streamed
        The subimages in memory, and None or a :class:`Streamed` still without context.
    """
    if buffer is None or not isinstance(X, da.Array):
        return draw(X, most, seed), None
    rows = drawn(len(X), most, seed)
    X = X if rows is None else X[rows]
    rows = drawn(len(X), min(buffer, _SAMPLE), seed)
    rows = np.arange(len(X)) if rows is None else rows
    return X[rows].compute(), Streamed(X, rows, buffer, np.empty((len(X), 0), np.float32))


def draw_beside(name: str, given: Any, X: Any, most: int | None, seed: int) -> Any:
    """Draw what is given for each of the subimages as they are drawn; None stays None."""
    return None if given is None else draw(check_rows(name, given, len(X)), most, seed)


def encode(X: da.Array, condition: Any, encode_block: Encode, latents: int) -> da.Array:
    """Latents and then their standard deviations, ``(n, 2 * latents)``, in the chunks of X.

    Each chunk is encoded in one thread, that of its task: the scheduler, or the worker, says how
    many are at work at once. The model is a task of its own, which every worker is sent once.

    Parameters
    ----------
    X
        Subimages, shape ``(n, height, width)``, ``(n, channels, height, width)`` or flattened.
    condition
        None, or what belongs to each of them, shape ``(n,)`` or ``(n, k)``; of a dask array, blocks
        are computed with those of X.
    encode_block
        Gives both for subimages and conditions in memory.
    latents
        How many there are.
    """
    beside: list[Any] = []
    if condition is not None:
        if not isinstance(condition, da.Array):
            condition = da.from_array(np.asarray(condition), chunks=-1)
        wide = dict.fromkeys(range(1, condition.ndim), -1)
        beside = [condition.rechunk({0: X.chunks[0]} | wide), "nk"[: condition.ndim]]
    return da.blockwise(
        _encode_block,
        "nl",
        X.rechunk(dict.fromkeys(range(1, X.ndim), -1)),
        "nyxc"[: X.ndim],
        *beside,
        new_axes={"l": 2 * latents},
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
        encode_block=sent(encode_block),
        latents=latents,
    )


def sent(encode_block: Encode) -> Any:
    """Make it a task; where it is large and goes to a cluster, bring it to the workers now."""
    client = cluster()
    if client is not None and len(pickle.dumps(encode_block)) > _MESSAGE:
        return client.scatter(encode_block, broadcast=True, hash=False)
    name = f"model-{uuid.uuid4().hex}"
    return dask.delayed(_Sealed(encode_block), name=name, traverse=False)


class _Sealed:
    """What is pickled by the plain pickler, and arrives as it was.

    Beside an open HDF5 file distributed takes a pickler of its own, which fails at networks.
    """

    def __init__(self, encode_block: Encode) -> None:
        self.encode_block = encode_block

    def __call__(self, X: np.ndarray, condition: Any) -> tuple[np.ndarray, np.ndarray]:
        return self.encode_block(X, condition)

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return pickle.loads, (pickle.dumps(self.encode_block),)


def _encode_block(
    X: Any, condition: Any = None, *, encode_block: Encode, latents: int
) -> np.ndarray:
    X, condition = _only(X), _only(condition)
    if not len(X):
        return np.empty((0, 2 * latents), np.float32)
    with alone():
        return np.concatenate(encode_block(X, condition), axis=1)


def _only(block: Any) -> Any:
    # Of axes that are in one piece, dask gives lists of one block.
    while isinstance(block, list):
        (block,) = block
    return block
