"""Settings of a comparison with a bank: all in one value, defaults written once."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from anomalign.bank.identity import Identity
from anomalign.detection.summary import Stage
from anomalign.errors import InputError
from anomalign.retrieval import DESCRIPTORS, INDEX_KINDS, Descriptor, IndexKind

# Raise these when the scores change, so that stored scores are computed again.
_CALIBRATION_SCORES, _ALIGNMENT_SCORES = 4, 2
_OLDER_TOP_SHARE = 0.005


@dataclass(frozen=True)
class Settings:
    """How images are compared with a bank. Every value means the same for every product; none is tuned to one.

    Attributes
    ----------
    descriptor : {"level_moments", "level_means", "pooled"}
        What stage 1 compares: `anomalign.retrieval.Descriptor`. The paper's is "pooled".
    index : {"exact", "kdtree", "hnsw", "ivfpq"}
        Finds the nearest normals of an inspected image. Scores of normals are always made with "exact".
    image_neighbours : int
        Nearest normals averaged into the stage 1 score.
    gallery_size : int
        Nearest normals that stage 2 searches, the paper's K.
    kappa : int
        Nearest places averaged into a pixel's distance.
    grid_level : int
        Level on whose grid pixels are compared; 1 is the finest, as in the paper.
    level_weights : tuple of float, or None
        Weight s_l of each level, or one for all; None: those that the backbone's file recommends. The paper's are 1.
    window : int, "auto" or None
        Stage 2 compares a place only with places at most so many cells of the grid away from the same place; None: with
        all places. "auto": all places on grids of up to 4,096; on larger ones by how well normal images are matched
        within windows (`anomalign.detection.window`).
    sigma_px : float
        Gaussian smoothing of the anomaly map, in pixels of the frame that the backbone sees.
    top_share : float
        Stage 2's score of an image is the mean of the scores of this share of its places, the highest; 0: the highest
        alone. The score of a place says how far its distance lies above those of normal images at this place.
    decided_by : {"both", "alignment", "retrieval"}
        Stage whose score is the image score; in the paper it is stage 1. "both": both must find the image unusual
        (`anomalign.detection.decision.full_scores`).
    gate : float
        Share of normal images that stage 1 lets through to stage 2 (never less than the target false-positive rate).
    calibration_size : int
        Largest number of normal images that are scored to set thresholds. Of a larger bank, those whose file hashes are
        the least are scored: this choice is effectively random, and stable when other images come and go.
    """

    descriptor: Descriptor = "level_moments"
    index: IndexKind = "exact"
    image_neighbours: int = 3
    gallery_size: int = 10
    kappa: int = 1
    grid_level: int = 2
    level_weights: tuple[float, ...] | None = None
    window: int | Literal["auto"] | None = "auto"
    sigma_px: float = 4.0
    top_share: float = 0.0025
    decided_by: Stage = "both"
    gate: float = 0.9
    calibration_size: int = 5000

    def __post_init__(self) -> None:
        for name in ("image_neighbours", "gallery_size", "kappa", "grid_level", "calibration_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} is {value}; must be a whole number, at least 1")
        for name, highest in (("gate", 1), ("top_share", 1), ("sigma_px", 1000)):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value <= highest:
                raise InputError(f"{name} is {value}; must lie between 0 and {highest}")
        number = isinstance(self.window, int) and not isinstance(self.window, bool) and self.window >= 0
        if not number and self.window not in ("auto", None):
            raise InputError(f"window is {self.window!r}; must be a number of cells, 'auto' or None")
        if self.decided_by not in ("both", "alignment", "retrieval"):
            raise InputError(f"decided_by is {self.decided_by!r}; must be 'both', 'alignment' or 'retrieval'")
        if self.descriptor not in DESCRIPTORS:
            raise InputError(f"descriptor is {self.descriptor!r}; must be one of {', '.join(DESCRIPTORS)}")
        if self.index not in INDEX_KINDS:
            raise InputError(f"index is {self.index!r}; must be one of {', '.join(INDEX_KINDS)}")

    @property
    def neighbours(self) -> int:
        """How many nearest normals stage 1 finds: enough for its score and for the gallery."""
        return max(self.gallery_size, self.image_neighbours)

    def weights_of(self, identity: Identity) -> tuple[float, ...] | None:
        """Weight of each level of a bank; None: 1 each."""
        weights, levels = self.level_weights, len(identity.shapes)
        if weights is None:
            return identity.level_weights
        if len(weights) not in (1, levels):
            raise InputError(f"level_weights has {len(weights)} values, this bank {levels} levels")
        return weights * levels if len(weights) == 1 else weights

    def calibration_key(self, scores: int = _CALIBRATION_SCORES) -> str:
        """What scores of normals depend on, as JSON: not the gate, nor the index, which only use them.

        `scores` is the number of the way in which they are made.
        """
        entries = asdict(self)
        del entries["gate"], entries["index"], entries["decided_by"]
        if self.window == "auto":  # as in versions that knew no window
            del entries["window"]
        by_retrieval = self.decided_by == "retrieval"  # then only a sample goes through stage 2
        return json.dumps({**entries, "by_retrieval": by_retrieval, "scores": scores}, sort_keys=True)

    def older_calibration_key(self) -> str:
        """The key under which the version before this one stored its scores. It had another default of `top_share`."""
        is_default = self.top_share == type(self).top_share
        before = replace(self, top_share=_OLDER_TOP_SHARE) if is_default else self
        return before.calibration_key(_CALIBRATION_SCORES - 1)

    def alignment_key(self, window: int | None = None) -> str:
        """What stage 2 of a normal image against a given gallery depends on, as JSON; `window` is the one in use."""
        parts = self.kappa, self.grid_level, self.level_weights, self.gallery_size
        return json.dumps([*parts, *([] if window is None else [f"window {window}"]), _ALIGNMENT_SCORES])


PRESETS = {
    "default": Settings(),
    # Cohen and Hoshen 2020, section 4.1, for MVTec AD. The bank should be fitted with the paper's centre crop.
    "paper": Settings(
        descriptor="pooled",
        image_neighbours=50,
        gallery_size=50,
        kappa=1,
        grid_level=1,
        level_weights=(1.0,),
        window=None,
        top_share=0.0,
        decided_by="retrieval",
        gate=0.0,
    ),
}
