"""Weights from the Hugging Face hub: downloaded once, checked, and read without pickle."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from anomalign.backbones import cache
from anomalign.backbones.known import HUB, HubFile
from anomalign.errors import BackboneError


def download(file: HubFile, **where: Any) -> Path:
    """Return the local path of a file of the hub; download it first if need be. Nothing else uses a network."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    def local_path(**more: Any) -> Path:
        return Path(hf_hub_download(file.repository, file.path, revision=file.revision, **where, **more))

    try:
        return local_path(local_files_only=True)
    except FileNotFoundError:
        # Without a network this fails at once. The download itself would try six times over half a minute.
        get_hf_file_metadata(hf_hub_url(file.repository, file.path, revision=file.revision))
        return local_path()


def weights_of(name: str, file: HubFile) -> tuple[Path, str]:
    """Return the file with the weights of a known backbone, and a line that says where they came from.

    If there is no network, put the file by hand into the cache folder as ``NAME.safetensors``.

    Raises
    ------
    BackboneError
        The file cannot be downloaded, or its SHA-256 is wrong.
    """
    by_hand = cache.path_of(name).with_suffix(".safetensors")
    path = by_hand if by_hand.is_file() else _download(name, file, by_hand)
    sha256 = cache.sha256_of(path)
    if file.pinned and sha256 != file.sha256:
        raise BackboneError(
            f"{path}: not the known weights of {name} (its sha256 is {sha256}, not {file.sha256}): it is cut "
            f"short, or another file; delete it and get {file.url}"
        )
    revision = file.revision
    if path != by_hand and path.parent.parent.name == "snapshots":
        revision = path.parent.name  # the folder of the hub's cache names the commit, even if a branch was asked for
    return path, f"{HUB}/{file.repository}, revision {revision}, sha256 {sha256}"


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a safetensors file by name."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise BackboneError(f"{path}: not a safetensors file that NumPy can hold ({error})") from error


def _download(name: str, file: HubFile, by_hand: Path) -> Path:
    try:
        return download(file)
    except Exception as error:  # of the hub, of what it uses for HTTP, of the operating system: no common base
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise BackboneError(
            f"{name}: {file.path} of {file.repository} cannot be fetched ({cause}); on a machine with a network, get "
            f"{file.url}, copy it to {by_hand}, and run `anomalign backbones pull {name}` again"
        ) from error
