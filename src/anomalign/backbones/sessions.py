"""Sessions of ONNX Runtime: their settings, chosen by measurement, and what they run on."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anomalign.backbones.providers import CPU, Provider
from anomalign.errors import BackboneError

if TYPE_CHECKING:
    import onnxruntime

CPU_NAME = "CPUExecutionProvider"


def session_options(threads: int) -> "onnxruntime.SessionOptions":
    """Settings of a session; `benchmarks/sessions.py` measures others, docs/speed.md says what came of it."""
    import onnxruntime  # a quarter of a second, needed only where a network runs

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that wait for one another burn the cores that other processes, or stage 2, have need of.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_session(
    path: Path, provider: Provider, threads: int, options: "onnxruntime.SessionOptions | None" = None
) -> "onnxruntime.InferenceSession":
    """Make a session that runs with a provider; what it cannot run is left to the CPU's.

    Raises
    ------
    BackboneError
        Not an ONNX file that can be run, or ONNX Runtime has dropped the provider.
    """
    import onnxruntime

    names = {provider.known.ort_name: provider.options(threads), CPU_NAME: {}}
    try:
        session = onnxruntime.InferenceSession(
            str(path), options or session_options(threads), providers=list(names.items()), enable_fallback=False
        )
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        what = "not an ONNX file that can be run"
        if provider.name != CPU:
            what += f" with provider {provider.name}"
        raise BackboneError(f"{path}: {what} ({error})") from error
    if provider.known.ort_name not in session.get_providers():
        raise BackboneError(
            f"{path}: ONNX Runtime cannot use provider {provider.name} here and would run the network on the CPU "
            "instead; its own message, if any, says what is missing: a driver, a library or the device"
        )
    return session


@dataclass(frozen=True)
class Placement:
    """Where the nodes of a network run.

    Attributes
    ----------
    own, on_cpu : int
        Nodes, after ONNX Runtime has fused what it can, that the provider and the CPU run.
    cpu_share : float
        Of the nodes' time, the CPU's.
    """

    own: int
    on_cpu: int
    cpu_share: float


def profiled_options(threads: int, folder: str) -> "onnxruntime.SessionOptions":
    """Settings of a session that notes in `folder` what runs where."""
    options = session_options(threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(Path(folder) / "profile")
    return options


def placement(session: "onnxruntime.InferenceSession", provider: Provider) -> Placement:
    """Where the nodes of a session with `profiled_options` have run; it can be asked once."""
    nodes: dict[bool, set[str]] = {True: set(), False: set()}
    spent = {True: 0, False: 0}
    for event in json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            own = event["args"]["provider"] == provider.known.ort_name
            nodes[own].add(event["name"])
            spent[own] += event["dur"]
    return Placement(len(nodes[True]), len(nodes[False]), spent[False] / max(1, sum(spent.values())))
