"""One thread to an operation: these are too small for more, and threads that wait cost dearly.

On a busy machine two threads of one small operation can take ten times as long as one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

_Task = TypeVar("_Task")
_lock = threading.Lock()
_inside = 0
_outside = 1
_here = threading.local()


@contextmanager
def one_thread() -> Iterator[int]:
    """Let torch use one thread per operation, and its former number again afterwards.

    Gives that former number. Contexts may overlap, in any threads.
    """
    global _inside, _outside
    with _lock:
        if _inside == 0:
            _outside = torch.get_num_threads()
            torch.set_num_threads(1)
        _inside += 1
        allowed = _outside
    try:
        yield allowed
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                torch.set_num_threads(_outside)


@contextmanager
def alone() -> Iterator[None]:
    """Let `share` keep to the calling thread, because others of its kind are at work beside it."""
    before = getattr(_here, "alone", False)
    _here.alone = True
    try:
        yield
    finally:
        _here.alone = before


def share(work: Callable[[_Task], None], tasks: list[_Task]) -> None:
    """Do independent tasks, each in one thread, as many at once as torch has threads."""
    with one_thread() as allowed:
        if allowed == 1 or len(tasks) < 2 or getattr(_here, "alone", False):
            for task in tasks:
                work(task)
            return
        # OpenMP asks each thread for its own number.
        with ThreadPoolExecutor(
            min(allowed, len(tasks)), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            list(pool.map(work, tasks))
