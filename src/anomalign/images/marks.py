"""Folders that Anomalign itself fills: marked, so that their pictures are never read as images."""

from pathlib import Path

MARK = ".anomalign-results"
"""Name of the file that marks such a folder."""

NOTICE = "Anomalign wrote the files of this folder. It never reads them as images.\n"
"""First line of the mark."""

SUBMISSION = ("anomaly_images", "anomaly_images_thresholded")
"""Folders of a submission to the server of MVTec AD 2. No mark may lie there: its program refuses any other file."""


def mark_folder(folder: Path) -> None:
    """Mark a folder, which is made if needed; OSError if that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MARK).exists():
        (folder / MARK).write_text(NOTICE, encoding="utf-8")


def is_marked(folder: Path) -> bool:
    """Whether a folder, or one above it, holds results."""
    whole = folder.resolve()
    return any(map(holds_results, (whole, *whole.parents)))


def holds_results(folder: Path) -> bool:
    """Whether a folder itself is marked, or is a submission."""
    return (folder / MARK).exists() or all((folder / name).is_dir() for name in SUBMISSION)
