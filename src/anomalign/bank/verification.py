"""A check of a bank on the disk against what was written."""

from collections.abc import Sequence
from pathlib import Path

from anomalign.bank import catalogue, groups, segments
from anomalign.bank.catalogue import NormalImage, Segment
from anomalign.bank.identity import Identity


def find_problems(
    bank: Path, identity: Identity, images: Sequence[NormalImage], named_segments: Sequence[Segment]
) -> list[str]:
    """One sentence for each fault of the catalogue's structure or of a segment's content."""
    problems = []
    with catalogue.connect(bank) as connection:
        (state,) = connection.execute("PRAGMA integrity_check").fetchone()
        if state != "ok":
            problems.append(f"{bank / catalogue.FILE}: {state}")
        for table, *_ in connection.execute("PRAGMA foreign_key_check"):
            problems.append(f"{bank / catalogue.FILE}: a row of {table} names one that is not there")
        problems += [f"{bank / catalogue.FILE}: {problem}" for problem in groups.find_problems(connection)]
    rows: dict[str, list[int]] = {}
    for image in images:
        rows.setdefault(image.segment, []).append(image.row)
    for segment in named_segments:
        problem = segments.check_content(bank, segment, identity, rows.get(segment.file, []))
        if problem:
            problems.append(problem)
    return problems
