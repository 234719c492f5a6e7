"""List the modules through which an image goes from `inspect` to its verdict; see `measure_structure.py`."""

import contextlib
import importlib
import io
import json
import multiprocessing
import os
import random
import struct
import sys
import tempfile
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

PACKAGE = "anomalign"
IS_FUNCTION = 0x1  # CO_OPTIMIZED: set in the code of functions, not in that of modules and class bodies
SIDE = 64


def trace(source: Path) -> tuple[list[str], str]:
    """Inspect an image with the package in this folder.

    Normal images are noise, the inspected one has stripes: it goes through both stages.

    Returns
    -------
    modules : list of str
        In the order of the first call of one of their functions. Those that open the bank are among them.
    stage : str
        Stage that decided, as `inspect --json` says.
    """
    generator = random.Random(0)
    bitmap = struct.pack("<2sIHHI IiiHHIIiiII", b"BM", 0, 0, 0, 54, 40, SIDE, SIDE, 1, 24, *6 * [0])
    with tempfile.TemporaryDirectory() as folder:
        bank, normal, new = f"{folder}/bank", Path(folder, "normal"), Path(folder, "new.bmp")
        normal.mkdir()
        for number in range(6):
            (normal / f"{number}.bmp").write_bytes(bitmap + generator.randbytes(3 * SIDE * SIDE))
        new.write_bytes(bitmap + bytes(generator.choices((0, 255), k=SIDE)) * 3 * SIDE)
        run_alone(source, ["fit", bank, str(normal), "--size", str(SIDE), "--no-check"])
        modules, output = run_alone(source, ["inspect", bank, str(new), "--json"])
    return modules, json.loads(output)["stage"]


def run_alone(source: Path, arguments: list[str]) -> tuple[list[str], str]:
    """Run the command line in a process of its own, which has imported and cached nothing before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(run, source, arguments).result()


def run(source: Path, arguments: list[str]) -> tuple[list[str], str]:
    """Modules that ran after `inspect` was called and before anything was printed, and what was printed."""
    os.environ["NUMBA_DISABLE_JIT"] = "1"  # a profile does not see compiled functions
    warnings.simplefilter("ignore")  # without the compiler, small integers of NumPy overflow
    sys.dont_write_bytecode, sys.argv = True, [PACKAGE, *arguments]
    sys.path.insert(0, str(source))
    cli = importlib.import_module(f"{PACKAGE}.cli")
    if not Path(str(cli.__file__)).resolve().is_relative_to(source.resolve()):
        raise RuntimeError(f"{source}: another {PACKAGE} was imported, {cli.__file__}")
    output, modules, has_begun = io.StringIO(), dict[str, None](), False

    def profile(frame: Any, event: str, _: Any) -> None:
        nonlocal has_begun
        module, code = module_of(frame), frame.f_code
        if event == "call" and module.split(".")[0] == PACKAGE and code.co_flags & IS_FUNCTION and not output.tell():
            has_begun |= code.co_name == "inspect" and module.startswith(cli.__name__)
            if has_begun and module not in modules and not is_importing(frame):
                modules[module] = None

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        with contextlib.redirect_stdout(output):
            cli.main()
    except SystemExit as stop:
        if stop.code not in (None, 0, 1):  # 1: an image is anomalous
            raise RuntimeError(f"{source}: `{PACKAGE} {arguments[0]}` ended with {stop.code}") from None
    finally:
        sys.setprofile(None)
    return list(modules), output.getvalue()


def module_of(frame: Any) -> str:
    return str(frame.f_globals.get("__name__"))


def is_importing(frame: Any) -> bool:
    """Whether a module of the package, while it is imported, has called this function, directly or not."""
    while frame and not (frame.f_code.co_name == "<module>" and module_of(frame).split(".")[0] == PACKAGE):
        frame = frame.f_back
    return frame is not None
