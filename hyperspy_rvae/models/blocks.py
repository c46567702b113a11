"""Subimages larger than memory: a share of them to learn from, latents chunk by chunk."""

from __future__ import annotations

import pickle
import sys
import uuid
from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np

from hyperspy_rvae.models.threads import alone

_MESSAGE = 10_000_000  # bytes; a larger model is not sent with the graph
_SAMPLE = 10_000  # subimages for scales and validation

Encode = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def drawn(count: int, most: int | None, seed: int) -> np.ndarray | None:
    """Ascending numbers of `most` of so many subimages, without replacement; None for all."""
    if most is None or most >= count:
        return None
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def draw(X: Any, most: int | None, seed: int) -> Any:
    """Subimages to learn from, in memory: all, or `most` of them drawn without replacement."""
    rows = drawn(len(X), most, seed)
    if rows is not None:
        X = (X if isinstance(X, da.Array) else np.asarray(X))[rows]
    return X.compute() if isinstance(X, da.Array) else X


def sample(X: da.Array, buffer: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw some of the subimages that training will stream; they and their numbers."""
    rows = drawn(len(X), min(buffer, _SAMPLE), seed)
    rows = np.arange(len(X)) if rows is None else rows
    return X[rows].compute(), rows


def encode(X: da.Array, encode_block: Encode, latents: int) -> da.Array:
    """Latents and then their standard deviations, ``(n, 2 * latents)``, in the chunks of X.

    Each chunk is encoded in one thread, that of its task: the scheduler, or the worker, says how
    many are at work at once. The model is a task of its own, which every worker is sent once.

    Parameters
    ----------
    X
        Subimages, shape ``(n, height, width)`` or ``(n, height * width)``.
    encode_block
        Gives both for subimages in memory.
    latents
        How many there are.
    """
    return X.rechunk(dict.fromkeys(range(1, X.ndim), -1)).map_blocks(
        _encode_block,
        encode_block=sent(encode_block),
        latents=latents,
        drop_axis=tuple(range(1, X.ndim)),
        new_axis=1,
        chunks=(X.chunks[0], (2 * latents,)),
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )


def sent(encode_block: Encode) -> Any:
    """Make it a task; where it is large and there is a cluster, bring it to the workers now."""
    if "distributed" in sys.modules and len(pickle.dumps(encode_block)) > _MESSAGE:
        from distributed import get_client

        try:
            return get_client().scatter(encode_block, broadcast=True, hash=False)
        except ValueError:  # there is no cluster
            pass
    return dask.delayed(encode_block, name=f"model-{uuid.uuid4().hex}", traverse=False)


def _encode_block(X: np.ndarray, encode_block: Encode, latents: int) -> np.ndarray:
    if not len(X):
        return np.empty((0, 2 * latents), np.float32)
    with alone():
        return np.concatenate(encode_block(X), axis=1)
