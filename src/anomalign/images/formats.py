"""What decodes kinds of pictures that not every installation reads, and why the others are refused."""

import importlib.util

from PIL import Image, features

from anomalign.images.kinds import kind_of

_READ = frozenset({None, "PNG", "JPEG", "BMP", "DIB", "TIFF", "WebP", "JPEG 2000"})  # None: left to the decoder to say


def further_formats(data: bytes, name: str) -> tuple[str, ...]:
    """Pillow's formats that a picture needs beyond `decoding.FORMATS`; mostly none.

    Raises
    ------
    ValueError
        The picture is of a kind that this installation does not read.
    """
    kind = kind_of(data[:256], name)
    if kind in _READ:
        return ()
    if kind == "AVIF" and features.check("avif"):
        return ("AVIF",)
    if kind == "HEIC" and importlib.util.find_spec("pillow_heif"):
        return _heif()
    if kind in ("AVIF", "HEIC"):
        raise ValueError(f"{kind}, which needs an extra; run: pip install 'anomalign[heif]'")
    raise ValueError(f"{kind}, which is not read; convert it to PNG or TIFF")


def _heif() -> tuple[str, ...]:
    if "HEIF" not in Image.OPEN:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    return ("HEIF",)
