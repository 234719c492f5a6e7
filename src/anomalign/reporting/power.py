"""One HTML file on what a bank finds: a table by kind and size, where it is blind, defects found and missed."""

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalign.alignment import place_on_image, smooth_map
from anomalign.detection.defect_plan import Example, Plan
from anomalign.detection.detector import Detector
from anomalign.detection.evidence import heat_of
from anomalign.detection.power import OTHER_RATES, DetectionPower, Share
from anomalign.detection.trials import Trial, recommended
from anomalign.images.heat import overlay
from anomalign.reporting.page import write_page
from anomalign.reporting.power_words import (
    NAMES,
    describe_other_rates,
    describe_power,
    describe_rate,
    describe_rest,
    describe_size,
    describe_trials,
)

_CROP_PX, _BLIND_PX = 240, 420
_ENOUGH = 50  # defects found, to say where they are found
_LEAST_CROP = 0.16  # side of the square that is shown of a picture, as a share of its shorter side
_BLIND_COLOUR = np.array([120, 20, 160], np.float32)


@dataclass(frozen=True)
class Cell:
    """One kind and size in the table."""

    share: Share
    interval: str
    title: str


@dataclass(frozen=True)
class Shown:
    """A defect that is shown: the picture, and the same with heat, as data URIs."""

    kind: str
    found: bool
    words: str
    picture: str
    heat: str


def write_power_page(
    path: str | os.PathLike[str],
    detector: Detector,
    plan: Plan,
    power: DetectionPower,
    trials: Sequence[Trial] = (),
    more_normals: str = "",
    mm_per_px: float | None = None,
) -> None:
    """Write the page, whole or not at all; parent folders are made.

    Parameters
    ----------
    path
    detector : Detector
        The one that was checked.
    plan : Plan
        The defects.
    power : DetectionPower
    trials : sequence of Trial
        Other settings that were tried, with corrected p-values.
    more_normals : str
        What more normal images would bring, in words; empty: not estimated.
    mm_per_px : float, optional
        Size of a pixel of the images; sizes are then in millimetres.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    rows = [(NAMES[kind], [_cell(power.share(kind, size)) for size in power.sizes]) for kind in power.kinds]
    others = detector.power_at_rates(power, OTHER_RATES)
    content = {
        "title": f"What {detector.bank.path.name} finds",
        "rate": describe_rate(power.threshold),
        "power": power,
        "sizes": [(describe_size(size, power.side_px, mm_per_px), f"{size:.0%}") for size in power.sizes],
        "rows": rows,
        "sentences": describe_power(power, mm_per_px),
        "rest": [*describe_rest(power), *filter(None, (describe_other_rates(others), more_normals))],
        "blind": _blind_picture(plan, power) if power.share().found >= _ENOUGH else "",
        "shown": [_shown(detector, plan, one, power, mm_per_px) for one in detector.find_examples(plan, power)],
        "trials": trials,
        "recommended": recommended(trials),
        "advice": describe_trials(trials) if trials else "",
        "settings_bytes": len(detector.bank) * detector.bank.identity.bytes_per_image,
    }
    write_page(path, "power.html.j2", content)


def _cell(share: Share) -> Cell:
    low, high = share.interval
    title = f"{share.found} of {share.total}; 95 % interval {low:.0%} to {high:.0%}"
    return Cell(share, f"({100 * low:.0f}\N{EN DASH}{100 * high:.0f})", title)


def _blind_picture(plan: Plan, power: DetectionPower) -> str:
    """The first normal image; the less is found at a place, the more violet it is."""
    pixels = plan.pictures[0].pixels
    scale = _BLIND_PX / max(pixels.shape[:2])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    picture = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR), np.float32)
    share = power.blind_map()
    highest = max(float(np.nanmax(share, initial=0)), 1e-6)
    missed = np.nan_to_num(1 - share / highest, nan=0.0)
    layer = smooth_map(missed.astype(np.float32), (max(size), max(size)), sigma_px=0)
    alpha = np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.BILINEAR))[..., None] * 0.75
    return _uri((picture * (1 - alpha) + _BLIND_COLOUR * alpha).astype(np.uint8))


def _shown(detector: Detector, plan: Plan, example: Example, power: DetectionPower, mm_per_px: float | None) -> Shown:
    outcome, defect = example.outcome, example.defect
    height, width = defect.mask.shape
    framing = detector.bank.identity.framing.of_part  # the pictures show nothing else
    framed = smooth_map(example.place_scores, framing.shape, sigma_px=0)
    scores = place_on_image(framed, framing, height, width)
    counted = plan.pictures[plan.place(outcome.sha256)].counted
    if counted is not None:
        scores[~counted] = np.nan
    heat = heat_of(detector.rule.calibration.pixels.p_values(scores))
    side = max(_LEAST_CROP, 2.5 * outcome.size) * min(height, width)
    box = _crop_box(outcome.y * height, outcome.x * width, min(side, height, width), height, width)
    size = describe_size(outcome.size, power.side_px, mm_per_px)
    return Shown(
        kind=outcome.kind,
        found=outcome.found,
        words=f"{outcome.kind} of {size}, {'the smallest found' if outcome.found else 'the largest missed'}",
        picture=_crop(defect.picture, box),
        heat=_crop(overlay(defect.picture, heat), box),
    )


def _crop_box(y: float, x: float, side: float, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a square about a place, moved into the picture."""
    left = min(max(0.0, x - side / 2), width - side)
    top = min(max(0.0, y - side / 2), height - side)
    return round(left), round(top), round(left + side), round(top + side)


def _crop(picture: NDArray[np.uint8], box: tuple[int, int, int, int]) -> str:
    part = Image.fromarray(picture).crop(box)
    return _uri(np.asarray(part.resize((_CROP_PX, _CROP_PX), Image.Resampling.BICUBIC)))


def _uri(picture: NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
