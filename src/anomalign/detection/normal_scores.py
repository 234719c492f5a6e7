"""Scores of the normal images of a bank, each as if its group and its copies were not in the bank."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import map_score
from anomalign.bank import AlignedScore, Bank, NormalImage, Progress
from anomalign.calibration.groups import Groups
from anomalign.calibration.independent_count import independent_count
from anomalign.calibration.pixels import PixelCounts
from anomalign.calibration.thresholds import Calibration
from anomalign.detection.dependence import SAMPLE, find_groups, given_groups
from anomalign.detection.settings import Settings
from anomalign.errors import CalibrationError
from anomalign.numerics.checksums import with_checksum, without_checksum
from anomalign.retrieval import ImageSearch, Neighbours

Align: TypeAlias = Callable[[int, Sequence[int]], NDArray[np.float32]]
"""Called as ``align(row, gallery)``: the smoothed map of one of the bank's images against others, by `Bank.views`."""

_SAMPLE = 20  # images that go through stage 2 where stage 1 alone decides: their maps only scale the heat
_STORED_TOGETHER = 50


def sample_rows(images: Sequence[NormalImage], size: int) -> NDArray[np.int64]:
    """Rows of at most `size` images, in order: those with the least SHA-256."""
    order = sorted(range(len(images)), key=lambda row: images[row].sha256)[:size]
    return np.array(sorted(order), np.int64)


def groups_of(bank: Bank, search: ImageSearch, settings: Settings) -> Groups:
    """Groups of all images of the bank: as given, or as they are found."""
    given = given_groups(bank.images)
    if given is not None:
        return given
    return find_groups(bank, search, sample_rows(bank.images, SAMPLE), settings.image_neighbours)


def score_normals(
    bank: Bank,
    search: ImageSearch,
    settings: Settings,
    rows: NDArray[np.int64],
    align: Align,
    progress: Progress | None = None,
) -> Calibration:
    """Score the images in these rows by both stages, and store that in the bank.

    A stored stage 2 score stays valid as long as the gallery of the image is the same.

    Raises
    ------
    CalibrationError
        All images of the bank are the same picture, or of one group.
    """
    groups = groups_of(bank, search, settings)
    left_out = [groups.left_out(row) for row in rows.tolist()]
    neighbours = search.leave_out(rows, min(settings.neighbours, len(bank) - 1), left_out)
    if (neighbours.index[:, 0] < 0).any():
        same = "of one group" if groups.total == 1 and groups.origin == "given" else "the same picture"
        raise CalibrationError(
            f"{bank.path}: all images are {same}, so there is nothing to calibrate with: add images of others"
        )
    ids, views = np.array([image.id for image in bank.images], np.int64), bank.identity.views
    by_retrieval = settings.decided_by == "retrieval"
    aligned = sample_rows([bank.images[row] for row in rows], _SAMPLE if by_retrieval else len(rows))
    galleries = neighbours.index[aligned, : settings.gallery_size]
    scores = _alignment(bank, settings, ids, rows[aligned], galleries, align, progress)
    retrieval = _retrieval(neighbours, settings.image_neighbours)
    alignment = np.array([score.score for score in scores])
    result = Calibration(
        ids=ids[rows],
        retrieval=retrieval,
        nearest=ids[views.image(neighbours.index[:, 0])],
        aligned=aligned,
        alignment=alignment,
        pixels=PixelCounts.total(PixelCounts.from_bytes(_pixels(score) or b"") for score in scores),
        groups=_counted(groups.of(rows), [retrieval] if by_retrieval else [retrieval, alignment]),
    )
    bank.save_calibration(settings.calibration_key(), result.to_bytes())
    return result


def score_without(
    search: ImageSearch,
    settings: Settings,
    rows: NDArray[np.int64],
    left_out: Sequence[NDArray[np.int64]],
    align: Align,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(Q,) scores of both stages, each image without its copies and others; infinite where no image remains."""
    neighbours = search.leave_out(rows, settings.neighbours, left_out)
    none = neighbours.index[:, 0] < 0
    retrieval = np.full(len(rows), np.inf)
    retrieval[~none] = _retrieval(
        Neighbours(neighbours.index[~none], neighbours.distance[~none]), settings.image_neighbours
    )
    alignment = np.full(len(rows), np.inf)
    for place in np.flatnonzero(~none).tolist():
        padded = neighbours.index[place, : settings.gallery_size]
        square = align(int(rows[place]), np.sort(padded[padded >= 0]).tolist())
        alignment[place] = map_score(square, settings.top_share)
        if progress:
            progress(place + 1, len(rows))
    return retrieval, alignment


def _counted(groups: Groups, scores: Sequence[NDArray[np.float64]]) -> Groups:
    """Count groups as fewer whose scores are alike; groups that the user named count as they are."""
    if groups.origin == "given":
        return groups
    logs = [np.log(np.maximum(stage, np.finfo(float).tiny)) for stage in scores]
    return groups.counted_as(min(independent_count(groups.means_in_order(stage)) for stage in logs))


def _retrieval(neighbours: Neighbours, count: int) -> NDArray[np.float64]:
    """(Q,) mean distance to the nearest `count` images, or to all where there are fewer."""
    nearest = neighbours.distance[:, :count].astype(np.float64)
    is_there = np.isfinite(nearest)
    return np.asarray(np.where(is_there, nearest, 0).sum(axis=1) / is_there.sum(axis=1))


def _alignment(
    bank: Bank,
    settings: Settings,
    ids: NDArray[np.int64],
    rows: NDArray[np.int64],
    galleries: NDArray[np.int64],
    align: Align,
    progress: Progress | None,
) -> list[AlignedScore]:
    """Stage 2 of the images in these rows, from the bank's store where it holds; stored a few at a time."""
    key, views = settings.alignment_key(), bank.identity.views
    stored = {(score.image, score.gallery): score for score in bank.load_aligned(key) if _is_sound(score)}
    results: list[AlignedScore] = []
    unsaved: list[AlignedScore] = []
    for row, padded in zip(rows.tolist(), galleries, strict=True):
        gallery = np.sort(
            padded[padded >= 0]
        )  # in the order of the bank, so that the order by distance does not matter
        gallery_key = views.number(ids[views.image(gallery)], views.turn(gallery)).astype("<i8").tobytes()
        score = stored.get((int(ids[row]), gallery_key))
        if score is None:
            square = align(row, gallery.tolist())
            score = _seal(int(ids[row]), gallery_key, map_score(square, settings.top_share), PixelCounts.of(square))
            unsaved.append(score)
        results.append(score)
        if len(unsaved) == _STORED_TOGETHER:  # an interrupted calibration is taken up again
            bank.save_aligned(key, unsaved)
            unsaved = []
        if progress:
            progress(len(results), len(rows))
    bank.save_aligned(key, unsaved)
    return results


def _seal(image: int, gallery: bytes, score: float, pixels: PixelCounts) -> AlignedScore:
    return AlignedScore(image, gallery, score, with_checksum(pixels.to_bytes(), gallery, f"{image} {score!r}".encode()))


def _pixels(score: AlignedScore) -> bytes | None:
    return without_checksum(score.pixels, score.gallery, f"{score.image} {score.score!r}".encode())


def _is_sound(score: AlignedScore) -> bool:
    return _pixels(score) is not None
