"""The two stages together: image -> Inspection."""

import contextlib
import copy
import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import Alignment, align, map_score, smooth_map
from anomalign.backbones import Described, describe, describe_together
from anomalign.bank import Bank, Progress
from anomalign.calibration import thresholds
from anomalign.calibration.groups import Groups
from anomalign.calibration.places import PlaceStatistics
from anomalign.calibration.thresholds import Calibration, Threshold
from anomalign.detection import defect_plan
from anomalign.detection.decision import DecisionRule
from anomalign.detection.dependence import given_groups
from anomalign.detection.evidence import Aligned, Comparison
from anomalign.detection.in_place import InPlace, judge_in_place
from anomalign.detection.inspection import Inspection
from anomalign.detection.normal_scores import (
    AlignAll,
    Measured,
    measure_normals,
    sample_rows,
    score_normals,
    score_without,
)
from anomalign.detection.notebook import NormalPicture
from anomalign.detection.power import DetectionPower
from anomalign.detection.settings import PRESETS, Settings
from anomalign.detection.summary import Neighbour
from anomalign.errors import BankError, CalibrationError, ImageError, InputError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.sources import Failure, Source, each_source
from anomalign.numerics.forks import ForkSafeLock
from anomalign.numerics.threads import available_cores, one_blas_thread
from anomalign.pyramid import FeaturePyramid
from anomalign.retrieval import ImageSearch
from anomalign.synthetic import KINDS, SIZES, Kind


class Detector:
    """Inspects images against one version of a bank. Safe to use from several threads and in forked processes.

    It keeps the images that the bank had when the detector was made, until the bank is compacted. After an edit, make a
    new detector.

    Parameters
    ----------
    bank : Bank or path
        At least three normal images. A path is that of a bank's folder.
    settings : Settings
        Also ``PRESETS["paper"]``.
    target_fpr : float, optional
        Share of normal images that may be called anomalous. Default: 1 %, or the least that so few images, or groups
        of images, support.

    Raises
    ------
    BankError
        The bank is empty, or there is none.
    InputError
        `bank` is neither a bank nor a path.
    CalibrationError
        It holds fewer than three images, or too few for the rate asked for.
    """

    def __init__(
        self,
        bank: Bank | str | os.PathLike[str],
        settings: Settings = PRESETS["default"],
        target_fpr: float | None = None,
    ) -> None:
        bank = _opened(bank)
        if len(bank) == 0 and bank.left_out:
            raise BankError(f"{bank.path}: all its images are left out; name fewer of them")
        if len(bank) == 0:
            raise BankError(f"{bank.path}: the bank is empty; add images with Bank.add")
        if len(bank) < thresholds.LEAST_NORMALS:
            raise CalibrationError(
                f"{bank.path}: {len(bank)} normal image{'s are' if len(bank) > 1 else ' is'} not enough to calibrate; "
                f"{thresholds.LEAST_NORMALS} are needed, 99 for the usual false-positive rate of 1 %"
            )
        self.bank = bank = copy.copy(bank)  # as it is now, whatever is done to it later
        self.settings = settings
        self._rows = sample_rows(bank.images, settings.calibration_size)
        self._asked_rate = target_fpr
        if target_fpr is not None:
            given = given_groups(bank.images)
            groups = None if given is None else given.of(self._rows).count
            thresholds.check_rate(target_fpr, len(self._rows), groups)
        self._level_weights = settings.weights_of(bank.identity)
        self._grid = bank.identity.grid(settings.grid_level)
        self._images = bank.images
        with one_blas_thread():  # sums come out otherwise on more threads, and records are replayed to the last digit
            self._search = ImageSearch(bank, settings.descriptor, settings.index)
        self._lock = ForkSafeLock()
        self._rule: DecisionRule | None = None
        self._measured: Measured | None = None

    def __repr__(self) -> str:
        """Bank, settings that differ from the defaults, and threshold, in two lines."""
        defaults = PRESETS["default"]
        changes = {f.name: getattr(self.settings, f.name) for f in fields(Settings)}
        changes = {name: value for name, value in changes.items() if value != getattr(defaults, name)}
        settings = ", ".join(f"{name}={value!r}" for name, value in changes.items()) or "default settings"
        rule = "not calibrated yet" if self._rule is None else repr(self._rule)
        return f"<Detector: {self.bank!r}\n  {settings}; {rule}>"

    @property
    def target_fpr(self) -> float:
        """Share of normal images that may be called anomalous; calibrates on first use."""
        return self.rule.threshold.target_fpr

    @property
    def groups(self) -> Groups:
        """Groups of the normal images that were scored, as `Calibration.groups`; calibrates on first use."""
        return self.rule.calibration.groups

    @property
    def threshold(self) -> Threshold:
        """Threshold of the image score; calibrates on first use."""
        return self.rule.threshold

    @property
    def normal_scores(self) -> NDArray[np.float64]:
        """(N,) leave-one-out image scores of the normals, on the scale of `Inspection.image_score`."""
        return self.rule.normal_scores

    @property
    def alignment_key(self) -> str:
        """Key of the stored distances of stage 2, as for `Bank.load_aligned`; calibrates on first use."""
        return self.settings.alignment_key(self.rule.calibration.window)

    @property
    def has_older_scores(self) -> bool:
        """Whether an earlier version of the package has scored these normal images, in another way, and none since."""
        load, settings = self.bank.load_calibration, self.settings
        return load(settings.calibration_key()) is None and load(settings.older_calibration_key()) is not None

    @property
    def rule(self) -> DecisionRule:
        """What decides on a verdict; calibrates on first use."""
        if self._rule is None:
            self.calibrate()
        assert self._rule is not None
        return self._rule

    @property
    def calibration(self) -> Calibration | None:
        """The calibration in use; None if there is none yet."""
        return None if self._rule is None else self._rule.calibration

    def use(self, calibration: Calibration) -> None:
        """Use a calibration of the same bank with the same settings, as `calibrate` returns it."""
        self._rule = DecisionRule.of(calibration, self.settings, self._rate(calibration.groups))

    def calibrate(self, progress: Progress | None = None, align: AlignAll | None = None) -> Calibration:
        """Score the normal images, each as if its group and its copies were not in the bank.

        Groups are those that the bank was given, or those that can be seen (`Calibration.groups`). Stored scores are
        used again. If images were added or removed, stage 2 runs only for images whose gallery changed. The result is
        stored in the bank.

        Parameters
        ----------
        progress : callable, optional
        align : callable, optional
            Runs stage 2 on many normal images, as `align_normals` does, which is the default.

        Raises
        ------
        CalibrationError
            All images of the bank are the same picture or of one group, or the groups are too few for the rate.
        """
        with self._lock:
            key = self.settings.calibration_key()
            stored = self.bank.load_calibration(key)
            result = None if stored is None else Calibration.from_bytes(stored)
            if result is None:
                self._measured = self._measure(progress, align)
                with one_blas_thread():
                    result = score_normals(self.bank, self.settings, self._rows, self._measured)
            self.use(result)
            return result

    def align_normals(
        self, pairs: Sequence[tuple[int, Sequence[int]]], window: int | None
    ) -> Generator[NDArray[np.float32], None, None]:
        """Run stage 2 on images of the bank: (h, w) distances of each to the images of its gallery.

        Parameters
        ----------
        pairs : sequence of (int, sequence of int)
            Row of an image in the bank, and its gallery, by `Bank.views`.
        window : int or None
            Radius of the window.
        """
        for row, gallery in pairs:
            with one_blas_thread():
                distance = self._align_normal(row, gallery, window)
            yield distance

    def at_rate(self, target_fpr: float) -> "Detector":
        """Make the same detector for another target rate, but at least the least that its normal images support."""
        scores = self.calibrate()
        other = copy.copy(self)
        other._lock = ForkSafeLock()
        other._asked_rate = max(target_fpr, thresholds.best_rate(scores.groups.count))
        other._rule = DecisionRule.of(scores, self.settings, other._asked_rate)
        return other

    def _rate(self, groups: Groups) -> float:
        """Target rate: the one asked for, or the least that can be promised if scores of neighbours are alike."""
        if self._asked_rate is None:
            return thresholds.usual_rate(groups.count)
        thresholds.check_rate(self._asked_rate, len(self._rows), groups.total)
        return max(self._asked_rate, thresholds.best_rate(groups.count))

    def inspect(self, image: Source, max_pixels: int = MAX_PIXELS, *, keep_image: bool = False) -> Inspection:
        """Inspect one image.

        Parameters
        ----------
        image : Source
            Path of a file; array; image of Pillow; bytes of an image file, or file that is open for reading bytes
            (`anomalign.images.sources.Source`).
        max_pixels : int
            Limit on width x height, checked before anything is decoded.
        keep_image : bool
            Whether the inspection carries the image.

        Raises
        ------
        ImageError
            The image cannot be used.
        """
        (result,) = self._inspect([image], max_pixels, threads=available_cores(), keep_images=keep_image)
        if isinstance(result, Failure):
            raise ImageError(result.error)
        return result

    def inspect_many(
        self,
        images: Source | Iterable[Source | Failure],
        max_pixels: int = MAX_PIXELS,
        *,
        keep_images: bool = False,
        progress: Progress | None = None,
    ) -> Generator[Inspection | Failure, None, None]:
        """Inspect images one after the other, in their order; an image that cannot be used becomes a `Failure`.

        Parameters
        ----------
        images : Source, or iterable of these
            As for `inspect`; also folders (to any depth) and globs, whose images take their place. A `Failure` stays
            one.
        max_pixels : int
            Larger images become a `Failure`, before they are decoded.
        keep_images : bool
            Whether each inspection carries its image, so that a picture of it needs no second decoding.
        progress : callable, optional
            Called with (done, total) after each image; an iterable is then listed first.
        """
        if progress is None:
            return self._inspect(each_source(images), max_pixels, threads=1, keep_images=keep_images)
        listed = list(each_source(images))
        results = self._inspect(listed, max_pixels, threads=1, keep_images=keep_images)
        return _counted(results, len(listed), progress)

    def inspect_batch(
        self, images: Source | Iterable[Source], max_pixels: int = MAX_PIXELS
    ) -> list[Inspection | Failure]:
        """Inspect a few images, in their order, by one call of the network: for callers with threads of their own.

        The results equal those of `inspect_many`, bit by bit.
        """
        described = self._describe_together(each_source(images), max_pixels)
        return [self.judge(item) if isinstance(item, Described) else item for item in described]

    def align(self, inspection: Inspection) -> Inspection:
        """Add the outcome of stage 2 to an inspection. If stage 1 cleared the image, stage 2 runs now.

        The verdict stays the same. The detector must have the same normal images as the one that inspected the image;
        it may be in another process.

        Raises
        ------
        InputError
            Only the summary of the inspection was read, or an image of its gallery is not in this detector's bank.
        """
        if inspection.has_aligned:
            return inspection
        comparison = inspection.require_comparison()
        assert comparison.pyramid is not None  # carried until stage 2 has run
        rows = self._rows_of(id for id, _ in comparison.gallery)
        self._check_same_bank(inspection, comparison, rows)
        numbers = self.bank.identity.views
        views = [numbers.number(row, turn) for row, (_, turn) in zip(rows, comparison.gallery, strict=True)]
        with one_blas_thread():
            aligned = self._aligned(comparison.pyramid, views, comparison.places)
        return replace(inspection, comparison=replace(comparison, aligned=aligned, pyramid=None))

    def judge_again(self, inspection: Inspection) -> Inspection:
        """Judge an inspection again by this detector's target rate; its bank and other settings must be the same."""
        if self.rule.needs_alignment(inspection.retrieval_score):
            inspection = self.align(inspection)
        alignment_score = inspection.aligned.score if inspection.has_aligned else None
        inspection = replace(inspection, **vars(self.rule.judge(inspection.retrieval_score, alignment_score)))
        if inspection.verdict == "anomalous":
            inspection = self.align(inspection)
        return inspection.with_regions()

    def against(
        self, image: Source, *image_ids: int, max_pixels: int = MAX_PIXELS, places: PlaceStatistics | None = None
    ) -> Aligned:
        """Run stage 2 on an image, with these normal images as its gallery.

        Parameters
        ----------
        image : Source
            As for `inspect`.
        *image_ids : int
            Identifiers of images in the bank.
        max_pixels : int
        places : PlaceStatistics, optional
            What is usual at each place. Default: by the images of this bank, which calibrates on first use.

        Raises
        ------
        InputError
            No image is named, or one is not in the bank.
        ImageError
            The image cannot be used.
        """
        if not image_ids:
            raise InputError(f"{self.bank.path}: name at least one image of this bank")
        rows = self._rows_of(image_ids)
        (item,) = self._describe_together([image], max_pixels)
        if isinstance(item, Failure):
            raise ImageError(item.error)
        views = [view for row in rows for view in self.bank.identity.views.all_of(row)]  # in all orientations
        return self._aligned(item.pyramid, views, self.rule.calibration.places if places is None else places)

    def judge(self, image: Described) -> Inspection:
        """Inspect an image that the backbone has described already."""
        rule = self.rule
        places = rule.calibration.places
        with one_blas_thread():  # products of one image are small: threads would wait for each other, busily
            nearest = self._search.search([image.pyramid], min(self.settings.neighbours, len(self._images)))
            distances, views = nearest.distance[0], nearest.index[0].tolist()
            retrieval_score = float(distances[: self.settings.image_neighbours].mean())
            gallery = views[: self.settings.gallery_size]
            aligned = self._aligned(image.pyramid, gallery, places) if rule.needs_alignment(retrieval_score) else None
            judgement = rule.judge(retrieval_score, None if aligned is None else aligned.score)
            if aligned is None and judgement.verdict == "anomalous":  # stage 1 decided alone; stage 2 shows where
                aligned = self._aligned(image.pyramid, gallery, places)
        numbers = self.bank.identity.views
        normals = [self._images[numbers.image(view)] for view in views]
        inspection = Inspection(
            name=image.name,
            sha256=image.sha256,
            height=image.height,
            width=image.width,
            **vars(judgement),
            retrieval_score=retrieval_score,
            neighbours=tuple(
                Neighbour(n.id, n.name, n.sha256, float(d)) for n, d in zip(normals, distances, strict=True)
            ),
            comparison=Comparison(
                framing=self.bank.identity.framing,
                places=places,
                pixels=rule.calibration.pixels,
                gallery=tuple((self._images[numbers.image(view)].id, numbers.turn(view)) for view in gallery),
                aligned=aligned,
                pyramid=image.pyramid if aligned is None else None,
            ),
            image=image.image,
        ).with_regions()
        return inspection if image.image is None else replace(inspection, normal_picture=self._beside(inspection))

    def check(
        self,
        *,
        images: int = defect_plan.IMAGES,
        kinds: Sequence[Kind] = KINDS,
        sizes: Sequence[float] = SIZES,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> DetectionPower:
        """Measure which synthetic defects are found by this bank, these settings and this threshold.

        Nothing is added to the bank or to its calibration.

        Parameters
        ----------
        images : int
            Number of normal images that defects are drawn into: one of each kind and size into each.
        kinds : sequence of Kind
        sizes : sequence of float
            Shares of the shorter side of the image.
        seed : int
            The same seed draws the same defects.
        progress : callable, optional

        Raises
        ------
        InputError
            A kind is unknown, a size lies outside 0 to 1, or `images` is less than 1.
        """
        plan = self.plan_defects(images, kinds, sizes, seed)
        return self.check_plan(plan, progress)

    def plan_defects(
        self,
        images: int = defect_plan.IMAGES,
        kinds: Sequence[Kind] = KINDS,
        sizes: Sequence[float] = SIZES,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> defect_plan.Plan:
        """Choose the normal images of `check`, and read their pictures; parameters and errors as there."""
        groups = self.measured.groups
        return defect_plan.make_plan(self.bank, groups, self._rows, images, kinds, sizes, seed, progress)

    def check_plan(self, plan: defect_plan.Plan, progress: Progress | None = None) -> DetectionPower:
        """Measure as `check`, for defects that were planned before, by this or another bank of the same files."""
        return defect_plan.measure_power(self.bank, plan, self._judge_in_place, self.threshold, progress)

    def power_at_rates(self, power: DetectionPower, rates: Sequence[float]) -> list[DetectionPower]:
        """What would be found at each of these target rates that is higher than its own; nothing is measured anew."""
        higher = [rate for rate in rates if rate > power.threshold.target_fpr]
        return [power.at(self.at_rate(rate).threshold) for rate in higher]

    def find_examples(self, plan: defect_plan.Plan, power: DetectionPower) -> list[defect_plan.Example]:
        """Draw again, for each kind, the smallest defect that is found and the largest that is missed."""
        return defect_plan.find_examples(self.bank, plan, self._judge_in_place, power)

    @property
    def measured(self) -> Measured:
        """What both stages say of the normal images; measured where the calibration was read from the bank."""
        if self._measured is None:
            self._measured = self._measure()
        return self._measured

    def _measure(self, progress: Progress | None = None, align: AlignAll | None = None) -> Measured:
        align = align or self.align_normals
        with one_blas_thread():
            return measure_normals(self.bank, self._search, self.settings, self._rows, align, progress)

    @cached_property
    def _place_of(self) -> dict[str, int]:
        """Place in the calibration of the normal image of each file."""
        return {self._images[self._row_of[id]].sha256: p for p, id in enumerate(self.rule.calibration.ids.tolist())}

    def _judge_in_place(self, sha256: str, pyramids: Sequence[FeaturePyramid], with_places: bool) -> InPlace:
        with one_blas_thread():
            return judge_in_place(
                self.bank,
                self._search,
                self.settings,
                self.rule,
                self.measured,
                self._place_of[sha256],
                pyramids,
                lambda pyramid, views: self._align(pyramid, views, self.rule.calibration.window).distance,
                with_places,
            )

    def nearest_normals(self, *, of_other_groups: bool = False) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the nearest other normal image of each image that calibration scores: its row and squared distance.

        A copy of the same picture is the nearest, with distance 0. With `of_other_groups` neither copies nor images of
        the same group are looked at; the row is -1 and the distance infinite where there are no others.
        """
        if not of_other_groups:
            return self._search.nearest_others(self._rows)
        left_out = [self._rows[self.groups.left_out(place)] for place in range(len(self._rows))]
        near = self._search.leave_out(self._rows, 1, left_out)
        return self.bank.identity.views.image(near.index[:, 0]), near.distance[:, 0]

    def scores_without(
        self,
        ids: Sequence[int],
        left_out: Sequence[Iterable[int]],
        places: PlaceStatistics,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Stage 1 scores, stage 2 scores and `Calibration.peaks` of some normal images, each as if others were missing.

        Parameters
        ----------
        ids : Q identifiers of images
        left_out : Q iterables of int
            Identifiers of the images that are left out for each; the image itself and its copies always are.
        places : PlaceStatistics
            What is usual at each place.
        progress : callable, optional

        Returns
        -------
        three (Q,) float64 arrays
            Infinite where no other image remains.
        """
        rows = np.array(self._rows_of(ids), np.int64)
        sets = [np.array(self._rows_of(one), np.int64) for one in left_out]
        with one_blas_thread():
            window = self.rule.calibration.window
            return score_without(
                self.bank, self._search, self.settings, rows, sets, self._align_normal, window, places, progress
            )

    def _describe_together(self, images: Iterable[Source | Failure], max_pixels: int) -> list[Described | Failure]:
        identity = self.bank.identity
        return describe_together(images, self.bank.backbone, identity.framing, max_pixels, identity.reading)

    def _inspect(
        self, images: Iterable[Source | Failure], max_pixels: int, threads: int, keep_images: bool = False
    ) -> Generator[Inspection | Failure, None, None]:
        self.rule  # noqa: B018 -- calibrated before the first image is read
        results = describe(
            images,
            self.bank.backbone,
            self.bank.identity.framing,
            reading=self.bank.identity.reading,
            max_pixels=max_pixels,
            threads=threads,
            keep_images=keep_images,
        )
        with contextlib.closing(results):
            for result in results:
                if isinstance(result, Described):
                    yield self.judge(result)
                elif isinstance(result, Failure):
                    yield result

    def _beside(self, inspection: Inspection) -> NormalPicture:
        """The normal image to show beside an inspected one."""
        id, place = inspection.neighbours[0].id, None
        if inspection.regions:
            match = inspection.match_at(*inspection.regions[0].peak)
            id, place = match.image_id, (match.y, match.x)
        normal = self._images[self._row_of[id]]
        return NormalPicture(normal.name, normal.height, normal.width, self.bank.preview(id), place)

    @cached_property
    def _row_of(self) -> dict[int, int]:
        return {image.id: row for row, image in enumerate(self._images)}

    def _check_same_bank(self, inspection: Inspection, comparison: Comparison, rows: Sequence[int]) -> None:
        """Raise InputError where the gallery holds other images than this bank, which may have the same identifiers."""
        files = [neighbour.sha256 for neighbour in inspection.neighbours[: len(rows)]]
        orientations = len(self.bank.identity.turns)
        if [self._images[row].sha256 for row in rows] != files or any(t >= orientations for _, t in comparison.gallery):
            raise InputError(
                f"{inspection.name}: was inspected with other normal images than those of {self.bank.path}; inspect it "
                "again"
            )

    def _rows_of(self, ids: Iterable[int]) -> list[int]:
        """Rows of the images of these identifiers."""
        try:
            return [self._row_of[id] for id in ids]
        except KeyError as error:
            raise InputError(f"{self.bank.path}: no image {error} in this bank") from None

    def _aligned(self, pyramid: FeaturePyramid, views: list[int], places: PlaceStatistics) -> Aligned:
        alignment = self._align(pyramid, views, self.rule.calibration.window)
        place_scores = places.scores(alignment.distance)
        turns, numbers = self.bank.identity.turns, self.bank.identity.views
        return Aligned(
            alignment,
            smooth_map(alignment.distance, self.bank.identity.framing.shape, self.settings.sigma_px),
            place_scores,
            map_score(place_scores, self.settings.top_share, places.counted),
            tuple(self._images[numbers.image(view)] for view in views),
            tuple(turns[numbers.turn(view)] for view in views),
        )

    def _align(self, pyramid: FeaturePyramid, views: list[int], window: int | None) -> Alignment:
        """Align an image; a place that does not count has what the nearest one has that does, as beyond an edge."""
        alignment = align(
            pyramid,
            self.bank.views(views),
            self.settings.kappa,
            grid=self._grid,
            level_weights=self._level_weights,
            window=window,
        )
        nearest = self.bank.identity.framing.nearest_counted(self._grid)
        return alignment if nearest is None else alignment.taken_from(*nearest)

    def _align_normal(self, row: int, gallery: Sequence[int], window: int | None) -> NDArray[np.float32]:
        """(h, w) distances of one of the bank's own images to others of them, by `Bank.views`."""
        (pyramid,) = self.bank.gallery([row])
        return self._align(pyramid, list(gallery), window).distance


def _opened(bank: Bank | str | os.PathLike[str]) -> Bank:
    if isinstance(bank, Bank):
        return bank
    if isinstance(bank, (str, os.PathLike)):
        return Bank.open(bank)
    raise InputError(f"bank is of type {type(bank).__name__}; give a Bank, or the path of its folder")


def _counted(
    results: Generator[Inspection | Failure, None, None], total: int, progress: Progress
) -> Generator[Inspection | Failure, None, None]:
    with contextlib.closing(results):
        for done, result in enumerate(results, 1):
            progress(done, total)
            yield result
