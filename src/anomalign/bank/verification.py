"""Whether a bank on the disk is what was written."""

from collections.abc import Sequence
from pathlib import Path

from anomalign.bank import catalogue, segments
from anomalign.bank.catalogue import Identity, NormalImage, Segment


def problems(bank: Path, identity: Identity, images: Sequence[NormalImage], named: Sequence[Segment]) -> list[str]:
    """A sentence for each thing wrong with the catalogue's structure or the content of a segment."""
    found = []
    with catalogue.connect(bank) as connection:
        (state,) = connection.execute("PRAGMA integrity_check").fetchone()
        if state != "ok":
            found.append(f"{bank / catalogue.FILE}: {state}")
        for table, *_ in connection.execute("PRAGMA foreign_key_check"):
            found.append(f"{bank / catalogue.FILE}: a row of {table} names one that is not there")
    rows: dict[str, list[int]] = {}
    for image in images:
        rows.setdefault(image.segment, []).append(image.row)
    for segment in named:
        problem = segments.check_content(bank, segment, identity, rows.get(segment.file, []))
        if problem:
            found.append(problem)
    return found
