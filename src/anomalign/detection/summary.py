"""What an inspection says of one image, in plain values. JSON lines, records, REST answers and tables hold it."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from anomalign.detection.regions import Region
from anomalign.errors import InputError

Verdict: TypeAlias = Literal["normal", "anomalous"]
Stage: TypeAlias = Literal["retrieval", "alignment", "both"]

_Summary = TypeVar("_Summary", bound="InspectionSummary")

_STAGES: dict[Stage, str] = {"retrieval": "stage 1", "alignment": "stage 2", "both": "both stages together"}


@dataclass(frozen=True)
class Neighbour:
    """A normal image near the inspected one.

    Attributes
    ----------
    id : int
        Identifier of the image in the bank.
    name : str
        Name of its file when it was added.
    sha256 : str
        SHA-256 of that file.
    distance : float
        Squared distance between the image descriptors.
    """

    id: int
    name: str
    sha256: str
    distance: float


@dataclass(frozen=True, kw_only=True)
class InspectionSummary:
    """The verdict on one image and its numbers, without arrays.

    Attributes
    ----------
    name : str
        Name of the file, as it was given.
    sha256 : str
        SHA-256 of the file.
    height, width : int
        Size of the image in pixels, after EXIF orientation.
    verdict : {"normal", "anomalous"}
    image_score : float
        Higher is more anomalous. `Settings.decided_by` says which stages it is made of. An image that stage 1 cleared
        gets the score of the same rank among the normal images.
    p_value : float
        Share of normal images that score at least as high; the image itself counts as one of them.
    threshold : float
        Image scores above it are anomalous.
    stage : {"retrieval", "alignment", "both"}
        Stage that decided.
    retrieval_score : float
        Mean squared distance to the nearest normal images.
    retrieval_p_value : float
        As `p_value`, for `retrieval_score`.
    suspected : bool
        Whether stage 1 alone would have called the image anomalous.
    borderline : bool
        Whether the verdict is close to the threshold: some normal images score at least as high, and the p-value lies
        between a third of the target rate and three times the rate. False for an image that stage 1 cleared, and in
        records of earlier versions.
    regions : tuple of Region
        Where the image has heat, worst first, at most 20. Empty where the verdict is normal, and in records of earlier
        versions.
    region_count : int
        Number of all its regions, also of those that are not listed.
    neighbours : tuple of Neighbour
        The nearest normal images, nearest first.
    """

    name: str
    sha256: str
    height: int
    width: int
    verdict: Verdict
    image_score: float
    p_value: float
    threshold: float
    stage: Stage
    retrieval_score: float
    retrieval_p_value: float
    suspected: bool
    borderline: bool = False
    regions: tuple[Region, ...] = ()
    region_count: int = 0
    neighbours: tuple[Neighbour, ...]

    @property
    def course(self) -> str:
        """How the verdict came about, in words, for people and logs."""
        if self.verdict == "anomalous":
            return f"anomalous by {_STAGES[self.stage]}"
        doubt = "suspected by stage 1, " if self.suspected and self.stage != "retrieval" else ""
        return f"{doubt}cleared by {_STAGES[self.stage]}"

    def summary(self) -> "InspectionSummary":
        """The summary alone, of an object that holds more."""
        return InspectionSummary.of(self)

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON takes it: every field above, `course`, and each neighbour and region as a dict.

        A table of many: ``pandas.DataFrame([inspection.to_dict() for inspection in inspections])``.
        """
        neighbours = [dict(vars(neighbour)) for neighbour in self.neighbours]
        regions = [region.to_dict() for region in self.regions]
        return {**self._values(), "regions": regions, "neighbours": neighbours, "course": self.course}

    @classmethod
    def of(cls: type[_Summary], summary: "InspectionSummary", /, **others: Any) -> _Summary:
        """Take the fields from a summary; `others` are the fields that a subclass adds."""
        return cls(**summary._values(), **others)

    @classmethod
    def from_dict(cls: type[_Summary], entry: Mapping[str, Any], /, **others: Any) -> _Summary:
        """Read what `to_dict` wrote; further keys of `entry`, its neighbours and its regions are ignored.

        Parameters
        ----------
        entry : mapping
            Values by field name.
        **others
            Fields that a subclass adds.

        Raises
        ------
        InputError
            A field without a default is missing, or one has another type.
        """
        if not isinstance(entry, Mapping):
            raise InputError(f"not the summary of an inspection: needs an object, got {type(entry).__name__}")
        missing = [name for name in _REQUIRED if name not in entry]
        if missing:
            raise InputError(f"not the summary of an inspection: it lacks {', '.join(missing)}")
        values = {name: _checked(name, entry[name]) for name in _NAMES if name in entry and name in _TYPES}
        regions = _read_regions(entry.get("regions", []))
        return cls(**values, regions=regions, neighbours=_read_neighbours(entry["neighbours"]), **others)

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _NAMES}


_NAMES = tuple(field.name for field in fields(InspectionSummary))
_REQUIRED = tuple(field.name for field in fields(InspectionSummary) if field.default is MISSING)
_NEIGHBOUR_NAMES = tuple(field.name for field in fields(Neighbour))
_CHOICES: dict[str, tuple[str, ...]] = {"verdict": get_args(Verdict), "stage": get_args(Stage)}
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "sha256", "verdict", "stage"), str),
    **dict.fromkeys(("id", "height", "width", "region_count"), int),
    **dict.fromkeys(("image_score", "p_value", "threshold", "retrieval_score", "retrieval_p_value"), (int, float)),
    "distance": (int, float),
    **dict.fromkeys(("suspected", "borderline"), bool),
}


def _checked(name: str, value: Any) -> Any:
    """Return a value of a summary or of a neighbour; raise InputError if it has another type."""
    is_right = isinstance(value, _TYPES[name]) and (isinstance(value, bool) == (_TYPES[name] is bool))
    if not is_right or value not in _CHOICES.get(name, (value,)):
        raise InputError(f"not the summary of an inspection: {name} is {value!r}")
    return float(value) if _TYPES[name] == (int, float) else value


def _read_regions(entries: Any) -> tuple[Region, ...]:
    if not isinstance(entries, list):
        raise InputError("not the summary of an inspection: regions is not a list")
    try:
        return tuple(map(Region.from_dict, entries))
    except InputError as error:
        raise InputError(f"not the summary of an inspection: {error}") from error


def _read_neighbours(entries: Any) -> tuple[Neighbour, ...]:
    """Read neighbours; further keys of each are ignored."""
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise InputError("not the summary of an inspection: neighbours is not a list of objects")
    for entry in entries:
        if missing := [name for name in _NEIGHBOUR_NAMES if name not in entry]:
            raise InputError(f"not the summary of an inspection: a neighbour lacks {', '.join(missing)}")
    return tuple(Neighbour(**{name: _checked(name, entry[name]) for name in _NEIGHBOUR_NAMES}) for entry in entries)
