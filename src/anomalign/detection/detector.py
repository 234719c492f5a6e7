"""The two stages together: image -> Inspection."""

import contextlib
import copy
import threading
from collections.abc import Generator, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from anomalign.alignment import Alignment, align, map_score, smooth_map
from anomalign.backbones import Described, describe, describe_together
from anomalign.bank import Bank, NormalImage, Progress
from anomalign.calibration import thresholds
from anomalign.calibration.thresholds import Calibration, Threshold
from anomalign.detection import leave_one_out
from anomalign.detection.decision import Limits
from anomalign.detection.inspection import Aligned, Inspection, Neighbour
from anomalign.detection.settings import PRESETS, Settings
from anomalign.errors import BankError, CalibrationError, ImageError, InputError
from anomalign.images.decoding import MAX_PIXELS
from anomalign.images.sources import Failure, Source
from anomalign.numerics.threads import available_cores, one_blas_thread
from anomalign.pyramid import FeaturePyramid
from anomalign.retrieval import ImageSearch


class Detector:
    """Inspects images against a bank as it is when this is made. Safe to use from several threads.

    When the bank is edited, make a new one; this one goes on with the images that it knows until the bank is compacted.

    Parameters
    ----------
    bank : Bank
        At least two normal images.
    settings : Settings
        Also ``PRESETS["paper"]``.
    target_fpr : float, optional
        Share of normal images that may be called anomalous. Default: 1 %, or the least that so few images support.

    Raises
    ------
    BankError
        The bank is empty.
    CalibrationError
        It holds one image only, or too few for the rate asked for.
    """

    def __init__(self, bank: Bank, settings: Settings = PRESETS["default"], target_fpr: float | None = None) -> None:
        if len(bank) == 0 and bank.left_out:
            raise BankError(f"{bank.path}: all its images are left out; name fewer of them")
        if len(bank) == 0:
            raise BankError(f"{bank.path}: the bank is empty; add images with `anomalign fit {bank.path} FOLDER`")
        if len(bank) == 1:
            raise CalibrationError(f"{bank.path}: one normal image cannot tell what is normal; add at least one more")
        self.bank = bank = copy.copy(bank)  # as it is now, whatever is done to it later
        self.settings = settings
        self._rows = leave_one_out.sampled(bank.images, settings.calibration_size)
        self.target_fpr = thresholds.usual_rate(len(self._rows)) if target_fpr is None else target_fpr
        thresholds.check_rate(self.target_fpr, len(self._rows))
        shapes = bank.identity.shapes
        self._level_weights = _weights(settings, bank)
        self._grid = shapes[min(settings.grid_level, len(shapes)) - 1][:2]
        self._images = bank.images
        with one_blas_thread():  # sums come out otherwise on more threads, and records are replayed to the last digit
            self._search = ImageSearch(bank, settings.descriptor, settings.index)
        self._lock = threading.Lock()
        self._limits: Limits | None = None

    @property
    def threshold(self) -> Threshold:
        """Where normal ends; calibrates on first use."""
        return self._calibrated().threshold

    @property
    def normal_scores(self) -> NDArray[np.float64]:
        """(N,) leave-one-out image scores of the normals, on the scale of `Inspection.image_score`."""
        return self._calibrated().normal_scores

    @property
    def limits(self) -> Limits:
        """What decides; calibrates on first use."""
        return self._calibrated()

    def calibrate(self, progress: Progress | None = None) -> Calibration:
        """Score the normal images, each as if it and its copies were not in the bank.

        What the bank has stored is used: where images have come or gone since, only those images go through stage 2
        that would now be compared with others than before. The result is stored in the bank.

        Raises
        ------
        CalibrationError
            All images of the bank are the same picture.
        """
        with self._lock:
            key = self.settings.calibration_key()
            stored = self.bank.load_calibration(key)
            result = None if stored is None else Calibration.from_bytes(stored)
            if result is None:
                with one_blas_thread():
                    result = leave_one_out.calibrate(
                        self.bank, self._search, self.settings, self._rows, self._align_normal, progress
                    )
            self._limits = Limits.of(result, self.settings, self.target_fpr)
            return result

    def inspect(self, image: Source, max_pixels: int = MAX_PIXELS) -> Inspection:
        """Inspect one image.

        Parameters
        ----------
        image : path or array
            (H, W, 3) RGB or (H, W) grey uint8.

        Raises
        ------
        ImageError
            Not an image that can be used.
        """
        (result,) = self._inspect([image], max_pixels, threads=available_cores())
        if isinstance(result, Failure):
            raise ImageError(result.error)
        return result

    def inspect_many(
        self, images: Iterable[Source], max_pixels: int = MAX_PIXELS
    ) -> Generator[Inspection | Failure, None, None]:
        """Inspect images one after the other, in their order; an image that cannot be used becomes a `Failure`."""
        return self._inspect(images, max_pixels, threads=1)

    def inspect_batch(self, images: Sequence[Source], max_pixels: int = MAX_PIXELS) -> list[Inspection | Failure]:
        """Inspect a few images, in their order, by one call of the network: for callers with threads of their own.

        The same bits as `inspect_many` gives.
        """
        limits = self._calibrated()
        described = describe_together(images, self.bank.backbone, self.bank.identity.framing, max_pixels)
        return [self._judge(item, limits) if isinstance(item, Described) else item for item in described]

    def against(self, image: Source, *image_ids: int, max_pixels: int = MAX_PIXELS) -> Aligned:
        """Stage 2 of an image with these normal images as its gallery, whichever are the nearest.

        Raises
        ------
        InputError
            None given, or one that is not in the bank.
        ImageError
            Not an image that can be used.
        """
        row_of = {normal.id: row for row, normal in enumerate(self._images)}
        missing = [id for id in image_ids if id not in row_of]
        if missing or not image_ids:
            raise InputError(f"{self.bank.path}: no image {missing[0] if missing else '(none given)'} in this bank")
        (item,) = describe_together([image], self.bank.backbone, self.bank.identity.framing, max_pixels)
        if isinstance(item, Failure):
            raise ImageError(item.error)
        numbers = self.bank.identity.views
        views = [view for id in image_ids for view in numbers.all_of(row_of[id])]  # in all orientations of the bank
        return self._aligned(item.pyramid, views, tuple(self._images[numbers.image(view)] for view in views))

    def judge(self, image: Described) -> Inspection:
        """Inspect an image that the backbone has described already."""
        return self._judge(image, self._calibrated())

    def nearest_normals(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Of each image that calibration scores: row of the nearest other normal image, and its squared distance.

        A copy of the same picture is the nearest, with distance 0.
        """
        return self._search.nearest_others(self._rows)

    def _inspect(
        self, images: Iterable[Source], max_pixels: int, threads: int
    ) -> Generator[Inspection | Failure, None, None]:
        limits = self._calibrated()
        results = describe(
            images, self.bank.backbone, self.bank.identity.framing, max_pixels=max_pixels, threads=threads
        )
        with contextlib.closing(results):
            for result in results:
                if isinstance(result, Described):
                    yield self._judge(result, limits)
                elif isinstance(result, Failure):
                    yield result

    def _judge(self, image: Described, limits: Limits) -> Inspection:
        with one_blas_thread():  # and products of one image are small: threads would wait for each other, busily
            return self._judged(image, limits)

    def _judged(self, image: Described, limits: Limits) -> Inspection:
        gallery = self._search.search([image.pyramid], min(self.settings.searched, len(self._images)))
        distances = gallery.distance[0]
        retrieval_score = float(distances[: self.settings.image_neighbours].mean())
        views = [int(i) for i in gallery.index[0]]
        normals = tuple(self._images[self.bank.identity.views.image(view)] for view in views)
        inspection = Inspection(
            name=image.name,
            sha256=image.sha256,
            height=image.height,
            width=image.width,
            verdict="normal",
            image_score=retrieval_score,
            p_value=1.0,
            threshold=limits.threshold.value,
            stage="retrieval",
            retrieval_score=retrieval_score,
            retrieval_p_value=1.0,
            suspected=False,
            neighbours=tuple(
                Neighbour(n.id, n.name, n.sha256, float(d)) for n, d in zip(normals, distances, strict=True)
            ),
            pixels=limits.calibration.pixels,
            framing=self.bank.identity.framing,
            _align=lambda: self._aligned(image.pyramid, views, normals),
        )
        return limits.decide(inspection)

    def _aligned(self, pyramid: FeaturePyramid, views: list[int], normals: tuple[NormalImage, ...]) -> Aligned:
        alignment, square = self._align(pyramid, views)
        turns, numbers = self.bank.identity.turns, self.bank.identity.views
        turned = tuple(turns[numbers.turn(view)] for view in views)
        return Aligned(alignment, square, map_score(square, self.settings.top_share), normals, turned)

    def _align(self, pyramid: FeaturePyramid, views: list[int]) -> tuple[Alignment, NDArray[np.float32]]:
        settings = self.settings
        alignment = align(
            pyramid,
            self.bank.views(views),
            settings.kappa,
            grid=self._grid,
            level_weights=self._level_weights,
        )
        return alignment, smooth_map(alignment.distance, self.bank.identity.framing.size_px, settings.sigma_px)

    def _align_normal(self, row: int, gallery: Sequence[int]) -> NDArray[np.float32]:
        """(size, size) smoothed map of one of the bank's own images against others of them, by `Bank.views`."""
        (pyramid,) = self.bank.gallery([row])
        return self._align(pyramid, list(gallery))[1]

    def _calibrated(self) -> Limits:
        if self._limits is None:
            self.calibrate()
        assert self._limits is not None
        return self._limits


def _weights(settings: Settings, bank: Bank) -> tuple[float, ...] | None:
    """Weight of each level of a bank; None: 1 each."""
    given, levels = settings.level_weights, len(bank.identity.shapes)
    if given is None:
        return bank.identity.level_weights
    if len(given) not in (1, levels):
        raise InputError(f"level_weights has {len(given)} values, this bank {levels} levels")
    return given * levels if len(given) == 1 else given
