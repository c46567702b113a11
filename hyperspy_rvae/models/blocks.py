"""Subimages larger than memory: a share of them to learn from, latents chunk by chunk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np

# One forward pass at a time: it uses all cores, and dask's threads would fight for them.
_forward = threading.Lock()

Encode = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def draw(X: Any, most: int | None, seed: int) -> Any:
    """Subimages to learn from, in memory: all, or `most` of them drawn without replacement."""
    if most is not None and most < len(X):
        drawn = np.random.default_rng(seed).choice(len(X), most, replace=False)
        X = (X if isinstance(X, da.Array) else np.asarray(X))[np.sort(drawn)]
    return X.compute() if isinstance(X, da.Array) else X


def encode(X: da.Array, encode_block: Encode, latents: int) -> da.Array:
    """Latents and then their standard deviations, ``(n, 2 * latents)``, in the chunks of X.

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
        encode_block,
        latents,
        drop_axis=tuple(range(1, X.ndim)),
        new_axis=1,
        chunks=(X.chunks[0], (2 * latents,)),
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )


def _encode_block(X: np.ndarray, encode_block: Encode, latents: int) -> np.ndarray:
    if not len(X):
        return np.empty((0, 2 * latents), np.float32)
    with _forward:
        return np.concatenate(encode_block(X), axis=1)
