"""Loops compiled by Numba: one way for all of them, kept between processes wherever a folder can be written."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba

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
