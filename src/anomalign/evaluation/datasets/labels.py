"""What labels and names of folders say: normal, anomalous, or a kind of defect. Nothing is guessed to be anomalous."""

import re
from collections.abc import Iterable
from pathlib import Path

from anomalign.errors import InputError
from anomalign.evaluation.datasets.natural_order import folders, image_files

_NORMAL = ("good", "ok", "okay", "normal", "nominal", "io", "in ordnung", "gut", "passed", "accepted", "negative")
_ANOMALOUS = ("anomalous", "anomaly", "abnormal", "bad", "defect", "defective", "faulty", "failed", "fail", "ng", "ko")
_NORMAL_NUMBERS, _ANOMALOUS_NUMBERS = ("0", "false"), ("1", "true")  # labels only: a folder 1 may be a kind of defect
_FREE_OF = ("anomalies", "anomaly", "defect", "defective", "defects", "faulty", "faults")

KNOWN = (
    f"{', '.join((*_NORMAL, *_NORMAL_NUMBERS))} for normal images; "
    f"{', '.join((*_ANOMALOUS, *_ANOMALOUS_NUMBERS))} for anomalous ones"
)


def _letters(text: str) -> str:
    """Letters and digits of a text, in lower case: "i.O. " and "IO" are the same."""
    return re.sub(r"[\W_]+", "", text.casefold())


_NORMAL_WORDS = {
    *map(_letters, (*_NORMAL, "pass")),
    *(prefix + word for prefix in ("no", "non", "not") for word in _FREE_OF),
    *(word + "free" for word in _FREE_OF),
}
_ANOMALOUS_WORDS = {
    *map(_letters, _ANOMALOUS),
    *("anomalies", "defects", "faults", "rejected", "reject", "positive"),
    *(prefix + _letters(word) for prefix in ("n", "no", "non", "not", "un") for word in _NORMAL),
}


def is_normal_label(label: str) -> bool | None:
    """Whether a label of a table says that an image is normal; None if it is not a word for either."""
    word = _letters(label)
    if word in _NORMAL_WORDS or label.strip().casefold() in _NORMAL_NUMBERS:
        return True
    return False if word in _ANOMALOUS_WORDS or label.strip().casefold() in _ANOMALOUS_NUMBERS else None


def check_labels(path: Path, labels: Iterable[str], kinds: Iterable[str] = ()) -> None:
    """Refuse the labels of a table that are neither words for normal or anomalous nor among the kinds of defects.

    Raises
    ------
    InputError
        It lists them, and the known ones.
    """
    known = set(kinds)
    unknown = sorted({label for label in labels if label and label not in known and is_normal_label(label) is None})
    if unknown:
        raise InputError(
            f"{path}: unknown labels: {', '.join(map(repr, unknown))}; known are {KNOWN}. A kind of defect goes into "
            "the column kind, beside the label anomalous; as a label it needs a mask in one of its rows"
        )


def normal_folders(root: Path) -> list[Path]:
    """Folders directly in `root` whose names say that their images are normal: good, OK, i.O., Normal, good_2."""
    return [folder for folder in folders(root) if _is_normal_name(folder.name)]


def images_of(sources: Iterable[Path]) -> list[Path]:
    """Image files directly in several folders."""
    return [path for folder in sources for path in image_files(folder)]


def kind_folders(root: Path, problems: list[str]) -> list[Path]:
    """Folders directly in `root` that are kinds of defects; each of them has its name.

    A folder whose name has a word for normal among others may be either: it is left out, and `problems` says so.
    """
    kinds = []
    for folder in folders(root):
        if _is_normal_name(folder.name):
            continue
        words = set(re.findall(r"[^\W\d_]+", folder.name.casefold()))
        if words & _NORMAL_WORDS and _letters(folder.name) not in _ANOMALOUS_WORDS:
            if image_files(folder):
                problems.append(
                    f"{folder}: left out, because its name may mean normal images or a kind of defect; call it good, "
                    "or by a name without a word for normal"
                )
        else:
            kinds.append(folder)
    return kinds


def _is_normal_name(name: str) -> bool:
    return re.sub(r"\d+$", "", _letters(name)) in _NORMAL_WORDS
