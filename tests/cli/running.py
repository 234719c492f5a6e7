"""The command line as its tests run it: in this process, which starts at once, or in a process of its own."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from anomalign.cli import main


def run(*arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> CompletedProcess[str]:
    """Run a command in this process; `env` replaces the environment, as it does for `subprocess.run`."""
    command = ["anomalign", *map(str, arguments)]
    stdout = io.TextIOWrapper(io.BytesIO(), "utf-8")
    stderr = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    with (
        mock.patch.object(sys, "argv", command),
        mock.patch.dict(os.environ, env or {}, clear=env is not None),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        _in_folder(cwd),
    ):
        code = _exit_code()
    return CompletedProcess(command, code, _text(stdout), _text(stderr))


def run_process(*arguments: object, **options: object) -> CompletedProcess[str]:
    """Run a command in a process of its own, for what only a process shows: signals, pipes, how it starts and ends."""
    command = [sys.executable, "-m", "anomalign", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def _exit_code() -> int:
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@contextlib.contextmanager
def _in_folder(folder: Path | None) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode("utf-8")
