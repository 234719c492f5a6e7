"""Weights of the Hugging Face hub: fetched once, checked, read without pickle."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from anomalign.backbones import cache
from anomalign.backbones.known import HUB, HubFile
from anomalign.errors import BackboneError


def download(file: HubFile, **where: Any) -> Path:
    """Path of a file of the hub on this machine, fetched unless it is here; the one place that uses a network."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    def found(**more: Any) -> Path:
        return Path(hf_hub_download(file.repository, file.path, revision=file.revision, **where, **more))

    try:
        return found(local_files_only=True)
    except FileNotFoundError:
        # Asked once: without a network the download would try six times over half a minute, and say so each time.
        get_hf_file_metadata(hf_hub_url(file.repository, file.path, revision=file.revision))
        return found()


def weights_of(name: str, file: HubFile) -> tuple[Path, str]:
    """File with the weights of a known backbone, and a line on where they came from.

    A file ``NAME.safetensors`` in the cache folder, put there by hand, serves where there is no network.

    Raises
    ------
    BackboneError
        It cannot be fetched, or is not the file that is known.
    """
    by_hand = cache.path_of(name).with_suffix(".safetensors")
    path = by_hand if by_hand.is_file() else _fetched(name, file, by_hand)
    sha256 = cache.sha256_of(path)
    if file.pinned and sha256 != file.sha256:
        raise BackboneError(
            f"{path}: not the weights that are known for {name} (sha256 {sha256}, not {file.sha256}): cut "
            f"short, or another file; delete it and get {file.url}"
        )
    revision = file.revision
    if path != by_hand and path.parent.parent.name == "snapshots":
        revision = path.parent.name  # the hub's cache names the commit, also where a branch was asked for
    return path, f"{HUB}/{file.repository}, revision {revision}, sha256 {sha256}"


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Tensors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise BackboneError(f"{path}: not a safetensors file that NumPy can hold ({error})") from error


def _fetched(name: str, file: HubFile, by_hand: Path) -> Path:
    try:
        return download(file)
    except Exception as error:  # of the hub, of what it uses for HTTP, of the operating system: no common base
        cause = " ".join(str(error).split())[:200] or type(error).__name__
        raise BackboneError(
            f"{name}: {file.path} of {file.repository} cannot be fetched ({cause}); where there is a network, get "
            f"{file.url}, put it here as {by_hand}, and run `anomalign backbones pull {name}` again"
        ) from error
