"""The two stages together: image -> Inspection."""

import contextlib
import json
import threading
from collections.abc import Generator, Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anomalign import calibration
from anomalign.alignment import Alignment, align, smooth_map
from anomalign.backbones import Described, Failure, Source, describe
from anomalign.bank import Bank, Progress
from anomalign.calibration import Calibration, Threshold
from anomalign.cores import available_cores
from anomalign.errors import BankError, CalibrationError, ImageError, InputError
from anomalign.imaging import MAX_PIXELS
from anomalign.inspection import Aligned, Inspection, Neighbour, Stage
from anomalign.pyramid import FeaturePyramid
from anomalign.retrieval import ExactIndex

_HEAT_SAMPLE = 20


@dataclass(frozen=True)
class Settings:
    """How images are compared with a bank. Every value means the same for every product; none is tuned to one.

    Attributes
    ----------
    image_neighbours : int
        Nearest normals averaged into the stage 1 score.
    gallery_size : int
        Nearest normals that stage 2 searches, the paper's K.
    kappa : int
        Nearest places averaged into a pixel's distance.
    grid_level : int
        Level on whose grid pixels are compared; 1 is the finest, as in the paper.
    level_weights : tuple of float, or None
        Weight s_l of each level; None: 1 each, as in the paper.
    sigma_px : float
        Gaussian smoothing of the map, in pixels of the square that the backbone sees.
    decided_by : {"alignment", "retrieval"}
        Stage whose score decides. The paper's image score is stage 1's.
    gate : float
        Share of normal images that stage 1 lets through to stage 2 (never less than the target false-positive rate).
    """

    image_neighbours: int = 3
    gallery_size: int = 10
    kappa: int = 1
    grid_level: int = 2
    level_weights: tuple[float, ...] | None = None
    sigma_px: float = 4.0
    decided_by: Stage = "alignment"
    gate: float = 0.8

    def __post_init__(self) -> None:
        for name in ("image_neighbours", "gallery_size", "kappa", "grid_level"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; must be at least 1")
        if not 0 <= self.gate <= 1:
            raise InputError(f"gate is {self.gate}; must lie between 0 and 1")
        if self.sigma_px < 0:
            raise InputError(f"sigma_px is {self.sigma_px}; must not be negative")
        if self.decided_by not in ("alignment", "retrieval"):
            raise InputError(f"decided_by is {self.decided_by!r}; must be 'alignment' or 'retrieval'")

    def calibration_key(self) -> str:
        """What leave-one-out scores depend on, as JSON; the gate only decides how they are used."""
        entries = asdict(self)
        del entries["gate"]
        return json.dumps(entries, sort_keys=True)


PRESETS = {
    "default": Settings(),
    # Cohen and Hoshen 2020, section 4.1, for MVTec AD. The bank should be fitted with the paper's centre crop.
    "paper": Settings(image_neighbours=50, gallery_size=50, kappa=1, grid_level=1, decided_by="retrieval", gate=0.0),
}


class Detector:
    """Inspects images against a bank. Safe to use from several threads.

    Parameters
    ----------
    bank : Bank
        At least two normal images.
    settings : Settings
        Also ``PRESETS["paper"]``.
    target_fpr : float
        Share of normal images that may be called anomalous.

    Raises
    ------
    BankError
        The bank is empty.
    CalibrationError
        It holds one image only.
    """

    def __init__(self, bank: Bank, settings: Settings = PRESETS["default"], target_fpr: float = 0.01) -> None:
        if len(bank) == 0:
            raise BankError(f"{bank.path}: the bank is empty; add images with `anomalign fit {bank.path} FOLDER`")
        if len(bank) == 1:
            raise CalibrationError(f"{bank.path}: one normal image cannot tell what is normal; add at least one more")
        self.bank = bank
        self.settings = settings
        self.target_fpr = target_fpr
        calibration.threshold(np.zeros(1), target_fpr)  # refuses a rate that is none, before any work is done
        self._images = bank.images
        self._index = ExactIndex(bank.descriptors)
        shapes = bank.identity.shapes
        if settings.level_weights is not None and len(settings.level_weights) != len(shapes):
            raise InputError(f"level_weights has {len(settings.level_weights)} values, this bank {len(shapes)} levels")
        self._grid = shapes[min(settings.grid_level, len(shapes)) - 1][:2]
        self._lock = threading.Lock()
        self._limits: _Limits | None = None

    @property
    def threshold(self) -> Threshold:
        """Where normal ends; calibrates on first use."""
        return self._calibrated().threshold

    @property
    def normal_scores(self) -> NDArray[np.float64]:
        """(N,) leave-one-out image scores of the normals, on the scale of `Inspection.image_score`."""
        return self._calibrated().normal_scores

    def calibrate(self, progress: Progress | None = None) -> Calibration:
        """Score every normal image as if it were not in the bank; stored in the bank, and read from there next time."""
        with self._lock:
            key = self.settings.calibration_key()
            stored = self.bank.load_calibration(key)
            if stored is not None:
                result = Calibration.from_json(stored)
            else:
                result = self._leave_one_out(progress)
                self.bank.save_calibration(key, result.to_json())
            self._limits = _Limits.of(result, self.settings, self.target_fpr)
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

    def _judge(self, image: Described, limits: "_Limits") -> Inspection:
        gallery = self._index.search(image.pyramid.pooled[None], self._gallery_size(len(self._images)))
        distances = gallery.distance[0]
        retrieval_score = float(distances[: self.settings.image_neighbours].mean())
        indices = [int(i) for i in gallery.index[0]]
        normals = tuple(self._images[i] for i in indices)
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
            neighbours=tuple(Neighbour(n.id, n.name, float(d)) for n, d in zip(normals, distances, strict=True)),
            heat_range=limits.heat_range,
            framing=self.bank.identity.framing,
            _align=lambda: Aligned(*self._align(image.pyramid, indices), normals),
        )
        return limits.decide(inspection)

    def _align(self, pyramid: FeaturePyramid, indices: list[int]) -> tuple[Alignment, NDArray[np.float32]]:
        settings = self.settings
        alignment = align(
            pyramid,
            self.bank.gallery(indices),
            settings.kappa,
            grid=self._grid,
            level_weights=settings.level_weights,
        )
        return alignment, smooth_map(alignment.distance, self.bank.identity.framing.size_px, settings.sigma_px)

    def _gallery_size(self, available: int) -> int:
        return min(max(self.settings.gallery_size, self.settings.image_neighbours), available)

    def _leave_one_out(self, progress: Progress | None) -> Calibration:
        N = len(self._images)
        neighbours = self._index.search(self.bank.descriptors, self._gallery_size(N - 1), exclude=np.arange(N))
        retrieval = neighbours.distance[:, : self.settings.image_neighbours].mean(axis=1, dtype=np.float64)
        chosen = range(N) if self.settings.decided_by == "alignment" else calibration.sample(N, _HEAT_SAMPLE)
        scores = []
        for done, index in enumerate(chosen, 1):
            (pyramid,) = self.bank.gallery([index])
            _, square = self._align(pyramid, [int(i) for i in neighbours.index[index]])
            scores.append(float(square.max()))
            if progress:
                progress(done, len(chosen))
        return Calibration(retrieval, np.array(scores))

    def _calibrated(self) -> "_Limits":
        if self._limits is None:
            self.calibrate()
        assert self._limits is not None
        return self._limits


@dataclass(frozen=True, eq=False)
class _Limits:
    """A calibration turned into decisions, for one gate and one target rate."""

    calibration: Calibration
    decided_by: Stage
    gate: float  # stage 1 score up to which an image is cleared without stage 2
    normal_scores: NDArray[np.float64]
    threshold: Threshold
    heat_range: tuple[float, float]

    @classmethod
    def of(cls, scores: Calibration, settings: Settings, target_fpr: float) -> "_Limits":
        gate = calibration.gate_threshold(scores.retrieval, max(settings.gate, target_fpr))
        if settings.decided_by == "retrieval":
            normal_scores = scores.retrieval
        else:
            cleared = [calibration.same_rank(s, scores.retrieval, scores.alignment) for s in scores.retrieval]
            normal_scores = np.where(scores.retrieval > gate, scores.alignment, cleared)
        limit = calibration.threshold(normal_scores, target_fpr)
        # Half of the normals show no heat at all; a score half as far again over the threshold's is full heat.
        low = float(np.median(scores.alignment))
        top = float(scores.alignment.max()) if settings.decided_by == "retrieval" else limit.value
        heat_range = low, low + 1.5 * (top - low) if top > low else low + max(abs(low), 1e-6)
        return cls(scores, settings.decided_by, gate, normal_scores, limit, heat_range)

    def decide(self, inspection: Inspection) -> Inspection:
        score, cleared = inspection.retrieval_score, False
        if self.decided_by == "alignment":
            cleared = score <= self.gate
            if cleared:
                score = calibration.same_rank(score, self.calibration.retrieval, self.calibration.alignment)
            else:
                score = float(inspection.aligned.square.max())
        decided = replace(
            inspection,
            verdict="anomalous" if score > self.threshold.value and not cleared else "normal",
            image_score=score,
            p_value=calibration.p_value(score, self.normal_scores),
            stage="retrieval" if cleared or self.decided_by == "retrieval" else "alignment",
        )
        if "aligned" in inspection.__dict__:
            decided.__dict__["aligned"] = inspection.aligned  # what stage 2 found goes along
        return decided
