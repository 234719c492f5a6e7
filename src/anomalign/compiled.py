"""Loops compiled by Numba: one way for all of them, kept between processes wherever a folder can be written."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function, **options: Any) -> _Function:
    """Compile a function of arrays that is called from other compiled ones; it may allocate nothing."""
    # Sums may be taken in any order: without that leave they could not use vector instructions.
    fixed = {
        "nogil": True,
        "fastmath": {"contract", "reassoc", "nsz"},
        "error_model": "numpy",
        "no_cfunc_wrapper": True,
        "no_cpython_wrapper": True,
        "_nrt": False,  # nothing is allocated in here, so no references need be counted
    }
    compile_: Any = partial(numba.njit, **{**fixed, **options})
    try:
        result: _Function = compile_(cache=True)(function)
    except RuntimeError:  # no folder to keep compiled code in can be written: compile in every process
        result = compile_()(function)
    return result


def compiled_entry(function: _Function) -> _Function:
    """Compile a function that is called from Python."""
    return compiled(function, no_cpython_wrapper=False)
