"""What the service sends, field by field. The OpenAPI document is made of these; pages are drawn from the same."""

from typing import Any, Literal

from typing_extensions import TypedDict

Verdict = Literal["normal", "anomalous"]
DecisionKind = Literal["defect", "false_alarm", "unsure"]


class Neighbour(TypedDict):
    """A normal image near an inspected one; `gone`: no longer in the bank."""

    id: int
    name: str
    sha256: str
    distance: float
    gone: bool


class Decision(TypedDict):
    """What a person made of an inspection."""

    id: int
    record: int
    kind: DecisionKind
    note: str
    who: str
    time: str


class Inspection(TypedDict):
    """An inspection as it is recorded. `seen`: [top, left, bottom, right] in the image's pixels; times are UTC."""

    id: int
    time: str
    bank: str
    bank_version: int
    name: str
    source: Literal["upload", "watch"]
    verdict: Verdict
    image_score: float | None
    p_value: float
    threshold: float | None
    stage: Literal["retrieval", "alignment", "both"]
    course: str
    suspected: bool
    retrieval_score: float | None
    retrieval_p_value: float
    height: int
    width: int
    sha256: str
    neighbours: list[Neighbour]
    decision: Decision | None
    seen: list[float]
    picture: bool


class Failure(TypedDict):
    """A file that was not inspected, and why."""

    name: str
    error: str


class Results(TypedDict):
    """One entry a file, in the order of the files."""

    results: list[Inspection | Failure]


class Inspections(TypedDict):
    """A page of inspections; `next` is the `after` of the following one."""

    records: list[Inspection]
    next: str | None


class Matched(TypedDict):
    """A normal image that places were matched with."""

    id: int
    name: str
    height: int
    width: int
    seen: list[float]


class Matches(TypedDict):
    """Every cell's match, row by row of an h x w grid. `image` indexes `neighbours`; `y`, `x` are cells of that image.

    `per_level` has `levels` values a cell, finest first; `p` is the p-value of the cell's pixels.
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
    p: list[float]


class Match(TypedDict):
    """The place in a normal image that a place was matched with, each in the pixels of its own image."""

    image_id: int
    name: str
    y: float
    x: float
    distance: float
    per_level: list[float]


class BankSummary(TypedDict):
    """A bank, its rate of false alarms and its threshold."""

    name: str
    images: int
    version: int
    content: str
    backbone: str
    size_px: int
    target_fpr: float
    expected_fpr: float
    least_fpr: float
    threshold: float
    normals: int


class Banks(TypedDict):
    """All banks that are served."""

    banks: list[BankSummary]


class NormalImage(TypedDict):
    """A normal image; what calibration says of it where it scored it. `used`: among the neighbours of records."""

    id: int
    name: str
    height: int
    width: int
    sha256: str
    used: int
    p_value: float | None
    contaminated: bool
    duplicate: bool
    reasons: str


class NormalImages(TypedDict):
    """A page of normal images; `next` is the `after` of the following one."""

    images: list[NormalImage]
    next: int | None
    total: int


class Version(TypedDict):
    """An edit of a bank: the version that it led to, when, and how many images it added and removed."""

    version: int
    time: str
    added: int
    removed: int


class Versions(TypedDict):
    """History of a bank, oldest first: for each edit the version that it led to."""

    versions: list[Version]


class Edit(TypedDict):
    """A change of a bank by a person; `undone_version`: of the bank after it was undone, null where not known."""

    id: int
    bank: str
    version: int
    kind: Literal["add", "remove", "rate"]
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
    """The latest changes of a bank, newest first."""

    edits: list[Edit]


class RecentScore(TypedDict):
    """Score of a recorded inspection; `current`: made with the bank as it is now."""

    id: int
    score: float | None
    verdict: Verdict
    current: bool


class Rate(TypedDict):
    """A rate of false alarms that could be asked for, and the threshold it gives."""

    target_fpr: float
    threshold: float
    expected_fpr: float


class Scores(TypedDict):
    """Calibration curve of a bank, and recent scores to try thresholds on."""

    normal_scores: list[float]
    threshold: float
    target_fpr: float
    recent: list[RecentScore]
    rates: list[Rate]


class ScorePoint(TypedDict):
    """Distance to the normals of one inspection."""

    id: int
    time: str
    score: float | None
    verdict: Verdict


class NormalRange(TypedDict):
    """Quantiles 5 %, 50 % and 95 % of the normals' own distances."""

    low: float
    middle: float
    high: float


class DriftTest(TypedDict):
    """What the drift test says of the latest inspections made with the bank as it is now."""

    window: int
    drifted: bool
    summary: str
    farther: float
    distance_p: float
    use_p: float | None
    level: float


class Drift(TypedDict):
    """Distances over time, oldest first, with the calibration's band; `test` is null where nothing was inspected."""

    points: list[ScorePoint]
    band: NormalRange
    test: DriftTest | None
    summary: str


class Judgement(TypedDict):
    """Verdict and scores of one record with one bank."""

    verdict: Verdict
    image_score: float | None
    p_value: float


class VerdictChange(TypedDict):
    """A record whose verdict would be another; `decision` is what a person made of it."""

    record: int
    name: str
    decision: DecisionKind | None
    before: Judgement
    after: Judgement


class Proposal(TypedDict):
    """What an edit would change, tried on a copy of the bank: verdicts of the latest records, before and after."""

    id: str
    bank: str
    version: int
    kind: Literal["add", "remove", "rate"]
    changes: list[VerdictChange]
    threshold_before: float
    threshold_after: float
    unchanged: int
    skipped: int


class AuditEntry(TypedDict):
    """Who did what, and when."""

    id: int
    time: str
    who: str
    action: str
    bank: str | None
    record: int | None
    details: dict[str, Any]


class AuditLog(TypedDict):
    """A page of the audit log, newest first; `next` is the `after` of the following one."""

    entries: list[AuditEntry]
    next: str | None


class Error(TypedDict):
    """What went wrong, in a sentence."""

    error: str
