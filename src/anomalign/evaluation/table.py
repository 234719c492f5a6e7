"""Results of several categories side by side, with the published numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from anomalign.evaluation.published import MEANS, SPADE_PIXEL_AUROC, published
from anomalign.evaluation.run import CategoryResult

OF_IMAGES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1max": "image F1-max*",
    "class_f1": "ClassF1",
}
OF_PIXELS = {
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1max": "pixel F1-max*",
    "seg_f1": "SegF1",
    "au_pro_0.3": "AU-PRO 0.3",
    "au_pro_0.05": "AU-PRO 0.05",
    "au_pimo": "AUPIMO",
    "spro_0.05": "sPRO 0.05",
}
COLUMNS = OF_IMAGES | OF_PIXELS
"""Metrics in the order of the table, and their headings."""

FOOTNOTE = (
    "* at the best threshold for these test images, which nobody knows beforehand: an optimistic bound. "
    "ClassF1 and SegF1: at the threshold set from normal images alone."
)


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    name : str
    values : dict of str to float or None
        By metric; absent: not reported, None: not defined.
    inspect_ms : float or None
        Time an image; None for published numbers.
    published : bool
    """

    name: str
    values: dict[str, float | None]
    inspect_ms: float | None = None
    published: bool = False


def rows(layout: str, results: Sequence[CategoryResult]) -> list[Row]:
    """A row a category, each followed by what is published for it, then means, then published means.

    Published means are over all fifteen categories of MVTec AD, and are given only beside ours over all of them.
    """
    table = []
    for result in results:
        cropped = result.whole_image is not None
        name = f"{result.name}, pixels of the centre crop" if cropped else result.name
        table.append(Row(name, result.values.metrics, result.times["inspect_ms"]))
        if result.whole_image:
            table.append(Row(f"{result.name}, pixels of the whole image", dict(result.whole_image.metrics)))
        if paper := published(layout, result.name):
            table.append(Row("SPADE (2020)", {key: value / 100 for key, value in paper.items()}, published=True))
    if len(results) > 1:
        table.append(
            Row(f"mean of {len(results)}", mean(results), sum(r.times["inspect_ms"] for r in results) / len(results))
        )
    if layout == "mvtec_ad" and {r.name for r in results} == set(SPADE_PIXEL_AUROC):
        for name, values in MEANS.items():
            table.append(Row(f"{name}, mean", {key: value / 100 for key, value in values.items()}, published=True))
    return table


def shown(results: Sequence[CategoryResult]) -> dict[str, str]:
    """The columns of which there is something to show; sPRO is measured for MVTec LOCO only."""
    return {key: heading for key, heading in COLUMNS.items() if any(key in r.values.metrics for r in results)}


def mean(results: Sequence[CategoryResult]) -> dict[str, float | None]:
    """Mean of each metric over the categories; None where it is not defined for one of them."""
    means: dict[str, float | None] = {}
    for key in shown(results):
        values = [result.values.metrics.get(key) for result in results]
        known = [value for value in values if value is not None]
        means[key] = sum(known) / len(known) if known and len(known) == len(values) else None
    return means
