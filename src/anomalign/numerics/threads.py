"""The processor cores of this process: how many, one pool of threads for numerical work, BLAS kept to one thread each.

Libraries that each start a thread a core take turns badly: two cores then carry four threads or more. Here the threads
are ours, one a core for the whole process, and a matrix product that one of them calls stays within it.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def pool() -> ThreadPoolExecutor:
    """The threads, one a core, for all calls of all threads. A task must not wait for another."""
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="anomalign")


def in_parallel(function: Callable[..., None], *arguments: Iterable[Any]) -> None:
    """Call a function for each of the arguments, on all cores, begun in their order; an error is the caller's.

    When it returns or raises, none of the calls is still running. Within a task of another, calls are made one by one.
    """
    tasks = deque(zip(*arguments, strict=False))  # one may be `itertools.repeat`
    if getattr(_thread, "working", False):  # the other threads may be waiting here, too: nobody would do the work
        while tasks:
            function(*tasks.popleft())
        return

    def work() -> None:
        _thread.working = True
        try:
            while tasks:
                try:
                    task = tasks.popleft()
                except IndexError:  # another thread has taken the last
                    return
                function(*task)
        except BaseException:
            tasks.clear()
            raise
        finally:
            _thread.working = False

    workers = [pool().submit(work) for _ in range(min(len(tasks), available_cores()))]
    try:
        wait(workers)
    except BaseException:  # Ctrl-C
        tasks.clear()
        wait(workers)
        raise
    for worker in workers:
        worker.result()


def _forget_parent() -> None:
    """A child process has none of its parent's threads, and nobody in it will take back limits that they have set."""
    global _lock, _limited
    pool.cache_clear()
    _lock = threading.Lock()
    if _limited:
        _limited = 0
        _take_control()
        _unlimit.restore_original_limits()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


@contextmanager
def one_blas_thread() -> Generator[None, None, None]:
    """Keep NumPy's matrix products to the thread that calls them, until the last of the callers has left."""
    global _limited, _unlimit
    with _lock:
        if _limited == 0:
            _take_control()
            _unlimit = _controller().limit(limits=1, user_api="blas")
        _limited += 1
    try:
        yield
    finally:
        with _lock:
            _limited -= 1
            if _limited == 0:
                _take_control()
                _unlimit.restore_original_limits()


def _take_control() -> None:
    """Let this thread set limits: newer versions of threadpoolctl heed the first thread that sets one, and no other.

    The limit is one for the whole process, and that threads do not set it against each other is seen to here.
    """
    import threadpoolctl

    clear = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


@lru_cache(maxsize=1)
def _controller() -> "ThreadpoolController":
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_lock = threading.Lock()
_thread = threading.local()
_limited = 0
_unlimit: Any = None
