"""Table of the frames of videos: one row a camera or category, and one for all cameras of a dataset together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anomalign.evaluation.metrics import Counts, Values, auroc_of
from anomalign.evaluation.published import published_frames
from anomalign.evaluation.result import CategoryResult
from anomalign.evaluation.video_metrics import VideoMetrics, clips_of, video_metrics

_COLUMNS = {
    "micro": "micro",
    "macro": "macro",
    "causal_micro": "causal, micro",
    "causal_macro": "causal, macro",
    "pixel_auroc": "pixels",
}
_COLUMNS_AHEAD = {
    "min_max": "min-max per video, micro",
    "gaussian_micro": "Gaussian, micro",
    "gaussian_macro": "Gaussian, macro",
}
TITLE = "Frames of videos: AUROC"
FOOTNOTE = (
    "micro: all frames together, with their scores as they are. macro: mean over the videos that have normal and "
    "anomalous frames. causal: the score is the mean over the last frames. pixels: AUROC of the pixels of all frames."
)
TITLE_AHEAD = "Frames of videos: a look into the future"
FOOTNOTE_AHEAD = (
    "These scores need those of later frames, so no running camera can have them. Many papers report them. min-max: "
    "the lowest score of a video becomes 0, its highest 1."
)


@dataclass(frozen=True)
class VideoTable:
    """Table of AUROCs.

    Attributes
    ----------
    title, footnote : str
    columns : dict of str to str
        Heading of each metric that a row has.
    rows : tuple of VideoRow
        Those that have one of these metrics.
    """

    title: str
    footnote: str
    columns: dict[str, str]
    rows: "tuple[VideoRow, ...]"


@dataclass(frozen=True)
class VideoRow:
    """Row of the table.

    Attributes
    ----------
    name : str
    videos, frames : int or None
        Their numbers; None for published metrics.
    values : dict of str to float or None
        Value of each metric. None: the metric is not defined. A metric that was not reported is absent.
    published : bool
        Whether the values are from a paper.
    """

    name: str
    videos: int | None
    frames: int | None
    values: dict[str, float | None]
    published: bool = False


@dataclass(frozen=True)
class Together:
    """The cameras of one dataset, measured together; each has a bank of its own.

    Attributes
    ----------
    dataset : str
    cameras : tuple of str
    videos : VideoMetrics
        Of the frames of all cameras.
    pixels : Values
        ``pixel_auroc`` of the pixels of all cameras.
    """

    dataset: str
    cameras: tuple[str, ...]
    videos: VideoMetrics
    pixels: Values

    def to_json(self) -> dict[str, Any]:
        """JSON object. A metric that is not defined is null, with its reason in ``not_defined``."""
        videos = self.videos.to_json()
        reasons = {**self.videos.values.not_defined, **self.pixels.not_defined}
        return {
            "dataset": self.dataset,
            "cameras": list(self.cameras),
            **videos,
            **self.pixels.metrics,
            "not_defined": reasons,
        }


def together(results: Sequence[CategoryResult]) -> list[Together]:
    """Cameras of each dataset that has several, measured together."""
    by_dataset: dict[str, list[CategoryResult]] = {}
    for result in results:
        if result.videos and result.pool:
            by_dataset.setdefault(result.pool, []).append(result)
    return [_together(dataset, cameras) for dataset, cameras in by_dataset.items()]


def video_rows(results: Sequence[CategoryResult]) -> list[VideoRow]:
    """One row a category of videos, then one for all cameras of a dataset, and what papers say of them."""
    table = []
    for result in results:
        if videos := result.videos:
            values = {**videos.values.metrics, "pixel_auroc": result.values.metrics.get("pixel_auroc")}
            table.append(VideoRow(result.name, videos.clips, videos.frames, values))
    for all_of in together(results):
        if (count := len(all_of.cameras)) > 1:
            values = {**all_of.videos.values.metrics, **all_of.pixels.metrics}
            table.append(VideoRow(f"{count} cameras together", all_of.videos.clips, all_of.videos.frames, values))
        if paper := published_frames(all_of.dataset):
            numbers: dict[str, float | None] = {key: value / 100 for key, value in paper.items()}
            table.append(VideoRow("SPADE (2020), all cameras", None, None, numbers, published=True))
    return table


def video_tables(results: Sequence[CategoryResult]) -> list[VideoTable]:
    """Tables of what a running camera can have, and of what looks into the future; none without videos."""
    table = video_rows(results)
    extent = next((f"pixels of the {result.framing.extent}" for result in results if result.whole_image), "pixels")
    tables = []
    for title, footnote, columns in (
        (TITLE, FOOTNOTE, {**_COLUMNS, "pixel_auroc": extent}),
        (TITLE_AHEAD, FOOTNOTE_AHEAD, _COLUMNS_AHEAD),
    ):
        used = {key: heading for key, heading in columns.items() if any(key in row.values for row in table)}
        rows = tuple(row for row in table if any(key in row.values for key in used))
        if rows:
            tables.append(VideoTable(title, footnote, used, rows))
    return tables


def _together(dataset: str, cameras: Sequence[CategoryResult]) -> Together:
    clips = clips_of(image for camera in cameras for image in camera.images)
    smooth_frames = next(camera.videos.smooth_frames for camera in cameras if camera.videos)
    counts = Counts.merge([camera.pixel_counts for camera in cameras])
    pixels = Values.of({"pixel_auroc": lambda: auroc_of(counts)})
    return Together(dataset, tuple(camera.name for camera in cameras), video_metrics(clips, smooth_frames), pixels)
