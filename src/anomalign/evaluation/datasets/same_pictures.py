"""Pictures that are in a category more than once, compared by the content of their files."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from anomalign.evaluation.datasets.dataset import Category
from anomalign.images.video import split_frame_name

_NAMED = 20
_BLOCK_BYTES = 1 << 20


def leave_out_tested(root: Path, category: Category, problems: list[str]) -> Category:
    """Category whose training images do not have the content of a test image.

    An image that is fitted finds itself, so its score says nothing of new images. The test images stay as they are.

    Parameters
    ----------
    root : Path
        Path of the dataset, for the problems.
    category : Category
    problems : list of str
        Gets a sentence with the names of the training images that are left out, and one for each picture that is
        tested as normal and as anomalous.

    Returns
    -------
    Category
    """
    tested = [image.path for image in category.test]
    contents = _contents((*category.train, *tested))
    first: dict[str, Path] = {}
    for path in tested:
        if path in contents:
            first.setdefault(contents[path], path)
    pairs = [(path, first[contents[path]]) for path in category.train if contents.get(path) in first]
    if pairs:
        names = _listed([f"{a} = {b}" if a != b else str(a) for a, b in pairs])
        problems.append(
            f"{root}: category {category.name}: {len(pairs)} of {len(category.train)} training images are test images, "
            f"too, and are left out of the training images: {names}"
        )
    problems += _two_labels(root, category, contents)
    fitted = {path for path, _ in pairs}
    return replace(category, train=tuple(path for path in category.train if path not in fitted))


def _two_labels(root: Path, category: Category, contents: dict[Path, str]) -> list[str]:
    """Problem: test images whose content is labelled normal once and anomalous once."""
    normal = {contents[i.path]: i.path for i in category.test if not i.anomalous and i.path in contents}
    both = [(normal[contents[i.path]], i.path) for i in category.test if i.anomalous and contents.get(i.path) in normal]
    if not both:
        return []
    names = _listed([f"{a} = {b}" for a, b in both])
    return [f"{root}: category {category.name}: the same picture is tested as normal and as anomalous: {names}"]


def _contents(paths: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of each file that has the size of another one, and for a frame of a video also its time.

    A file that cannot be read is named when it is used.
    """
    frames = {path: split_frame_name(path) or (path, 0.0) for path in paths}
    by_size: dict[int, set[Path]] = {}
    for file in {file for file, _ in frames.values()}:
        try:
            by_size.setdefault(file.stat().st_size, set()).add(file)
        except OSError:
            continue
    contents = {}
    for same_size in by_size.values():
        for file in same_size:
            try:
                contents[file] = _sha256(file) if len(same_size) > 1 else str(file)
            except OSError:
                continue
    return {path: f"{contents[file]} {seconds}" for path, (file, seconds) in frames.items() if file in contents}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
