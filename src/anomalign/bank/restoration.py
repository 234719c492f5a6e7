"""Bringing removed images back."""

from collections.abc import Sequence
from pathlib import Path

from anomalign.bank import catalogue, edits
from anomalign.bank.catalogue import NormalImage
from anomalign.errors import InputError


def restore(bank: Path, images: Sequence[NormalImage], ids: Sequence[int]) -> None:
    """Bring images back to the `images` of the bank, all or none, as one version. Only the writer may call it.

    Raises
    ------
    InputError
        An id of an image that was not removed or was compacted away, or whose content has been added again.
    """
    with catalogue.connect(bank) as connection:
        sha256_of_removed = catalogue.read_removed(connection)
    present = {image.sha256 for image in images}
    for id in ids:
        if id not in sha256_of_removed:
            raise InputError(f"{bank}: no removed image {id} to bring back; compacting forgets them")
        if sha256_of_removed[id] in present:
            raise InputError(f"{bank}: the picture of image {id} has been added again since")
        present.add(sha256_of_removed[id])
    if ids:
        with catalogue.connect(bank) as connection:
            edits.restore(connection, ids)
