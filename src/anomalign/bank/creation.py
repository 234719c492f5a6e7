"""Making a bank's folder."""

from pathlib import Path

from anomalign.backbones import Backbone, tiling
from anomalign.bank import catalogue, lock, segments
from anomalign.bank.identity import Identity
from anomalign.errors import BankError
from anomalign.images.framing import Framing
from anomalign.images.reading import FROM_IMAGES, Reading


def identity_of(network: Backbone, framing: Framing, augment: str = "", reading: Reading = FROM_IMAGES) -> Identity:
    """Return what a bank with this network and framing would be built with; nothing is written."""
    shapes, pooled_length = tiling.layout(network, framing.shape, framing.tiles)
    return Identity(
        network.reference, network.sha256, framing, shapes, pooled_length, network.level_weights, augment, reading
    )


def create(folder: Path, identity: Identity) -> None:
    """Make an empty bank in a new or empty folder; what an earlier call left there when it was killed is no obstacle.

    Raises
    ------
    BankError
        There is a bank already, or the folder holds other files, or it cannot be written.
    """
    own_names = {segments.FOLDER, lock.FILE, catalogue.FILE + ".new", catalogue.FILE + ".new-journal"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock.writer(folder):
            if (folder / catalogue.FILE).exists():
                raise BankError(
                    f"{folder}: there is a bank already; open it (exist_ok=True does), or choose another folder"
                )
            if foreign := sorted({entry.name for entry in folder.iterdir()} - own_names):
                raise BankError(f"{folder}: holds other files ({foreign[0]}); choose a new or empty folder")
            (folder / segments.FOLDER).mkdir(exist_ok=True)
            catalogue.create(folder, identity)
    except OSError as error:
        raise BankError(f"{folder}: a bank cannot be made here ({error.strerror or error})") from error
