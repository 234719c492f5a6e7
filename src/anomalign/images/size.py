"""Size of an image, from the header of its file."""

import struct
import tempfile
from pathlib import Path

from PIL import Image

from anomalign.errors import InputError
from anomalign.images import tiff
from anomalign.images.decoding import FORMATS, MAX_PIXELS
from anomalign.images.remote import ImageFile, RemoteImage
from anomalign.images.video import Video, split_frame_name

_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)
_HEADER_FIRST = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".bmp"})  # what counts lies before the pixels
_HEAD_BYTES = 1 << 18  # metadata of a camera, with its thumbnail, takes at most 64 kB a block


def image_size(path: ImageFile) -> tuple[int, int]:
    """Height and width of an image after its orientation tag, from the header; InputError if it is not an image."""
    if isinstance(path, RemoteImage):
        return _remote_size(path)
    try:
        if frame := split_frame_name(path):
            with Video(frame[0], MAX_PIXELS) as video:
                found = video.info()
            return found.height, found.width
        if tags := tiff.tags_of_file(path):  # Pillow turns the size of some TIFFs itself, and refuses others
            width, height = tiff.size_of(tags)
            return (width, height) if tiff.orientation_of(tags) in _QUARTER_TURNS else (height, width)
        with Image.open(path, formats=FORMATS) as image:
            if image.width != image.height and _orientation(image, path) in _QUARTER_TURNS:
                return image.width, image.height
            return image.height, image.width
    except Exception as error:  # a decoder can raise any exception for arbitrary bytes
        raise InputError(f"{path}: not a readable image ({error})") from error


def _remote_size(image: RemoteImage) -> tuple[int, int]:
    """By the beginning of the file, if its end holds nothing that may turn the image."""
    data = image.read_head(_HEAD_BYTES) if image.suffix.lower() in _HEADER_FIRST else image.read()
    with tempfile.TemporaryDirectory(prefix="anomalign-") as folder:
        file = Path(folder, f"image{image.suffix}")
        file.write_bytes(data)
        try:
            return image_size(file)
        except InputError as error:
            raise InputError(str(error).replace(str(file), str(image))) from error


def _orientation(image: Image.Image, path: Path) -> object:
    if image.format == "PNG" and not _has_metadata_after_pixels(path):
        # PngImageFile.getexif() would decode the pixels to look for a tag after them.
        return Image.Image.getexif(image).get(_ORIENTATION)
    return image.getexif().get(_ORIENTATION)


def _has_metadata_after_pixels(path: Path) -> bool:
    """Whether a PNG has metadata after its pixels; Pillow reads that only after it has decoded the pixels."""
    with path.open("rb") as stream:
        stream.seek(8)
        after_pixels = False
        while len(head := stream.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if after_pixels and kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            after_pixels = after_pixels or kind == b"IDAT"
            stream.seek(length + 4, 1)
    return False
