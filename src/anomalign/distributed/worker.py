"""What runs in the process of a worker."""

import contextlib
import os
import platform
import threading
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import wait
from typing import Any, Protocol

from anomalign.errors import AnomalignError
from anomalign.numerics.threads import limit_cores


class Recipe(Protocol):
    """Tells a worker what to open once, for all of its tasks."""

    def open(self) -> Any:
        """Open it."""


Task = Callable[[Any], Any]
"""Called with what the recipe has opened."""


class Worker:
    """Opens what its recipe says, and then does one task after the other on one core.

    An error of this package is returned, not raised: Ray would wrap it in one of its own.
    """

    def __init__(self) -> None:
        self._opened: Any = None

    def begin(self, recipe: Recipe, folder: str | None = None) -> "int | AnomalignError":
        """Open what the recipe says; return the number of this process.

        `folder` is the working folder of the process that gives the tasks: relative paths mean the same here.
        """
        limit_cores(1)
        if folder is not None:
            with contextlib.suppress(OSError):  # not on this machine: a file that is not found will be named
                os.chdir(folder)
        try:
            self._opened = recipe.open()
        except AnomalignError as error:
            return error if folder is None else type(error)(f"{error} (on the machine {platform.node()})")
        return os.getpid()

    def run(self, task: Task) -> Any:
        """Do a task."""
        try:
            return task(self._opened)
        except AnomalignError as error:
            return error


_worker = Worker()


def begin(recipe: Recipe) -> "int | AnomalignError":
    """Make this process a worker that ends with its parent, also if that is killed."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    return _worker.begin(recipe)


def run(task: Task) -> Any:
    """Do a task in this process."""
    return _worker.run(task)


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
