"""Table of the results of several categories, with published metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

from anomalign.evaluation.published import MEANS, SPADE_PIXEL_AUROC, published_metrics
from anomalign.evaluation.rates import RateCheck
from anomalign.evaluation.result import CategoryResult

IMAGE_COLUMNS = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1max": "image F1-max*",
    "class_f1": "ClassF1",
}
PIXEL_COLUMNS = {
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1max": "pixel F1-max*",
    "seg_f1": "SegF1",
    "region_iou": "region IoU",
    "au_pro_0.3": "AU-PRO 0.3",
    "au_pro_0.05": "AU-PRO 0.05",
    "au_pimo": "AUPIMO",
    "spro_0.05": "sPRO 0.05",
}
COLUMNS = IMAGE_COLUMNS | PIXEL_COLUMNS
"""Heading of each metric, in the order of the table."""

FOOTNOTE = (
    "* F1 at the best threshold, which only the labels of these test images give: an optimistic bound. "
    "ClassF1 and SegF1: F1 at the threshold from normal images alone."
)

RATE_COLUMNS = ("normals count as", "target rate", "expected", "at most (95 %)", "false alarms", "defects found")
"""Headings of `rate_cells`."""

RATE_FOOTNOTE = (
    "False alarms: good test images that were called anomalous. EXCEEDED: their share is above the bound, which holds "
    "with 95 % confidence; p: chance of as many if the rate were the bound."
)


@dataclass(frozen=True)
class Row:
    """Row of the table.

    Attributes
    ----------
    name : str
    values : dict of str to float or None
        Value of each metric. None: the metric is not defined. A metric that was not reported is absent.
    inspect_ms : float or None
        Milliseconds per image; None for published metrics.
    published : bool
        Whether the values are from a paper.
    """

    name: str
    values: dict[str, float | None]
    inspect_ms: float | None = None
    published: bool = False


def rows(layout: str, results: Sequence[CategoryResult]) -> list[Row]:
    """One row per category, each followed by its published metrics, then the mean, then published means.

    Published means are over the fifteen categories of MVTec AD, so they are added only if `results` has all fifteen.
    """
    table = []
    for result in results:
        name = f"{result.name}, pixels of the {result.framing.extent}" if result.whole_image else result.name
        table.append(Row(name, result.values.metrics, result.times["inspect_ms"]))
        if result.whole_image:
            table.append(Row(f"{result.name}, pixels of the whole image", dict(result.whole_image.metrics)))
        if paper := published_metrics(layout, result.name):
            table.append(Row("SPADE (2020)", {key: value / 100 for key, value in paper.items()}, published=True))
    if len(results) > 1:
        table.append(
            Row(f"mean of {len(results)}", mean(results), sum(r.times["inspect_ms"] for r in results) / len(results))
        )
    if layout == "mvtec_ad" and {r.name for r in results} == set(SPADE_PIXEL_AUROC):
        for name, values in MEANS.items():
            table.append(Row(f"{name}, mean", {key: value / 100 for key, value in values.items()}, published=True))
    return table


def columns_of(results: Sequence[CategoryResult]) -> dict[str, str]:
    """Columns for which at least one result has a metric; for instance sPRO is measured only for MVTec LOCO."""
    return {key: heading for key, heading in COLUMNS.items() if any(key in r.values.metrics for r in results)}


def mean(results: Sequence[CategoryResult]) -> dict[str, float | None]:
    """Mean of each metric over the categories; None if it is not defined for one of them."""
    means: dict[str, float | None] = {}
    for key in columns_of(results):
        values = [result.values.metrics.get(key) for result in results]
        numbers = [value for value in values if value is not None]
        means[key] = sum(numbers) / len(numbers) if numbers and len(numbers) == len(values) else None
    return means


def rate_cells(rate: RateCheck) -> tuple[str, ...]:
    """What was promised, and what was counted, in the order of `RATE_COLUMNS`."""
    alarms = f"{rate.false_alarms} of {rate.good}"
    if rate.realised is not None:
        alarms += f", {rate.realised:.1%}"
    if rate.is_exceeded:
        alarms += f" EXCEEDED (p {rate.chance:.2g})"
    promised = (f"{share:.1%}" for share in (rate.target, rate.expected, rate.bound))
    return f"{rate.groups:.0f}", *promised, alarms, f"{rate.found} of {rate.defects}"
