"""Loops compiled by Numba: one way for all of them, kept between processes wherever a folder can be written."""

import gc
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba
from numba.core import event

_Function = TypeVar("_Function", bound=Callable[..., Any])

# Sums may be taken in any order: without that leave they could not use vector instructions.
_OPTIONS: dict[str, Any] = {"fastmath": {"contract", "reassoc", "nsz"}, "error_model": "numpy"}


def compiled(function: _Function) -> _Function:
    """Compile a function of arrays, to be called from Python; it may allocate nothing.

    Tuples of arrays should be plain ones: of a named one the class goes into what is kept, and a later version of the
    package in which it has another name could not read that.
    """
    compile_: Any = partial(
        numba.njit,
        **_OPTIONS,
        nogil=True,
        no_cfunc_wrapper=True,
        _nrt=False,  # nothing is allocated in here, so no references need be counted
    )
    try:
        result: _Function = compile_(cache=True)(function)
    except RuntimeError:  # no folder to keep compiled code in can be written: compile in every process
        result = compile_()(function)
    return result


def inlined(function: _Function) -> _Function:
    """Make a function part of the compiled ones that call it, of the same file: compiling it by itself takes longer."""
    result: _Function = numba.njit(**_OPTIONS, inline="always")(function)
    return result


class _NoCollection(event.Listener):
    """Keep the garbage collector off while a loop of ours is compiled: a tenth of the time, for nothing."""

    def __init__(self) -> None:
        self._running, self._was_on = 0, False

    def on_start(self, event: Any) -> None:  # under the compiler's lock, as `on_end`
        if _ours(event):
            if self._running == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._running += 1

    def on_end(self, event: Any) -> None:
        if _ours(event):
            self._running -= 1
            if self._running == 0 and self._was_on:
                gc.enable()


def _ours(event: Any) -> bool:
    module: str = event.data["dispatcher"].py_func.__module__
    return module.startswith("anomalign.")


event.register("numba:compile", _NoCollection())  # type: ignore[no-untyped-call]
