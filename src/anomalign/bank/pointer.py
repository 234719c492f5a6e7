"""``bank.json``: says which version of a bank in an object store is valid."""

import json
import re
from dataclasses import asdict, dataclass

from anomalign.errors import BankDamagedError, BankError, MissingObjectError
from anomalign.storage import objects
from anomalign.storage.urls import join, redacted

FILE = "bank.json"
FORMAT = 1

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = 10_000  # bytes


@dataclass(frozen=True)
class Pointer:
    """What ``bank.json`` says of the version that is valid.

    Attributes
    ----------
    catalogue_sha256 : str
        It also is the name of the catalogue: a pointer holds no path.
    catalogue_bytes : int
    version : int
    content : str
        `Bank.content`.
    images : int
    """

    catalogue_sha256: str
    catalogue_bytes: int
    version: int
    content: str
    images: int


def write_pointer(url: str, pointer: Pointer) -> None:
    """Make a version valid; errors as `objects.write`."""
    objects.write(join(url, FILE), json.dumps({"format": FORMAT, **asdict(pointer)}, indent=1).encode())


def read_pointer(url: str) -> Pointer:
    """Read which version of a bank is valid.

    Raises
    ------
    BankError
        There is no bank at the URL, or it has another format.
    BankDamagedError
        What is there is no pointer.
    StorageError, InputError
        The store cannot be read.
    """
    place = join(url, FILE)
    try:
        data = objects.read(place, 0, _LARGEST + 1)
    except MissingObjectError as error:
        raise BankError(
            f"{redacted(url)}: no bank here that was pushed; `anomalign bank push` puts one there"
        ) from error
    try:
        entry = json.loads(data)
        if not isinstance(entry, dict) or len(data) > _LARGEST:
            raise ValueError("not an object of this kind")
        form = entry.pop("format", None)
        if form != FORMAT:
            raise BankError(f"{redacted(place)}: of format {form!r}, this version reads {FORMAT}; use a newer version")
        pointer = Pointer(**entry)
        sha256_of(pointer.catalogue_sha256)
        sha256_of(pointer.content)
        for value in (pointer.catalogue_bytes, pointer.version, pointer.images):
            if type(value) is not int or value < 0:
                raise ValueError(f"{value!r} is no number of bytes, images or versions")
    except (ValueError, TypeError, RecursionError) as error:
        raise BankDamagedError(
            f"{redacted(place)}: not the pointer of a bank ({error}); push the bank again"
        ) from error
    return pointer


def sha256_of(text: object) -> str:
    """A text that is a SHA-256; ValueError for anything else, which could be a path."""
    if not isinstance(text, str) or not _SHA256.fullmatch(text):
        raise ValueError(f"{text!r} is no SHA-256")
    return text
