"""Compiled loops over atoms and rows, and the threads that share them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba

# Sums in any order, but NaN and infinity as they are: they mark what has no answer.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"},
    "error_model": "numpy",
}
FEW = 64  # atoms or rows that are not worth a thread


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function at its first call, without Python's lock, and keep it on disk if one can.

    Where no folder can be written, as in some read-only installations, numba refuses to cache;
    then every session compiles anew.
    """
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:
        return numba.njit(**OPTIONS)(function)


def in_threads(
    function: Callable[..., Any], size: int, *arguments: Any, few: int = FEW
) -> list[Any]:
    """Call ``function(first, last, *arguments)`` on consecutive parts of ``range(size)``.

    numba's own parallel loops are not used: they must not meet in threads of dask. Parts have at
    least `few` elements.

    Returns
    -------
    results
        In order of the parts, one a thread; there are as many threads as numba is allowed.
    """
    parts = max(1, min(numba.get_num_threads(), size // few))
    edges = [size * part // parts for part in range(parts + 1)]
    if parts == 1:
        return [function(0, size, *arguments)]
    with ThreadPoolExecutor(parts) as pool:
        calls = [
            pool.submit(function, first, last, *arguments)
            for first, last in itertools.pairwise(edges)
        ]
        return [call.result() for call in calls]
