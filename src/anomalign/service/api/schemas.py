"""The JSON that the service sends, field by field. The OpenAPI document and the pages are made from it."""

from typing import Any, Literal

from typing_extensions import TypedDict

from anomalign.detection.summary import Stage, Verdict
from anomalign.monitoring.drift import DriftKind
from anomalign.service.banks.checks import CheckState
from anomalign.service.store import DecisionKind, EditKind, Origin
from anomalign.synthetic import Kind


class Neighbour(TypedDict):
    """A normal image near an inspected one. `gone`: it is not in the bank any more."""

    id: int
    name: str
    sha256: str
    distance: float
    gone: bool


class Decision(TypedDict):
    """A person's decision on an inspection."""

    id: int
    record: int
    kind: DecisionKind
    note: str
    who: str
    time: str


class Region(TypedDict):
    """A connected part of an image with heat, in pixels of the image.

    `box`: [top, left, bottom, right]; bottom and right lie just outside. `peak`, `centre` and each corner of `outline`
    are [y, x]. `p_value` and `place_score` are those of the peak. `outline` has at most 24 corners: it is not exact.
    """

    box: list[int]
    area_px: int
    peak: list[int]
    p_value: float
    place_score: float
    centre: list[float]
    outline: list[list[int]]


class Inspection(TypedDict):
    """A recorded inspection. Times are UTC.

    `seen`: [top, left, bottom, right] of the inspected part, in pixels. `shown`: the same of the part that pages show.
    `regions`: where the image has heat, worst first, at most 20; `region_count`: how many there are in all. Both are
    empty and 0 where the verdict is normal, and in records of earlier versions.
    """

    id: int
    time: str
    bank: str
    bank_version: int
    name: str
    source: Origin
    verdict: Verdict
    image_score: float | None
    p_value: float
    threshold: float | None
    stage: Stage
    course: str
    suspected: bool
    borderline: bool
    regions: list[Region]
    region_count: int
    retrieval_score: float | None
    retrieval_p_value: float
    height: int
    width: int
    sha256: str
    neighbours: list[Neighbour]
    decision: Decision | None
    basis: str
    seen: list[float]
    shown: list[float]
    picture: bool


class Failure(TypedDict):
    """A file that could not be inspected, and the reason."""

    name: str
    error: str


class Results(TypedDict):
    """One entry per file, in the order of the files."""

    results: list[Inspection | Failure]


class Inspections(TypedDict):
    """A page of inspections; `next` is the `after` of the next page."""

    records: list[Inspection]
    next: str | None


class Matched(TypedDict):
    """A normal image in which matches lie. `seen`: as in `Inspection`."""

    id: int
    name: str
    height: int
    width: int
    seen: list[float]
    shown: list[float]


class Matches(TypedDict):
    """The match of every cell of an h x w grid, row by row.

    `image` indexes `neighbours`; `y`, `x` are cells of that image. `per_level` has `levels` values per cell, finest
    first. `usual` has two values per cell: 5 of 100 normal images differ by less there, and 5 of 100 by more.
    `place_score` says how far the distance lies above what is usual. Both are null in records of earlier versions. `p`
    is the p-value of the pixels in the cell. `counted`: which cells count by the mask of a region of interest; null:
    all. A cell that does not count has the values of the nearest one that does.
    """

    h: int
    w: int
    levels: int
    neighbours: list[Matched]
    image: list[int]
    y: list[int]
    x: list[int]
    distance: list[float]
    per_level: list[float]
    usual: list[float] | None
    place_score: list[float] | None
    p: list[float]
    counted: list[bool] | None


class Match(TypedDict):
    """The match of one place: a place in a normal image, in the pixels of that image. `usual`: as in `Matches`."""

    image_id: int
    name: str
    y: float
    x: float
    distance: float
    usual: list[float] | None
    per_level: list[float]


class RegionOfInterest(TypedDict):
    """Region of interest of a bank, in pixels of its images. `mask`: SHA-256 of its mask; null: all of it counts."""

    y: int
    x: int
    height: int
    width: int
    mask: str | None


class BankSummary(TypedDict):
    """A bank, its target false-positive rate and its threshold.

    `size_px`: side of the square that the backbone sees, or height and width. `region`: null where whole images count.
    """

    name: str
    images: int
    version: int
    content: str
    backbone: str
    size_px: int | list[int]
    region: RegionOfInterest | None
    target_fpr: float
    expected_fpr: float
    highest_fpr: float
    least_fpr: float
    threshold: float
    normals: int
    groups: float
    basis: str


class Banks(TypedDict):
    """All banks that are served."""

    banks: list[BankSummary]


class NormalImage(TypedDict):
    """A normal image and its calibration result, if any. `used`: how often it was a neighbour in recent records.

    `group`: images of one group depend on each other; empty: none was given.
    """

    id: int
    name: str
    height: int
    width: int
    sha256: str
    group: str
    used: int
    p_value: float | None
    contaminated: bool
    duplicate: bool
    reasons: str


class NormalImages(TypedDict):
    """A page of normal images; `next` is the `after` of the next page."""

    images: list[NormalImage]
    next: int | None
    total: int


class Version(TypedDict):
    """An edit of a bank: its first and last version, when, and how many images it added, removed and regrouped."""

    first: int
    version: int
    time: str
    added: int
    removed: int
    regrouped: int


class Versions(TypedDict):
    """History of a bank, oldest first: for each edit the version that it led to."""

    versions: list[Version]


class Edit(TypedDict):
    """An edit of a bank by a person. `undone_version`: version of the bank after the undo; null if unknown."""

    id: int
    bank: str
    version: int
    kind: EditKind
    record: int | None
    images: list[int]
    note: str
    who: str
    time: str
    before: dict[str, Any]
    after: dict[str, Any]
    undone: bool
    undone_by: str | None
    undone_at: str | None
    undone_version: int | None


class Edits(TypedDict):
    """The latest edits of a bank, newest first."""

    edits: list[Edit]


class RecentScore(TypedDict):
    """Score of a recorded inspection. `current`: it was made with the current version of the bank."""

    id: int
    score: float | None
    verdict: Verdict
    current: bool


class Rate(TypedDict):
    """A target false-positive rate, and the threshold for it."""

    target_fpr: float
    threshold: float
    expected_fpr: float


class Scores(TypedDict):
    """Calibration curve of a bank, and recent scores to compare thresholds with."""

    normal_scores: list[float]
    threshold: float
    target_fpr: float
    recent: list[RecentScore]
    rates: list[Rate]


class ScorePoint(TypedDict):
    """Distance of one inspection to the normal images."""

    id: int
    time: str
    score: float | None
    verdict: Verdict


class NormalRange(TypedDict):
    """Quantiles 5 %, 50 % and 95 % of the normal images' own distances."""

    low: float
    middle: float
    high: float


class DriftTest(TypedDict):
    """Result of the drift test on the latest inspections made with the current version of the bank.

    `drifted`: whether `kind` is "drift". `distance_p`: do distances differ at all? `drift_p`: by more than those of
    another day may? `beyond`: share of the images beyond 95 % of the normal images; from a half on no shift is small.
    `detectable`: least `farther` that is always called a drift; above 1 the images are too few. The four values on
    groups are null where no groups of normal images are known: how many there are, how many are as far from the others
    as the latest inspections are, and the two p-values if these are one group more.
    """

    window: int
    kind: DriftKind
    drifted: bool
    summary: str
    farther: float
    detectable: float
    beyond: float
    distance_p: float
    drift_p: float
    use_p: float | None
    groups: int | None
    groups_as_far: float | None
    distance_batch_p: float | None
    use_batch_p: float | None
    level: float


class DriftOverTime(TypedDict):
    """Distances over time, oldest first, and the range of normal images. `test` is null if there are no inspections."""

    points: list[ScorePoint]
    band: NormalRange
    test: DriftTest | None
    summary: str


class Judgement(TypedDict):
    """Verdict and scores of one image with one version of a bank."""

    verdict: Verdict
    image_score: float | None
    p_value: float


class VerdictChange(TypedDict):
    """A record whose verdict would change. `decision`: the person's decision on it."""

    record: int
    name: str
    decision: DecisionKind | None
    before: Judgement
    after: Judgement


class Proposal(TypedDict):
    """Effect of an edit, tested on a copy of the bank: verdicts of the latest records, before and after."""

    id: str
    bank: str
    version: int
    kind: EditKind
    changes: list[VerdictChange]
    threshold_before: float
    threshold_after: float
    unchanged: int
    skipped: int


class PowerCell(TypedDict):
    """How many of the synthetic defects of one kind and size are found.

    `name`: what the kind is called. `size`: share of the shorter side of the image. `interval`: 95 % interval of the
    share that is found.
    """

    kind: Kind
    name: str
    size: float
    size_px: float
    found: int
    defects: int
    interval: list[float]


class Power(TypedDict):
    """Which synthetic defects a bank finds, as `anomalign check` measures it.

    `power`: mean over kinds and sizes of the share found; null if no defect could be drawn. `findings`: a sentence for
    each kind. `notes`: what the numbers rest on.
    """

    target_fpr: float
    expected_fpr: float
    threshold: float
    normals: int
    groups: float
    power: float | None
    side_px: float
    table: list[PowerCell]
    normal_images_drawn_into: int
    of_them_by_preview: int
    anomalous_without_defect: int
    findings: list[str]
    notes: list[str]


class Check(TypedDict):
    """Check of a bank as it is now; "none": the bank or its target rate has changed since, or there was no check.

    `done` of `total` defects are judged; both are 0 until the normal images are read. `time`: when the check ended.
    `error`: why it failed. `time`, `power` and `error` are null where there is none.
    """

    state: CheckState
    done: int
    total: int
    time: str | None
    power: Power | None
    error: str | None


class AuditEntry(TypedDict):
    """A row of the audit log: who did what, and when."""

    id: int
    time: str
    who: str
    action: str
    bank: str | None
    record: int | None
    details: dict[str, Any]


class AuditLog(TypedDict):
    """A page of the audit log, newest first; `next` is the `after` of the next page."""

    entries: list[AuditEntry]
    next: str | None


class DeliveryReceiver(TypedDict):
    """A receiver of verdicts, and its messages.

    `state`: "delivering"; "failing": the latest attempt failed, with `error`, since `failing_since`, and it is tried
    again at `next_try`; "elsewhere": another service with the same database delivers; "not configured": what is pending
    is kept. `oldest`: when the image of the first pending message was inspected. `failures` counts failed attempts
    since the start of the service.
    """

    receiver: str
    state: Literal["delivering", "failing", "elsewhere", "not configured"]
    pending: int
    oldest: str | None
    delivered: int
    delivered_at: str | None
    failures: int
    error: str | None
    failing_since: str | None
    next_try: str | None


class Delivery(TypedDict):
    """All receivers of verdicts."""

    receivers: list[DeliveryReceiver]


class Error(TypedDict):
    """An error, described in one sentence."""

    error: str
