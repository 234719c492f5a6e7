"""What a bank was built with."""

import json
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path

from anomalign.bank.schema import AUGMENTED_FORMAT, FORMAT, LATEST_FORMAT, REGION_FORMAT
from anomalign.bank.views import Views
from anomalign.errors import BankDamagedError, BankError
from anomalign.images.framing import Framing
from anomalign.images.orientation import Turn, read_augment, turns_of
from anomalign.images.reading import EARLIER, FROM_IMAGES, Reading
from anomalign.pyramid import grids


@dataclass(frozen=True)
class Identity:
    """What a bank was built with.

    It never changes after the bank's creation, except that the first 16-bit images settle `Reading.bits`.

    Attributes
    ----------
    backbone : str
        Name of the backbone, or path of its ONNX file.
    backbone_sha256 : str
        SHA-256 of that file.
    framing : Framing
        How images are framed.
    shapes : tuple of (H_l, W_l, C_l)
        Shapes of the levels, finest first.
    pooled_length : int
        Length D of the pooled vector.
    level_weights : tuple of float, or None
        Weight of each level that the backbone's file recommends; None: 1 each.
    augment : str
        How images are augmented, as `read_augment` writes it; empty: not at all.
    reading : Reading
        How the values of images become 8 bits.
    """

    backbone: str
    backbone_sha256: str
    framing: Framing
    shapes: tuple[tuple[int, int, int], ...]
    pooled_length: int
    level_weights: tuple[float, ...] | None = None
    augment: str = ""
    reading: Reading = FROM_IMAGES

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Orientations in which the bank holds each image; the first is the image as it is."""
        return turns_of(self.augment)

    @property
    def views(self) -> Views:
        """Numbers of the bank's views, which `Bank.views` takes."""
        return Views(len(self.turns))

    def grid(self, level: int) -> tuple[int, int]:
        """Height and width of a level, 1 the finest; of the coarsest where there are fewer."""
        h, w, _ = self.shapes[min(level, len(self.shapes)) - 1]
        return h, w

    @property
    def bytes_per_image(self) -> int:
        """Size of one image's features, in all its orientations.

        Float16 levels; float32 pooled vector, moments, and norms on each grid.
        """
        norms = len(self.shapes) * sum(h * w for h, w in grids(self.shapes))
        levels = sum(h * w * c for h, w, c in self.shapes)
        return len(self.turns) * (2 * levels + 4 * (self.pooled_length + self.moments_length + norms))

    @property
    def moments_length(self) -> int:
        """Length of `FeaturePyramid.moments`."""
        return 2 * sum(c for _, _, c in self.shapes)


def write_identity(connection: sqlite3.Connection, identity: Identity) -> None:
    """Write the identity of a new bank, and its format."""
    entries = {
        **vars(identity),
        "format": _format_of(identity),
        "framing": identity.framing.to_entry(),
        "reading": asdict(identity.reading),
    }
    if not identity.augment:
        del entries["augment"]
    connection.executemany(
        "INSERT INTO identity VALUES (?, ?)", [(key, json.dumps(value)) for key, value in entries.items()]
    )


def write_reading(connection: sqlite3.Connection, identity: Identity) -> None:
    """Replace the reading of a bank by that of its identity."""
    entries = {"format": _format_of(identity), "reading": asdict(identity.reading)}
    connection.executemany(
        "INSERT OR REPLACE INTO identity VALUES (?, ?)", [(key, json.dumps(value)) for key, value in entries.items()]
    )


def _format_of(identity: Identity) -> int:
    """The oldest format that says all of an identity, so that versions before this one read what they can."""
    if not isinstance(identity.framing.size_px, int) or identity.framing.tiles is not None:
        return LATEST_FORMAT
    if identity.framing.region is not None or identity.reading.bits not in (None, EARLIER.bits):
        return REGION_FORMAT
    return AUGMENTED_FORMAT if identity.augment else FORMAT


def read_identity(connection: sqlite3.Connection, catalogue: Path) -> Identity:
    """Read the identity of a bank from its catalogue file.

    Raises
    ------
    BankError
        The bank has another format.
    BankDamagedError
        The identity is not what `write_identity` writes.
    """
    entries = dict(connection.execute("SELECT key, value FROM identity"))
    if entries.get("format") not in [str(one) for one in range(FORMAT, LATEST_FORMAT + 1)]:
        raise BankError(
            f"{catalogue.parent}: bank of format {entries.get('format')}, this version reads formats {FORMAT} to "
            f"{LATEST_FORMAT}; use the version of anomalign that it was made with, or fit it again"
        )
    try:
        values = {key: json.loads(value) for key, value in entries.items()}
        return Identity(
            str(values["backbone"]),
            str(values["backbone_sha256"]),
            Framing.from_entry(values["framing"]),
            tuple((int(h), int(w), int(c)) for h, w, c in values["shapes"]),
            int(values["pooled_length"]),
            _weights(values.get("level_weights")),
            read_augment(values["augment"]) if "augment" in values or values["format"] == AUGMENTED_FORMAT else "",
            Reading(**values["reading"]) if "reading" in values else EARLIER,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise BankDamagedError(
            f"{catalogue}: not a sound catalogue (identity: {error}); restore it from a copy"
        ) from error


def _weights(value: list[float] | None) -> tuple[float, ...] | None:
    return None if value is None else tuple(float(weight) for weight in value)
