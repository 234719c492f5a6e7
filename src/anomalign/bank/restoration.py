"""Bringing removed images back."""

from collections.abc import Sequence
from pathlib import Path

from anomalign.bank import catalogue, edits
from anomalign.bank.catalogue import NormalImage
from anomalign.errors import InputError


def restore(bank: Path, images: Sequence[NormalImage], ids: Sequence[int]) -> None:
    """All or none, as one version, beside the `images` that are there; only the writer may call it."""
    with catalogue.connect(bank) as connection:
        removed = catalogue.read_removed(connection)
    here = {image.sha256 for image in images}
    for id in ids:
        if id not in removed:
            raise InputError(f"{bank}: no removed image {id} to bring back; compacting forgets them")
        if removed[id] in here:
            raise InputError(f"{bank}: the picture of image {id} has been added again since")
        here.add(removed[id])
    if ids:
        with catalogue.connect(bank) as connection:
            edits.restore(connection, ids)
