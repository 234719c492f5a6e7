"""Sessions of ONNX Runtime: how they are configured, and which provider runs each node."""

import ctypes
import json
import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anomalign.backbones.providers import CPU, Provider
from anomalign.errors import BackboneError

if TYPE_CHECKING:
    import onnxruntime

CPU_NAME = "CPUExecutionProvider"

_opened: "weakref.WeakSet[onnxruntime.InferenceSession]" = weakref.WeakSet()


def _keep_sessions_of_parent() -> None:
    """Keep the parent's sessions for ever: to end one is to wait for its threads, which a forked child does not have.

    Python ends all objects when a process exits, so a child that does nothing at all would wait there.
    """
    for session in list(_opened):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_sessions_of_parent)


def session_options(threads: int) -> "onnxruntime.SessionOptions":
    """Return the options of a session. `benchmarks/sessions.py` measures others; docs/speed.md has the results."""
    import onnxruntime  # takes a quarter of a second, and is needed only when a network runs

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait take CPU time from other processes and from stage 2.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_session(
    path: Path, provider: Provider, threads: int, options: "onnxruntime.SessionOptions | None" = None
) -> "onnxruntime.InferenceSession":
    """Open a session with a provider. The CPU runs the nodes that the provider does not support.

    Raises
    ------
    BackboneError
        The file is not an ONNX file that can be run, or ONNX Runtime did not accept the provider.
    """
    import onnxruntime

    names = {provider.known.ort_name: provider.options(threads), CPU_NAME: {}}
    try:
        session = onnxruntime.InferenceSession(
            str(path), options or session_options(threads), providers=list(names.items()), enable_fallback=False
        )
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        suffix = "" if provider.name == CPU else f" with provider {provider.name}"
        raise BackboneError(f"{path}: not an ONNX file that can be run{suffix} ({error})") from error
    if provider.known.ort_name not in session.get_providers():
        raise BackboneError(
            f"{path}: ONNX Runtime cannot use provider {provider.name} here and would run the network on the CPU "
            "instead; a driver, a library or the device is missing, as its own message may say"
        )
    _opened.add(session)
    return session


@dataclass(frozen=True)
class Placement:
    """Which nodes of a network the provider runs, and which the CPU runs.

    Attributes
    ----------
    own, on_cpu : int
        Number of nodes that the provider and the CPU run, after ONNX Runtime has fused nodes.
    cpu_share : float
        Share of the total node time that is spent on the CPU.
    """

    own: int
    on_cpu: int
    cpu_share: float


def profiled_options(threads: int, folder: str) -> "onnxruntime.SessionOptions":
    """Return the options of a session that writes a profile into `folder`."""
    options = session_options(threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(folder) / "profile")
    return options


def placement(session: "onnxruntime.InferenceSession", provider: Provider) -> Placement:
    """Read from its profile where the nodes of a session with `profiled_options` ran; this ends the profile."""
    nodes: dict[bool, set[str]] = {True: set(), False: set()}
    time_spent = {True: 0, False: 0}
    for event in json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            own = event["args"]["provider"] == provider.known.ort_name
            nodes[own].add(event["name"])
            time_spent[own] += event["dur"]
    return Placement(len(nodes[True]), len(nodes[False]), time_spent[False] / max(1, sum(time_spent.values())))
