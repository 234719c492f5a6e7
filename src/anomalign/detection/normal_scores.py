"""Scores of the normal images of a bank, each as if its group and its copies were not in the bank."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import map_score, smooth_map
from anomalign.bank import AlignedDistances, Bank, NormalImage, Progress
from anomalign.calibration.groups import Groups
from anomalign.calibration.independent_count import independent_count
from anomalign.calibration.pixels import PixelCounts
from anomalign.calibration.places import PlaceStatistics, left_out_scores
from anomalign.calibration.thresholds import Calibration
from anomalign.detection.decision import logs_of
from anomalign.detection.dependence import SAMPLE, find_groups, given_groups
from anomalign.detection.settings import Settings
from anomalign.detection.window import LOOKED_AT, choose_window
from anomalign.errors import CalibrationError
from anomalign.images.framing import Framing
from anomalign.numerics.checksums import with_checksum, without_checksum
from anomalign.retrieval import ImageSearch, Neighbours

Align: TypeAlias = Callable[[int, Sequence[int], int | None], NDArray[np.float32]]
"""Called as ``align(row, gallery, window)``: (h, w) distances of one of a bank's images to others, by `Bank.views`."""

AlignAll: TypeAlias = Callable[[Sequence[tuple[int, Sequence[int]]], int | None], Iterable[NDArray[np.float32]]]
"""Called as ``align(pairs, window)``: what `Align` gives for each pair of a row and a gallery, in order."""

_SAMPLE = 20  # images that go through stage 2 where stage 1 alone decides: they only say what heat is usual
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


def score_normals(bank: Bank, settings: Settings, rows: NDArray[np.int64], found: "Measured") -> Calibration:
    """Make a calibration of what `measure_normals` found for the images in these rows, and store it in the bank."""
    by_retrieval = settings.decided_by == "retrieval"
    framing, ids = bank.identity.framing, np.array([image.id for image in bank.images], np.int64)
    h, w = found.distances.shape[1:]
    counted, pixels_counted = framing.counted((h, w)), framing.counted(framing.shape)
    place_scores = left_out_scores(found.distances, found.weights, found.aligned_left_out, counted)
    alignment = np.array([map_score(one, settings.top_share, counted) for one in place_scores])
    score_maps = (smooth_map(one, framing.shape, sigma_px=0) for one in place_scores)
    result = Calibration(
        ids=ids[rows],
        retrieval=found.retrieval,
        nearest=ids[bank.identity.views.image(found.nearest)],
        aligned=found.aligned,
        alignment=alignment,
        peaks=np.array([_peak(one, settings, framing) for one in found.distances]),
        places=PlaceStatistics.of(found.distances, found.weights, counted),
        pixels=PixelCounts.total(
            PixelCounts.of(one if pixels_counted is None else one[pixels_counted]) for one in score_maps
        ),
        groups=_counted(found.groups.of(rows), [found.retrieval] if by_retrieval else [found.retrieval, alignment]),
        window=found.window,
    )
    bank.save_calibration(settings.calibration_key(), result.to_bytes())
    return result


@dataclass(frozen=True, eq=False)
class Measured:
    """What both stages say of N normal images, each as if its group and its copies were not in the bank.

    Attributes
    ----------
    groups : Groups
        Groups of all images of the bank.
    left_out : N int64 arrays
        Rows in the bank of the images that are left out with each.
    retrieval : (N,) float64 array
        Stage 1 scores.
    nearest : (N,) int64 array
        The nearest other image of each, by `Bank.views`.
    aligned : (M,) int64 array
        Places among the N images of those that went through stage 2.
    distances : (M, h, w) float32 array
        Their stage 2 distances.
    weights : (M,) float64 array
        How much each of them counts.
    aligned_left_out : M int64 arrays
        Places among these M of the images that are left out with each.
    window : int or None
        Radius of the window of stage 2.
    """

    groups: Groups
    left_out: list[NDArray[np.int64]]
    retrieval: NDArray[np.float64]
    nearest: NDArray[np.int64]
    aligned: NDArray[np.int64]
    distances: NDArray[np.float32]
    weights: NDArray[np.float64]
    aligned_left_out: list[NDArray[np.int64]]
    window: int | None


def measure_normals(
    bank: Bank,
    search: ImageSearch,
    settings: Settings,
    rows: NDArray[np.int64],
    align: AlignAll,
    progress: Progress | None = None,
) -> Measured:
    """Run both stages on the images in these rows.

    Stored distances of stage 2 stay valid as long as the gallery of the image is the same.

    Raises
    ------
    CalibrationError
        All images of the bank are the same picture, or of one group; or fewer than two others remain for one of them.
    """
    groups = groups_of(bank, search, settings)
    left_out = [np.union1d(groups.left_out(row), search.copies.of(row)) for row in rows.tolist()]
    _check_others(bank, groups, search.copies.number, left_out)
    neighbours = search.leave_out(rows, min(settings.neighbours, len(bank) - 1), left_out)
    ids = np.array([image.id for image in bank.images], np.int64)
    few = _SAMPLE if settings.decided_by == "retrieval" else len(rows)
    aligned = sample_rows([bank.images[row] for row in rows], few)
    galleries = neighbours.index[aligned, : settings.gallery_size]
    window = settings.window
    if window == "auto":
        sample = sample_rows([bank.images[row] for row in rows[aligned]], LOOKED_AT)
        window = choose_window(bank, settings, rows[aligned][sample], galleries[sample])
    return Measured(
        groups=groups,
        left_out=left_out,
        retrieval=mean_of_nearest(neighbours, settings.image_neighbours),
        nearest=neighbours.index[:, 0],
        aligned=aligned,
        distances=_distances(bank, settings, ids, rows[aligned], galleries, align, window, progress),
        weights=groups.of(rows[aligned]).weights,
        aligned_left_out=_left_out_of(rows[aligned], [left_out[a] for a in aligned], groups),
        window=window,
    )


def _check_others(
    bank: Bank, groups: Groups, pictures: NDArray[np.int64], left_out: Sequence[NDArray[np.int64]]
) -> None:
    """Raise CalibrationError where an image has not two others to be compared with: one alone has no spread."""
    others = [np.delete(np.arange(len(bank)), gone) for gone in left_out]
    fewest = min(min(_distinct(groups.number[rows]), _distinct(pictures[rows])) for rows in others)
    if fewest == 0:
        same = "of one group" if groups.total == 1 and groups.origin == "given" else "the same picture"
        raise CalibrationError(
            f"{bank.path}: all images are {same}, so there is nothing to calibrate with: add images of others"
        )
    if fewest == 1:
        raise CalibrationError(
            f"{bank.path}: its normal images are too few to calibrate; for each there must be two others of different "
            "groups that are neither copies of it nor of each other, nor of its group: add images of others"
        )


def _distinct(numbers: NDArray[np.int64]) -> int:
    return int(np.count_nonzero(np.bincount(numbers)))


def _left_out_of(rows: NDArray[np.int64], sets: Sequence[NDArray[np.int64]], groups: Groups) -> list[NDArray[np.int64]]:
    """Places in (M,) rows, in order, of those that are left out; of all where the others are of one group.

    The rows may be a sample of the bank, in which fewer others remain than in the whole bank.
    """
    everything, number = np.arange(len(rows)), groups.number[rows]
    left_out = []
    for one in sets:
        places = np.minimum(np.searchsorted(rows, one), len(rows) - 1)
        places = places[rows[places] == one]
        left_out.append(places if _distinct(np.delete(number, places)) > 1 else everything)
    return left_out


def score_without(
    bank: Bank,
    search: ImageSearch,
    settings: Settings,
    rows: NDArray[np.int64],
    left_out: Sequence[NDArray[np.int64]],
    align: Align,
    window: int | None,
    places: PlaceStatistics,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(Q,) scores of both stages and `Calibration.peaks`, each image without its copies and others.

    They are infinite where no image remains.
    """
    neighbours = search.leave_out(rows, settings.neighbours, left_out)
    none = neighbours.index[:, 0] < 0
    retrieval = np.full(len(rows), np.inf)
    retrieval[~none] = mean_of_nearest(
        Neighbours(neighbours.index[~none], neighbours.distance[~none]), settings.image_neighbours
    )
    alignment, peaks = np.full(len(rows), np.inf), np.full(len(rows), np.inf)
    for place in np.flatnonzero(~none).tolist():
        padded = neighbours.index[place, : settings.gallery_size]
        distance = align(int(rows[place]), np.sort(padded[padded >= 0]).tolist(), window)
        alignment[place] = map_score(places.scores(distance), settings.top_share, places.counted)
        peaks[place] = _peak(distance, settings, bank.identity.framing)
        if progress:
            progress(place + 1, len(rows))
    return retrieval, alignment, peaks


def _counted(groups: Groups, scores: Sequence[NDArray[np.float64]]) -> Groups:
    """Count groups as fewer whose scores are alike; groups that the user named count as they are."""
    if groups.origin == "given":
        return groups
    logs = [logs_of(stage, stage) for stage in scores]
    return groups.counted_as(min(independent_count(groups.means_in_order(stage)) for stage in logs))


def mean_of_nearest(neighbours: Neighbours, count: int) -> NDArray[np.float64]:
    """(Q,) mean distance to the nearest `count` images, or to all where there are fewer."""
    nearest = neighbours.distance[:, :count].astype(np.float64)
    is_there = np.isfinite(nearest)
    return np.asarray(np.where(is_there, nearest, 0).sum(axis=1) / is_there.sum(axis=1))


def _distances(
    bank: Bank,
    settings: Settings,
    ids: NDArray[np.int64],
    rows: NDArray[np.int64],
    galleries: NDArray[np.int64],
    align: AlignAll,
    window: int | None,
    progress: Progress | None,
) -> NDArray[np.float32]:
    """(M, h, w) distances of the images in these rows, from the bank's store where it holds; stored a few at a time."""
    key, views = settings.alignment_key(window), bank.identity.views
    stored = {(one.image, one.gallery): one for one in bank.load_aligned(key)}
    grid = bank.identity.grid(settings.grid_level)
    results = np.empty((len(rows), *grid), np.float32)
    wanted: list[_Wanted] = []
    for place, (row, padded) in enumerate(zip(rows.tolist(), galleries, strict=True)):
        # in the order of the bank, so that the order by distance does not matter
        gallery = np.sort(padded[padded >= 0])
        gallery_key = views.number(ids[views.image(gallery)], views.turn(gallery))
        one = _Wanted(place, row, tuple(gallery.tolist()), int(ids[row]), gallery_key.astype("<i8").tobytes())
        known = _unsealed(stored.get((one.image, one.key)))
        if known is None or len(known) != 4 * grid[0] * grid[1]:
            wanted.append(one)
        else:
            results[place] = np.frombuffer(known, "<f4").reshape(grid)
    del stored
    unsaved: list[AlignedDistances] = []
    for done, (one, distance) in enumerate(
        zip(wanted, align([(w.row, w.gallery) for w in wanted], window), strict=True), 1
    ):
        results[one.place] = distance
        unsaved.append(_sealed(one.image, one.key, distance))
        if len(unsaved) == _STORED_TOGETHER or done == len(wanted):  # an interrupted calibration is taken up again
            bank.save_aligned(key, unsaved)
            unsaved = []
        if progress:
            progress(len(rows) - len(wanted) + done, len(rows))
    return results


@dataclass(frozen=True)
class _Wanted:
    """An image whose distances are not stored: its place among the results, its row and gallery, and their ids."""

    place: int
    row: int
    gallery: tuple[int, ...]
    image: int
    key: bytes


def _peak(distance: NDArray[np.float32], settings: Settings, framing: Framing) -> float:
    """Mean of the highest values of the smoothed map, by the values at the centres of the cells that count."""
    h, w = distance.shape
    smoothed = smooth_map(distance, (h, w), settings.sigma_px * h / framing.shape[0])
    return map_score(smoothed, settings.top_share, framing.counted((h, w)))


def _sealed(image: int, gallery: bytes, distance: NDArray[np.float32]) -> AlignedDistances:
    content = np.ascontiguousarray(distance, "<f4").tobytes()
    return AlignedDistances(image, gallery, with_checksum(content, gallery, str(image).encode()))


def _unsealed(stored: AlignedDistances | None) -> bytes | None:
    """Return the distances; None where there are none, or where their bytes have changed."""
    if stored is None:
        return None
    return without_checksum(stored.distances, stored.gallery, str(stored.image).encode())
