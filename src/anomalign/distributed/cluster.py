"""Workers that are actors of a Ray cluster."""

import logging
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from types import ModuleType, TracebackType
from typing import Any

from anomalign.distributed.worker import Recipe, Task, Worker
from anomalign.errors import InputError
from anomalign.numerics.threads import available_cores

LOCAL = "local"
_PATIENCE_S = 10.0
_STORE_BYTES = 64_000_000  # for each worker: four tasks with their results


class Cluster:
    """A site whose workers are actors of a Ray cluster, each with one processor.

    Ray sends tasks and results by pickle, so the cluster must be private: see docs/scale.md.

    Parameters
    ----------
    address : str
        As for ``ray.init``: ``auto``, ``HOST:PORT``, ``ray://HOST:PORT``; or ``local`` for a cluster of this machine
        alone, which ends with the work.
    count : int, optional
        Number of workers. Default: the processors that the cluster has when the work begins.

    Attributes
    ----------
    count : int
    lost : tuple of exception types
        What a worker's future raises if the worker has ended.

    Raises
    ------
    InputError
        Ray is not installed, or there is no cluster at the address.
    """

    place = "free processor of the cluster"

    def __init__(self, address: str, count: int | None = None) -> None:
        if count is not None and count < 1:
            raise InputError(f"workers is {count}; must be 1 or more")
        self._ray = _import_ray()
        self._address = address
        self._is_mine = False
        self.count = count or 1
        self._count = count
        errors = self._ray.exceptions
        self.lost: tuple[type[Exception], ...] = (
            errors.RayActorError,
            errors.ObjectLostError,
            errors.WorkerCrashedError,
            errors.NodeDiedError,
        )

    def __enter__(self) -> "Cluster":
        """Connect, or start the cluster of this machine; one that this process is connected to already is used."""
        if not self._ray.is_initialized():
            self._connect()
            self._is_mine = True
        processors = int(self._ray.cluster_resources().get("CPU", 0))
        self.count = self._count or max(1, processors)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_mine:
            self._ray.shutdown()

    def hire(self, recipe: Recipe) -> "Actor":
        """Ask for a worker; the cluster starts it when it has a free processor."""
        return Actor(self._ray, recipe)

    def _connect(self) -> None:
        options: dict[str, Any] = {"address": self._address, "logging_level": logging.ERROR, "log_to_driver": False}
        if self._address == LOCAL:
            # Ray would report its use over the network, and serve a page that shows the work.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            cores = self._count or available_cores()
            memory = max(200_000_000, cores * _STORE_BYTES)
            options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": memory}
        try:
            _knock(self._address)
            self._ray.init(**options)
            _speak_on_stderr()
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise InputError(
                f"ray is {self._address!r}: no cluster answers there ({_last_line(error)}); give the address that "
                "the head node printed, and the cluster's token in RAY_AUTH_TOKEN if it has one; or give local"
            ) from error


def _speak_on_stderr() -> None:
    """Have Ray say on standard error what it has to say of the cluster; it would print it among our results."""
    from ray._private import worker

    say = worker.print_to_stdstream
    worker.print_to_stdstream = lambda data, *others, **named: say({**data, "is_err": True}, *others, **named)


class Actor:
    """A worker of the cluster.

    Attributes
    ----------
    ready : Future
        Done when the worker has opened its recipe; the result is its process number, or an error of this package.
    """

    def __init__(self, ray: ModuleType, recipe: Recipe) -> None:
        self._ray = ray
        make: Callable[[], Any] = ray.remote(Worker).options(num_cpus=1).remote
        self._handle = make()
        self.ready: Future[Any] = self._handle.begin.remote(recipe, os.getcwd()).future()  # noqa: PTH109

    def submit(self, task: Task) -> "Future[Any]":
        """Give the worker a task."""
        future: Future[Any] = self._handle.run.remote(task).future()
        return future

    def end(self) -> None:
        """End the worker, whatever it is doing."""
        if self._ray.is_initialized():
            self._ray.kill(self._handle)


def _knock(address: str) -> None:
    """Raise OSError where nothing listens: Ray itself tries for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_S).close()


def _import_ray() -> ModuleType:
    try:
        import_module("ray.exceptions")
        return import_module("ray")
    except ImportError as error:
        raise InputError("Ray is not installed; install it with: pip install 'anomalign[ray]'") from error


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
