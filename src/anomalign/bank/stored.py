"""Banks in an object store: pushed, pulled, and opened read-only through a local cache.

Below the URL of a bank lie ``segments/*.safetensors`` as in a local bank, ``catalogues/SHA256.sqlite``, and
``bank.json``, the pointer to one of the catalogues. A push writes them in this order and never changes or deletes what
is there, except the pointer, so a reader finds the version before the push or the one after it, whole.
"""

import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from anomalign.atomic import PARTIAL_SUFFIX, atomic_write
from anomalign.bank import catalogue, drafts, lock, segments
from anomalign.bank.catalogue import Segment
from anomalign.bank.pointer import Pointer, read_pointer, sha256_of, write_pointer
from anomalign.bank.snapshot import content_hash, read_snapshot
from anomalign.errors import BankDamagedError, BankError, MissingObjectError
from anomalign.storage import objects
from anomalign.storage.listing import list_objects
from anomalign.storage.urls import join, name_in, redacted

CATALOGUES = "catalogues"
VARIABLE = "ANOMALIGN_BANKS"

_WORKERS = 8  # segments that are held in memory while they are copied


@dataclass(frozen=True)
class Transfer:
    """What a push or pull has done.

    Attributes
    ----------
    pointer : Pointer
    files : int
        Number of segments that the bank has.
    copied : int
        Number of segments that were not there yet.
    copied_bytes : int
    """

    pointer: Pointer
    files: int
    copied: int
    copied_bytes: int


def push(bank: Path, url: str, *, everything: bool = False) -> Transfer:
    """Copy the newest version of a local bank to an object store; segments that are there already are not sent again.

    Parameters
    ----------
    bank : Path
    url : str
    everything : bool
        Send also what is there already by its name and size, for a store whose files were altered.

    Raises
    ------
    BankError
        There is no bank, or a file of it is not sound.
    StorageError, InputError
        The store cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="anomalign-") as folder:
        draft = Path(folder) / "bank"
        drafts.draft(bank, draft)  # one state, whatever is done to the bank meanwhile; segments are linked
        snapshot = read_snapshot(draft)
        data = (draft / catalogue.FILE).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        content = content_hash(snapshot.identity, snapshot.images)
        pointer = Pointer(sha256, len(data), snapshot.version, content, len(snapshot.images))
        there = (
            {} if everything else {name_in(one.url): one.size for one in list_objects(join(url, segments.FOLDER, ""))}
        )
        absent = [segment for segment in snapshot.segments if there.get(segment.file) != segment.bytes]

        def send(segment: Segment) -> None:
            content = (draft / segments.FOLDER / segment.file).read_bytes()
            _check(str(bank / segments.FOLDER / segment.file), content, segment.bytes, segment.sha256)
            objects.write(join(url, segments.FOLDER, segment.file), content)

        _for_each(send, absent)
        if everything or objects.size_of(_catalogue_url(url, pointer)) != pointer.catalogue_bytes:
            objects.write(_catalogue_url(url, pointer), data)
        write_pointer(url, pointer)
    return Transfer(pointer, len(snapshot.segments), len(absent), sum(segment.bytes for segment in absent))


def pull(url: str, bank: Path, *, replace: bool = False) -> Transfer:
    """Copy a bank from an object store to a local folder; after a kill the folder holds no bank, or the one before.

    Parameters
    ----------
    url : str
    bank : Path
        A new or empty folder; or, with `replace`, a bank, of which segments that it shares with the other are kept.
    replace : bool

    Raises
    ------
    BankError
        The folder holds a bank or other files, or there is none at the URL.
    BankDamagedError
        A file of the store is not what was pushed.
    BankLockedError
        Another process is writing to the local bank.
    StorageError, InputError
        The store cannot be read.
    """
    pointer = read_pointer(url)
    _check_target(bank, replace)
    try:
        (bank / segments.FOLDER).mkdir(parents=True, exist_ok=True)
        with lock.writer(bank), tempfile.TemporaryDirectory(dir=bank, prefix=".pull-") as folder:
            named = _fetch_catalogue(url, pointer, Path(folder))
            absent = [one for one in named if _size(bank / segments.FOLDER / one.file) != one.bytes]
            _for_each(lambda one: _fetch_segment(url, one, bank / segments.FOLDER / one.file), absent)
            if (bank / catalogue.FILE).exists():
                with catalogue.connect(bank):  # a journal that a kill has left belongs to the old catalogue
                    pass
            with atomic_write(bank / catalogue.FILE, durable=True) as file:
                file.write((Path(folder) / catalogue.FILE).read_bytes())
            segments.sweep(bank, {one.file for one in named})
    except OSError as error:
        raise BankError(f"{error.filename or bank}: cannot be written ({error.strerror or error})") from error
    return Transfer(pointer, len(named), len(absent), sum(one.bytes for one in absent))


def cached(url: str) -> Path:
    """Folder in which the newest version of a bank of an object store can be read; only what is absent is fetched.

    Raises
    ------
    BankError
        There is no bank at the URL, or the cache cannot be written.
    BankDamagedError
        A file of the store is not what was pushed.
    StorageError, InputError
        The store cannot be read.
    """
    pointer = read_pointer(url)
    store = cache_folder()
    bank = store / "opened" / pointer.catalogue_sha256 / (re.sub(r"[^\w.-]", "_", name_in(url.rstrip("/"))) or "bank")
    try:
        (store / segments.FOLDER).mkdir(parents=True, exist_ok=True)
        (bank / segments.FOLDER).mkdir(parents=True, exist_ok=True)
        if _size(bank / catalogue.FILE) == pointer.catalogue_bytes:
            with catalogue.connect(bank) as connection:
                named = tuple(catalogue.read_segments(connection))
        else:
            with tempfile.TemporaryDirectory(dir=store, prefix=".open-") as folder:
                named = _fetch_catalogue(url, pointer, Path(folder))
                (Path(folder) / catalogue.FILE).replace(bank / catalogue.FILE)

        def provide(segment: Segment) -> None:
            to = bank / segments.FOLDER / segment.file
            if _size(to) == segment.bytes:
                return
            kept = store / segments.FOLDER / f"{sha256_of(segment.sha256)}.safetensors"
            if _size(kept) != segment.bytes:
                _fetch_segment(url, segment, kept)
            aside = to.with_name(f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
            drafts.link(kept, aside)
            aside.replace(to)  # which does nothing if another process has made the same link meanwhile
            aside.unlink(missing_ok=True)

        _for_each(provide, named)
    except OSError as error:
        raise BankError(
            f"{error.filename or store}: the cache cannot be written ({error.strerror or error}); make room, or name "
            f"another folder in {VARIABLE}"
        ) from error
    return bank


def cache_folder() -> Path:
    """Folder of the cache: $ANOMALIGN_BANKS, or ``banks`` in the user's cache folder of anomalign."""
    if path := os.environ.get(VARIABLE):
        return Path(path).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("anomalign")) / "banks"


def _fetch_catalogue(url: str, pointer: Pointer, folder: Path) -> tuple[Segment, ...]:
    """Write the catalogue to a folder, checked; return the segments that it names."""
    place = _catalogue_url(url, pointer)
    data = objects.read(place)
    _check(redacted(place), data, pointer.catalogue_bytes, pointer.catalogue_sha256)
    (folder / catalogue.FILE).write_bytes(data)
    with catalogue.connect(folder) as connection:
        (state,) = connection.execute("PRAGMA quick_check").fetchone()
        named = tuple(catalogue.read_segments(connection))
    for segment in named:
        sha256_of(segment.sha256)
    if state != "ok":
        raise BankDamagedError(f"{redacted(place)}: not a sound catalogue ({state}); push the bank again")
    return named


def _fetch_segment(url: str, segment: Segment, to: Path) -> None:
    place = join(url, segments.FOLDER, segment.file)
    try:
        data = objects.read(place)
    except MissingObjectError as error:
        raise BankDamagedError(f"{redacted(place)}: this segment is missing; push the bank again") from error
    _check(redacted(place), data, segment.bytes, segment.sha256)
    with atomic_write(to, durable=True) as file:
        file.write(data)


def _check(shown: str, data: bytes, size: int, sha256: str) -> None:
    """Raise BankDamagedError for a file that is cut short, altered, or another one."""
    if len(data) != size:
        raise BankDamagedError(
            f"{shown}: has {len(data)} bytes instead of {size}; push the bank again, with everything=True"
        )
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BankDamagedError(
            f"{shown}: its SHA-256 is not the recorded one; push the bank again, with everything=True"
        )


def _check_target(bank: Path, replace: bool) -> None:
    if (bank / catalogue.FILE).exists():
        if not replace:
            raise BankError(f"{bank}: holds a bank; pull into a new folder, or replace it with replace=True")
        return
    left_by_a_kill = {segments.FOLDER, lock.FILE}
    if bank.exists() and (
        not bank.is_dir() or any(one.name not in left_by_a_kill and one.name[:6] != ".pull-" for one in bank.iterdir())
    ):
        raise BankError(f"{bank}: holds other files; pull into a new folder")


def _for_each(action: Callable[[Segment], None], items: Iterable[Segment]) -> None:
    """Call an action for each item in several threads; the first error ends it."""
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="segment") as pool:
        running = [pool.submit(action, item) for item in items]
        try:
            for one in as_completed(running):
                one.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _catalogue_url(url: str, pointer: Pointer) -> str:
    return join(url, CATALOGUES, f"{pointer.catalogue_sha256}.sqlite")


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
