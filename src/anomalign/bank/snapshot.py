"""A bank as it is at one version, read in one transaction."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from anomalign.bank import catalogue, history, segments
from anomalign.bank.catalogue import NormalImage, Segment
from anomalign.bank.identity import Identity, read_identity
from anomalign.errors import BankDamagedError, BankError
from anomalign.images.reading import EARLIER


@dataclass(frozen=True)
class Snapshot:
    """What the catalogue says of a bank at one version.

    Attributes
    ----------
    identity : Identity
        What the bank was built with.
    version : int
        The version that is shown.
    stamp : tuple of (int, str)
        The version and its time.
    is_newest : bool
        Whether the bank had no later version.
    images : tuple of NormalImage
        Images of that version, in order of id.
    segments : tuple of Segment
        All feature files that the catalogue names.
    """

    identity: Identity
    version: int
    stamp: tuple[int, str]
    is_newest: bool
    images: tuple[NormalImage, ...]
    segments: tuple[Segment, ...]


def read_snapshot(bank: Path, version: int | None = None) -> Snapshot:
    """Read a bank at a version, by default the newest; all of its segments are there.

    Raises
    ------
    BankError
        The bank has no such version, or `Bank.compact` has forgotten it.
    BankDamagedError
        A segment is missing or cut short.
    """
    while True:
        snapshot = _read(bank, version)
        try:
            segments.check_present(bank, snapshot.segments)
            return snapshot
        except BankDamagedError:  # unless another process has compacted the bank since it was read
            with catalogue.connect(bank) as connection:
                if tuple(catalogue.read_segments(connection)) == snapshot.segments:
                    raise


def content_hash(identity: Identity, images: Sequence[NormalImage]) -> str:
    """SHA-256 over backbone, framing, augmentation, reading, all images, and their groups if there are any."""
    parts = [identity.backbone_sha256, json.dumps(identity.framing.to_entry(), sort_keys=True)]
    if identity.augment:
        parts.append(identity.augment)
    if identity.reading != EARLIER:
        parts.append(json.dumps(asdict(identity.reading), sort_keys=True))
    parts.extend(image.sha256 for image in images)
    if any(image.group for image in images):
        parts.append(json.dumps([image.group for image in images]))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _read(bank: Path, version: int | None) -> Snapshot:
    with catalogue.connect(bank) as connection:
        connection.execute("BEGIN")  # one state of the catalogue for all that is read here
        identity = read_identity(connection, bank / catalogue.FILE)
        newest = history.read_version(connection)
        oldest = history.read_whole_since(connection)
        shown = newest if version is None else version
        if shown > newest:
            raise BankError(f"{bank}: has no version {shown}; its newest is {newest}. Was it another bank?")
        if shown < oldest:
            raise BankError(
                f"{bank}: version {shown} was compacted away; the oldest that is left is {oldest}. Use a copy of the "
                "bank from before it was compacted"
            )
        return Snapshot(
            identity=identity,
            version=shown,
            stamp=history.read_stamp(connection, shown),
            is_newest=shown == newest,
            images=tuple(catalogue.read_images(connection, shown)),
            segments=tuple(catalogue.read_segments(connection)),
        )
