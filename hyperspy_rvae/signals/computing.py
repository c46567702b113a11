"""Where lazy work is done: in threads here, or on the cluster that is active, and its progress."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import dask
import numba
from dask.base import get_scheduler
from dask.diagnostics import ProgressBar

from hyperspy_rvae.models.cluster import cluster


def compute(tasks: list[Any], *, show: bool, scheduler: str | None = None) -> tuple[Any, ...]:
    """Compute lazy objects together, with a progress bar if wanted.

    Parameters
    ----------
    tasks
        dask's arrays or delayed calls.
    show
        Whether to show progress. dask's own bar shows that of threads, distributed's that of a
        cluster.
    scheduler
        Where to compute if the user has given neither a scheduler nor a cluster; if not given,
        dask's default.
    """
    client = cluster()
    if client is not None and show:
        from distributed import progress

        futures = client.compute(tasks)
        progress(futures, notebook=False)
        return tuple(client.gather(futures))
    with ProgressBar() if show else contextlib.nullcontext():
        return dask.compute(*tasks, scheduler=get_scheduler() or scheduler)


def chosen() -> bool:
    """Whether the user has given dask a scheduler or a cluster."""
    return get_scheduler() is not None


@contextlib.contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Keep compiled loops to the calling thread, where others are at work beside it."""
    before = numba.get_num_threads()
    if wanted:
        numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
