"""Execution providers of ONNX Runtime, by short names."""

from dataclasses import dataclass

from anomalign.errors import BackboneError, InputError

CPU = "cpu"


@dataclass(frozen=True)
class KnownProvider:
    """An execution provider of ONNX Runtime.

    Attributes
    ----------
    ort_name : str
        Name of the provider in ONNX Runtime.
    package : str
        Python package that contains it.
    device_option, threads_option : str
        Names of its options for the device and for the number of threads; empty if it has no such option.
    one_at_a_time : bool
        Whether a session accepts only one call at a time.
    """

    ort_name: str
    package: str
    device_option: str = ""
    threads_option: str = ""
    one_at_a_time: bool = False


PROVIDERS = {
    CPU: KnownProvider("CPUExecutionProvider", "onnxruntime"),
    "cuda": KnownProvider("CUDAExecutionProvider", "onnxruntime-gpu", "device_id"),
    "tensorrt": KnownProvider("TensorrtExecutionProvider", "onnxruntime-gpu, and TensorRT", "device_id"),
    "openvino": KnownProvider("OpenVINOExecutionProvider", "onnxruntime-openvino", "device_type", "num_of_threads"),
    "directml": KnownProvider("DmlExecutionProvider", "onnxruntime-directml", "device_id", one_at_a_time=True),
    "coreml": KnownProvider("CoreMLExecutionProvider", "onnxruntime on macOS"),
    "migraphx": KnownProvider("MIGraphXExecutionProvider", "onnxruntime-migraphx", "device_id"),
}


@dataclass(frozen=True)
class Provider:
    """A provider that is installed, and one of its devices.

    Attributes
    ----------
    name : str
        Name that was asked for: ``openvino``, ``cuda:1``.
    known : KnownProvider
    device : str
        Device, in the provider's own naming; empty for the provider's default.
    """

    name: str
    known: KnownProvider
    device: str = ""

    @property
    def own_threads(self) -> bool:
        """Whether the number of threads belongs to a session. On another device one session serves every call."""
        on_cores = self.device in ("", "CPU") and bool(self.known.threads_option)
        return self.name == CPU or on_cores

    def options(self, threads: int) -> dict[str, str]:
        """Return the provider options for a session with this number of threads."""
        options = {self.known.device_option: self.device} if self.device else {}
        if self.own_threads and self.known.threads_option:
            options[self.known.threads_option] = str(threads)
        return options


def find_provider(name: str) -> Provider:
    """Find a provider by ``NAME`` or ``NAME:DEVICE``.

    Raises
    ------
    InputError
        The name is unknown, or the provider takes no device.
    BackboneError
        The installed ONNX Runtime does not have the provider.
    """
    short, colon, device = name.partition(":")
    known = PROVIDERS.get(short)
    if known is None:
        raise InputError(f"provider {name!r} is unknown; known are {', '.join(PROVIDERS)}")
    if colon and (not device or not known.device_option):
        raise InputError(
            f"provider {name!r}: {short} takes no device" if device else f"provider {name!r}: no device after the colon"
        )
    if short != CPU and known.ort_name not in _available():
        installed = [key for key, value in PROVIDERS.items() if value.ort_name in _available()]
        raise BackboneError(
            f"provider {short!r} is not in the ONNX Runtime installed here, which has {', '.join(installed)}; install "
            f"{known.package} (uninstall onnxruntime first: the two packages overwrite each other's files)"
        )
    return Provider(name, known, device)


def _available() -> list[str]:
    import onnxruntime  # a quarter of a second, needed only where a provider is asked for

    names: list[str] = onnxruntime.get_available_providers()
    return names
