"""A folder: each message is a JSON file, beside the inspected image if its file is kept."""

from pathlib import Path

from anomalign.atomic import atomic_write
from anomalign.errors import AnomalignError
from anomalign.images.kinds import kind_of
from anomalign.images.marks import mark_folder
from anomalign.service.delivery.receiver import DeliveryError
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.store import Message

_SUFFIXES = {
    "AVIF": ".avif",
    "BMP": ".bmp",
    "DIB": ".dib",
    "HEIC": ".heic",
    "JPEG": ".jpg",
    "JPEG 2000": ".jp2",
    "PNG": ".png",
    "TIFF": ".tif",
    "WebP": ".webp",
}


class Folder:
    """Writes ``RECORD-ID.json`` and the image as ``RECORD-ID.SUFFIX``: the image first, each whole or not at all.

    A message that is delivered again writes the same files again. The folder is marked, so that its images are never
    inspected or taken for normal ones.

    Parameters
    ----------
    path : Path
        Made if it does not exist.
    image_files : ImageFiles
    """

    def __init__(self, path: Path, image_files: ImageFiles) -> None:
        self._path, self._image_files = path, image_files

    def open(self) -> None:
        """Make and mark the folder.

        Raises
        ------
        DeliveryError
        """
        try:
            mark_folder(self._path)
        except OSError as error:
            raise self._error(error) from error

    def deliver(self, message: Message) -> None:
        """Write a message; both files are on the disk when this returns.

        Raises
        ------
        AnomalignError
            A file cannot be written, or the image cannot be read.
        """
        stem = f"{message.record:09}-{message.id}"
        image = self._image_files.read(message.content["sha256"])
        try:
            if image is not None:
                self._write(f"{stem}{_suffix(image)}", image)
            self._write(f"{stem}.json", message.to_json().encode() + b"\n")
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Do nothing."""

    def _write(self, name: str, content: bytes) -> None:
        with atomic_write(self._path / name, durable=True) as file:
            file.write(content)

    def _error(self, error: OSError) -> AnomalignError:
        return DeliveryError(
            f"{self._path}: results cannot be written ({error.strerror or error}); free space on its disk, or get the "
            "right to write"
        )


def _suffix(image: bytes) -> str:
    """The ending of an image file by its content: a name may lead elsewhere, and that of a frame ends with a time."""
    return _SUFFIXES.get(kind_of(image, "") or "", ".image")
