"""Giving back the disk space of removed images."""

from collections.abc import Callable, Sequence
from pathlib import Path

from anomalign.bank import catalogue, edits, segments
from anomalign.bank.catalogue import NormalImage
from anomalign.bank.views import Views
from anomalign.pyramid import FeaturePyramid


def compact(
    bank: Path,
    images: Sequence[NormalImage],
    views: Views,
    gallery: Callable[[Sequence[int]], Sequence[FeaturePyramid]],
) -> None:
    """Write segments that hold removed images anew without them, one after the other, each in one transaction.

    Only the writer may call it. `gallery` gives the features of views by their numbers; they are copied as they are.
    `segments.sweep` deletes files that no transaction names any more.
    """
    with catalogue.connect(bank) as connection:
        files = edits.read_segments_with_removed(connection)
    for file in files:
        remaining = [index for index, image in enumerate(images) if image.segment == file]
        numbers = [view for index in remaining for view in views.all_of(index)]
        new = segments.write_segment(bank, list(gallery(numbers))) if remaining else None
        with catalogue.connect(bank) as connection:
            edits.forget_removed(connection, file)
            if new:
                edits.move(connection, new, [images[index].id for index in remaining], views.turns)
            edits.drop_segment(connection, file)
        (bank / segments.FOLDER / file).unlink(missing_ok=True)
    with catalogue.connect(bank) as connection:
        connection.execute("VACUUM")
