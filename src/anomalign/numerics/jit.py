"""Loops compiled by Numba, all with the same options, and cached on disk where a folder can be written."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])

# Sums may be computed in any order: otherwise the compiler could not use vector instructions.
_OPTIONS: dict[str, Any] = {"fastmath": {"contract", "reassoc", "nsz"}, "error_model": "numpy"}


def compiled(function: _Function) -> _Function:
    """Compile a function of arrays that Python calls. The function may not allocate memory.

    Tuples of arrays should be plain ones: the cache would contain the class of a named tuple, and a later version of
    the package in which the class has another name could not read the cache.
    """
    compile_: Any = partial(
        numba.njit,
        **_OPTIONS,
        nogil=True,
        no_cfunc_wrapper=True,
        _nrt=False,  # nothing is allocated, so references need not be counted
    )
    try:
        result: _Function = compile_(cache=True)(function)
    except RuntimeError:  # no folder for the cache can be written: compile in every process
        result = compile_()(function)
    return result


def inlined(function: _Function) -> _Function:
    """Inline a function into the compiled functions of its file that call it: compiling it by itself takes longer."""
    result: _Function = numba.njit(**_OPTIONS, inline="always")(function)
    return result
