"""Other settings, tried on the same synthetic defects: what each would find, and which differences are not just luck.

A trial never changes the bank. Settings of the comparison are tried on the bank as it is; another size, backbone or
augmentation needs a new bank in a folder that is removed afterwards, made from the files of the normal images.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from anomalign.backbones import cache
from anomalign.backbones.backbone import BUNDLED, load_backbone
from anomalign.backbones.known import KNOWN
from anomalign.bank import Bank, Progress
from anomalign.bank.pictures import file_of
from anomalign.calibration.thresholds import best_rate
from anomalign.detection.defect_plan import Plan
from anomalign.detection.detector import Detector
from anomalign.detection.power import DetectionPower
from anomalign.detection.settings import Settings
from anomalign.errors import InputError

_ADVICE = ("size=320", "gallery_size=30", "size=448")

_OF_BANK: dict[str, type] = {"size": int, "backbone": str, "augment": str, "normals": int}
_OF_SETTINGS: dict[str, type] = {
    "descriptor": str, "image_neighbours": int, "gallery_size": int, "kappa": int, "grid_level": int,
    "top_share": float, "decided_by": str, "gate": float,
}  # fmt: skip
_RESAMPLES = 9999
_CERTAIN = 0.05


@dataclass(frozen=True, eq=False)
class Trial:
    """What another setting finds of the same synthetic defects.

    Attributes
    ----------
    setting : str
        As it was asked for: ``size=320``.
    power : DetectionPower
    gain : float
        Mean over the normal images of the share found of its defects, less that with the settings as they are.
    p_value : float
        Chance of a difference at least as large where both settings find as much: signs of the differences of the
        normal images are drawn at random. Corrected for the number of trials (Holm, 1979).
    ms_per_image : float
        Time of this machine for one image, when many are inspected.
    bank_bytes : int
        Size of the features of the normal images.
    normals : int
    """

    setting: str
    power: DetectionPower
    gain: float
    p_value: float
    ms_per_image: float
    bank_bytes: int
    normals: int

    @property
    def is_certain(self) -> bool:
        """Whether the difference is more than luck: its p-value is at most 5 %."""
        return self.p_value <= _CERTAIN


def advice(bank: Bank) -> list[str]:
    """Settings that are tried where the user names none, in this order: those that a command can set.

    Last come the other known backbones whose files are on this machine.
    """
    here = [name for name in KNOWN if name == BUNDLED or cache.is_here(name)]
    others = [f"backbone={name}" for name in here if name != bank.identity.backbone]
    same = f"size={min(bank.identity.framing.shape)}"
    return [setting for setting in (*_ADVICE, *others) if setting != same]


def read_setting(text: str) -> tuple[str, Any]:
    """Read ``NAME=VALUE``.

    Raises
    ------
    InputError
        The name is unknown, or the value has another type.
    """
    name, sign, value = text.partition("=")
    types = {**_OF_BANK, **_OF_SETTINGS}
    if not sign or name not in types:
        raise InputError(f"try={text!r}: needs SETTING=VALUE; settings are {', '.join(types)}")
    try:
        return name, types[name](value)
    except ValueError:
        kind = "a whole number" if types[name] is int else "a number"
        raise InputError(f"try={text!r}: {value!r} is not {kind}") from None


def changed(detector: Detector, plan: Plan, setting: str, folder: Path) -> Detector:
    """Make the detector that has one setting changed; a new bank, if it needs one, is made in this folder.

    Raises
    ------
    InputError
        The setting is wrong, or files of normal images are gone that it needs.
    """
    name, value = read_setting(setting)
    if name == "normals":
        return _at_rate(Detector(_with_fewer(detector.bank, plan, value), detector.settings), detector)
    if name in {field.name for field in fields(Settings)}:
        bank = detector.bank.without([])  # it is frozen: scores by other settings are not stored in it
        return _at_rate(Detector(bank, replace(detector.settings, **{name: value})), detector)
    return _at_rate(Detector(_new_bank(detector.bank, folder, name, value), detector.settings), detector)


def run_trial(
    detector: Detector,
    plan: Plan,
    now: DetectionPower,
    setting: str,
    folder: Path,
    progress: Progress | None = None,
) -> Trial:
    """Measure the power of a detector with one setting changed; `now` is that of the detector as it is."""
    other = changed(detector, plan, setting, folder)
    other.calibrate()
    start = time.perf_counter()
    power = other.check_plan(plan, progress)
    taken = time.perf_counter() - start
    gains = _gains(now, power)
    return Trial(
        setting=setting,
        power=power,
        gain=float(gains.mean()),
        p_value=_p_value(gains),
        ms_per_image=1000 * taken / max(1, len(power.outcomes)),
        bank_bytes=int(len(other.bank) * other.bank.identity.bytes_per_image),
        normals=len(other.bank),
    )


def corrected(trials: Sequence[Trial]) -> list[Trial]:
    """Correct p-values for the number of trials (Holm, 1979), in the order of the trials."""
    order = sorted(range(len(trials)), key=lambda place: trials[place].p_value)
    values, least = [0.0] * len(trials), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(trials) - rank) * trials[place].p_value))
        values[place] = least
    return [replace(trial, p_value=value) for trial, value in zip(trials, values, strict=True)]


def recommended(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the largest gain that is more than luck; None where there is none."""
    better = [trial for trial in trials if trial.is_certain and trial.gain > 0]
    return max(better, key=lambda trial: trial.gain, default=None)


def _gains(now: DetectionPower, other: DetectionPower) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """For each normal image, the share found of its defects by the other setting, less that found now."""
    before, after = now.by_image(), other.by_image()
    return np.array([
        np.mean([found - before[image][which] for which, found in of_image.items() if which in before[image]])
        for image, of_image in after.items()
        if image in before
    ])  # fmt: skip


def _p_value(gains: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    """Two-sided test of whether gains of normal images are 0 on average, by random signs."""
    if not np.any(gains):
        return 1.0
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (_RESAMPLES, len(gains)))
    as_far = np.abs(signs @ gains) >= abs(gains.sum()) * (1 - 1e-9)
    return float((1 + as_far.sum()) / (1 + _RESAMPLES))


def _at_rate(other: Detector, detector: Detector) -> Detector:
    """The other detector at the target rate of the first, or at the least that its normal images support."""
    return other.at_rate(max(detector.target_fpr, best_rate(other.groups.count)))


def _with_fewer(bank: Bank, plan: Plan, count: int) -> Bank:
    """The bank with so many of its normal images: those of the plan, and others by chance."""
    drawn_into = {one.image.id for one in plan.pictures}
    if not len(drawn_into) <= count <= len(bank):
        raise InputError(
            f"try='normals={count}': must lie between {len(drawn_into)}, the images that defects are drawn into, and "
            f"{len(bank)}, the images of the bank"
        )
    others = [image.id for image in bank.images if image.id not in drawn_into]
    gone = np.random.default_rng(plan.seed).permutation(others)[: len(bank) - count]
    return bank.without([int(id) for id in gone])


def _new_bank(bank: Bank, folder: Path, name: str, value: Any) -> Bank:
    """Make a bank of the same normal images, by their files, with another size, backbone or augmentation."""
    gone = [image.name for image in bank.images if file_of(image) is None]
    if gone:
        others = f" and {len(gone) - 1} others" if len(gone) > 1 else ""
        raise InputError(
            f"try='{name}={value}': needs the files of the normal images, but {gone[0]}{others} are gone or have "
            "changed; put them back, or run this where they are"
        )
    identity = bank.identity
    backbone = load_backbone(value) if name == "backbone" else bank.backbone
    augment = value if name == "augment" else identity.augment
    framing = identity.framing
    if name == "size":
        framing = framing.scaled(value, backbone.multiple)
    new = Bank.create(folder, backbone, framing, augment, identity.reading)
    groups = [image.group for image in bank.images]
    new.add([Path(image.name) for image in bank.images], groups=groups if any(groups) else None)
    return new
