"""In words: which synthetic defects a bank finds, which it misses, and what other settings would change."""

from collections.abc import Sequence

from anomalign.calibration.basis import describe_few
from anomalign.calibration.thresholds import Threshold
from anomalign.detection.power import DetectionPower, Share
from anomalign.detection.trials import Trial, read_setting, recommended
from anomalign.synthetic import Kind

NAMES: dict[Kind, str] = {
    "scratch": "scratches",
    "spot": "spots",
    "chip": "chips and holes",
    "piece": "missing or swapped pieces",
    "dent": "dents",
    "smear": "smears",
    "texture": "changes of texture",
}
"""What each kind of defect is called, in the plural."""

_OF_FIT = ("size", "backbone", "augment")
_OF_INSPECT = ("descriptor", "image_neighbours", "gallery_size", "gate")
_MOSTLY, _HARDLY = 0.8, 0.2  # shares from which a size counts as found, and below which as missed


def describe_size(size: float, side_px: float, mm_per_px: float | None) -> str:
    """Size of a defect, given as a share of the shorter side, in pixels or in millimetres."""
    if mm_per_px is None:
        px = size * side_px
        return f"{px:.0f} px" if px >= 1 else f"{px:.1f} px"
    return f"{size * side_px * mm_per_px:.2g} mm"


def describe_kind(power: DetectionPower, kind: Kind, mm_per_px: float | None = None) -> str:
    """One sentence: from which size upward defects of a kind are found, and what becomes of smaller ones."""
    sizes = [size for size in power.sizes if power.share(kind, size).total]
    found = next(
        (place for place in range(len(sizes)) if all(_is_found(power.share(kind, s)) for s in sizes[place:])), None
    )
    name = NAMES[kind]
    if not sizes:
        return f"no {name} could be drawn that are seen on these images"

    def size_of(size: float) -> str:
        return describe_size(size, power.side_px, mm_per_px)

    if found == 0:
        return f"{name} are found, down to {size_of(sizes[0])}"
    if found is None:
        largest = power.share(kind, sizes[-1])
        count = f"{largest.found} of {largest.total}"
        if largest.value < _HARDLY:
            return f"hardly any {name} are found, up to {size_of(sizes[-1])}: {count}"
        return f"of {name} of {size_of(sizes[-1])}, {count} are found; of smaller ones, fewer"
    below = power.share(kind, sizes[found - 1])
    return (
        f"{name} of {size_of(sizes[found])} upward are found; "
        f"of {size_of(sizes[found - 1])}, {below.total - below.found} of {below.total} are missed"
    )


def describe_power(power: DetectionPower, mm_per_px: float | None = None) -> list[str]:
    """One sentence for each kind; then what the numbers rest on."""
    sentences = [describe_kind(power, kind, mm_per_px) for kind in power.kinds]
    return [sentence[0].upper() + sentence[1:] + "." for sentence in sentences]


def describe_rest(power: DetectionPower) -> list[str]:
    """What the numbers rest on: normal images, false alarms, previews, and whether the bank has few images."""
    alarms, threshold = power.false_alarms, power.threshold
    images = f"{alarms.total} normal image{'s' if alarms.total > 1 else ''}"
    verb = "is" if alarms.found == 1 else "are"
    words = [
        f"{len(power.outcomes):,} defects were drawn into {images}; without a defect {alarms.found} of these {verb} "
        f"called anomalous. Target: {describe_rate(threshold)} false alarms."
    ]
    if power.previews:
        words.append(
            f"The files of {power.previews} of these images are gone or have changed; their previews of 320 px were "
            "used."
        )
    if few := describe_few(threshold):
        words.append(few[0].upper() + few[1:] + ".")
    return words


def describe_quickly(power: DetectionPower) -> str:
    """Say in one line what `fit` ends with, by a few defects of two sizes."""
    parts = []
    for size in power.sizes:
        share = power.share(size=size)
        parts.append(f"{share.found} of {share.total} of {describe_size(size, power.side_px, None)} ({size:.0%})")
    rate = describe_rate(power.threshold)
    return f"at {rate} false alarms this bank finds, of synthetic defects, {' and '.join(parts)}"


def describe_rate(threshold: Threshold) -> str:
    """Target rate of false alarms, as 1 % or 2.4 %."""
    return f"{100 * threshold.target_fpr:.2g} %"


def describe_other_rates(powers: Sequence[DetectionPower]) -> str:
    """What would be found at other target rates; empty where there are none."""
    parts = [f"at {describe_rate(one.threshold)} {100 * one.value:.0f}" for one in powers]
    return f"With more false alarms more is found, of 100 defects: {', '.join(parts)}." if parts else ""


def describe_use(setting: str) -> str:
    """How to use a setting that was tried."""
    name = setting.partition("=")[0]
    if name in _OF_FIT:
        return f"make a new bank with {setting}"
    if name in _OF_INSPECT:
        return f"inspect with {setting}"
    if name == "normals":
        return "use so many normal images"
    return f"in Python, use Settings({name}={read_setting(setting)[1]!r})"


def describe_trials(trials: Sequence[Trial]) -> str:
    """Which of the settings that were tried is recommended, if any; the person decides."""
    best = recommended(trials)
    if best is None:
        return "None of these finds significantly more: keep the settings as they are."
    return (
        f"{best.setting} finds most: {100 * best.gain:+.0f} of 100 defects (p = {best.p_value:.2g}), for "
        f"{best.ms_per_image:.0f} ms an image: {describe_use(best.setting)}. Synthetic defects are not yours: compare "
        "both on real ones if you can."
    )


def describe_more_normals(half: DetectionPower, whole: DetectionPower) -> str:
    """What twice as many normal images would bring, if it is as much as the last doubling did."""
    gain = round(100 * (whole.value - half.value))
    words = (
        f"With half of the normal images {100 * half.value:.0f} of 100 defects are found, with all "
        f"{100 * whole.value:.0f} (both at {describe_rate(half.threshold)} false alarms)"
    )
    if gain <= 0:
        return f"{words}: more normal images would not find more at one rate, but they support lower rates."
    return f"{words}: twice as many would bring about {gain} more, if they do as much again."


def _is_found(share: Share) -> bool:
    return not share.total or share.value >= _MOSTLY
