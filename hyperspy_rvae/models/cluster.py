"""Which cluster lazy work goes to, where there is one."""

from __future__ import annotations

import sys
from typing import Any

from dask.base import get_scheduler


def cluster() -> Any:
    """Client of the cluster that dask computes on; None where it computes here, and in a task.

    ``dask.config.set(scheduler=...)`` goes before an active client, here as everywhere in dask.
    """
    if "distributed" not in sys.modules or at_a_task():
        return None
    return getattr(get_scheduler(), "__self__", None)  # that of threads is a function


def at_a_task() -> bool:
    """Whether this thread is a cluster's worker at a task; it must not wait for other tasks."""
    if "distributed" not in sys.modules:
        return False
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True
