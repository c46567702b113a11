"""What arrays of a file declare, and what the file holds of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask.array as da
import numpy as np

MOST_BYTES = 2**31  # of one array
HARMLESS = 2**24  # bytes of all that belong together, whatever is stored
MOST_PACKED = 1000  # times; what is measured is packed ten times, a grid of seeds three hundred


def check_declared(value: Any, where: str) -> None:
    """Refuse lazy arrays that are far larger than what their file holds of them.

    A file can declare any shape and store nothing, or zeros that are packed to almost nothing.

    Parameters
    ----------
    value
        An array, a list, or a dict of these; what belongs together and is read together.
    where
        Its place in the metadata, for the error.

    Raises
    ------
    ValueError
        If one of them declares more than 2 GB, or all together more than 16 MB and a thousand times
        what is stored.
    """
    arrays = list(_lazy_arrays(value))
    for array in arrays:
        if array.nbytes > MOST_BYTES:
            raise ValueError(
                f"metadata.{where} declares {array.nbytes} bytes, at most {MOST_BYTES} are read; "
                "the file is damaged."
            )
    declared = sum(array.nbytes for array in arrays)
    if declared > HARMLESS:
        stored = sum(_stored(array) for array in arrays)
        if declared > MOST_PACKED * stored:
            raise ValueError(
                f"metadata.{where} declares {declared} bytes and the file stores {stored} of them, "
                f"less than one in {MOST_PACKED}; the file is damaged."
            )


def _lazy_arrays(value: Any) -> Iterator[da.Array]:
    waiting = [value]  # no recursion, however deep a stranger's file is
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif isinstance(item, da.Array):
            yield item


def _stored(array: da.Array) -> int:
    """Bytes of what a lazy array reads from: a dataset of a file, or an array in memory."""
    total = 0
    for layer in array.dask.layers.values():
        for source in layer.values() if layer.is_materialized() else ():
            if isinstance(source, np.ndarray):
                total += source.nbytes
            elif hasattr(source, "nbytes_stored"):  # zarr
                total += max(0, source.nbytes_stored)
            elif hasattr(getattr(source, "id", None), "get_storage_size"):  # HDF5
                total += source.id.get_storage_size()
    return total
