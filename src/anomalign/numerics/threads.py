"""The processor cores of this process, one pool of threads for numerical work, and BLAS in one thread for each.

Libraries that each start one thread for each core share the cores badly: two cores then run four threads or more. Here
the whole process has one pool with one thread for each core, and a matrix product runs in the thread that calls it.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from anomalign.numerics.forks import ForkSafeLock

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def available_cores() -> int:
    """Number of cores that this process may use."""
    if _cores is not None:
        return _cores
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_cores(count: int) -> None:
    """Use at most so many cores in this process from now on; call it before the first work. Results do not change."""
    global _cores
    _cores = None
    _cores = min(count, available_cores())


@lru_cache(maxsize=1)
def pool() -> ThreadPoolExecutor:
    """The pool of the process, with one thread for each core. A task must not wait for another task."""
    return ThreadPoolExecutor(available_cores(), thread_name_prefix="anomalign")


def in_parallel(function: Callable[..., None], *arguments: Iterable[Any]) -> None:
    """Call a function for each of the arguments, on all cores, starting in their order; raises an error of a call.

    When this returns or raises, no call is running any more. Inside a task of the pool the calls run one by one.
    """
    tasks = deque(zip(*arguments, strict=False))  # one may be `itertools.repeat`
    if getattr(_thread, "working", False):  # all threads of the pool could be waiting here, with none to do the work
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
    """Reset the state in a child process: it has none of its parent's threads, so none will undo their BLAS limit."""
    global _limited
    pool.cache_clear()
    if _limited:
        _limited = 0
        _take_control()
        _unlimit.restore_original_limits()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


@contextmanager
def one_blas_thread() -> Generator[None, None, None]:
    """Run NumPy's matrix products in the calling thread, until the last of the callers has left this block."""
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
    """Let this thread set the limit: newer versions of threadpoolctl accept it only from the thread that set the first.

    The limit is one for the whole process; `_lock` keeps threads from setting it at the same time.
    """
    import threadpoolctl

    clear = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


@lru_cache(maxsize=1)
def _controller() -> "ThreadpoolController":
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_lock = ForkSafeLock()
_thread = threading.local()
_cores: int | None = None
_limited = 0
_unlimit: Any = None
