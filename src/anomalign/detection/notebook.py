"""An inspection as a notebook shows it: the picture with heat, the closest match beside it, and the regions."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from anomalign.detection.regions import Region
from anomalign.detection.summary import InspectionSummary
from anomalign.images.framing import Framing
from anomalign.images.shown import Part, shown_part

PICTURE_PX = 480
"""Longer side of both pictures."""

_MOST_ROWS = 5
_WHOLE = Framing()
_TOP = 'style="vertical-align: top; text-align: left; padding: 2px 14px 2px 0"'


@dataclass(frozen=True)
class NormalPicture:
    """The normal image to show beside an inspected one.

    Attributes
    ----------
    name : str
        Name of the normal image.
    height, width : int
        Its size in pixels; the picture may be smaller.
    jpeg : bytes
        Small picture of it.
    place : (float, float), optional
        y and x of the match of the peak of the worst region, in pixels of the normal image; None without a region.
    """

    name: str
    height: int
    width: int
    jpeg: bytes
    place: tuple[float, float] | None


def as_html(
    summary: InspectionSummary,
    picture: NDArray[np.uint8] | None = None,
    normal: NormalPicture | None = None,
    framing: Framing = _WHOLE,
) -> str:
    """Describe an inspection in HTML. Both pictures show the same part, as `shown_part` gives it.

    Parameters
    ----------
    summary : InspectionSummary
    picture : (h, w, 3) uint8 array, optional
        This part of the inspected image with its heat, in any size.
    normal : NormalPicture, optional
        All of the normal image.
    framing : Framing
    """
    part = shown_part(framing, summary.height, summary.width)
    cells = [] if picture is None else [_figure("This image", _marked(picture, summary, part))]
    if normal is not None:
        title = f"{'Most similar' if normal.place is None else 'Closest match of region 1'}: {Path(normal.name).name}"
        cells.append(_figure(title, _ringed(normal, shown_part(framing, normal.height, normal.width))))
    shown = f"<table><tr {_TOP}>{''.join(cells)}</tr></table>" if cells else _hint()
    return f"<div>{_heading(summary)}{shown}{_table(summary.regions, summary.region_count)}</div>"


def _heading(summary: InspectionSummary) -> str:
    close = ", borderline" if summary.borderline else ""
    return (
        f"<p><strong>{escape(summary.verdict)}</strong>{close}: {escape(Path(summary.name).name)}, image score "
        f"{summary.image_score:.4g}, threshold {summary.threshold:.4g}, p-value {summary.p_value:.2g}</p>"
    )


def _hint() -> str:
    return "<p>There is no picture: inspect with <code>keep_image=True</code> to see one.</p>"


def _table(regions: Sequence[Region], count: int) -> str:
    if not regions:
        return ""
    rows = [
        (number, f"{region.peak[0]}, {region.peak[1]}", f"{region.width} x {region.height}", region.area_px,
         f"{region.p_value:.1e}", f"{region.place_score:.3g}")
        for number, region in enumerate(regions[:_MOST_ROWS], 1)
    ]  # fmt: skip
    names = ("region", "peak: row, column", "width x height", "area in px", "p-value", "place score")
    head = "".join(f"<th {_TOP}>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td {_TOP}>{value}</td>' for value in row)}</tr>" for row in rows)
    more = f"<p>{count - len(rows)} more in <code>regions</code></p>" if count > len(rows) else ""
    return f"<table><tr>{head}</tr>{body}</table>{more}"


def _figure(title: str, picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88, subsampling=0)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<td {_TOP}>{escape(title)}<br><img alt="{escape(title)}" src="data:image/jpeg;base64,{data}"></td>'


def _marked(picture: NDArray[np.uint8], summary: InspectionSummary, part: Part) -> Image.Image:
    """The picture with a numbered box around each region, and a ring around the peak of the worst."""
    image = _enlarged(Image.fromarray(picture))
    draw = ImageDraw.Draw(image)
    scale_y, scale_x = image.height / part.height, image.width / part.width
    if summary.regions:
        peak = summary.regions[0].peak
        _ring(draw, (peak[0] - part.top + 0.5) * scale_y, (peak[1] - part.left + 0.5) * scale_x)
    for number, region in reversed(list(enumerate(summary.regions, 1))):  # the worst on top
        top, left = region.box[0] - part.top, region.box[1] - part.left
        bottom, right = top + region.height, left + region.width
        box = (left * scale_x - 2, top * scale_y - 2, right * scale_x + 1, bottom * scale_y + 1)
        draw.rectangle((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), outline="black")
        draw.rectangle(box, outline="white")
        _number(draw, number, box[0], box[1] - 15 if box[1] >= 15 else box[1])
    return image


def _number(draw: ImageDraw.ImageDraw, number: int, x: float, y: float) -> None:
    x = max(x, 0)
    draw.rectangle((x, y, x + 5 + 8 * len(str(number)), y + 14), fill="black")
    draw.text((x + 3, y), str(number), "white", ImageFont.load_default(13))


def _ringed(normal: NormalPicture, part: Part) -> Image.Image:
    """The part of the normal image with a ring around the place that was matched."""
    image = _enlarged(part.cut(Image.open(io.BytesIO(normal.jpeg), formats=("JPEG",)).convert("RGB")))
    if normal.place is not None:
        y = (normal.place[0] - part.top + 0.5) * image.height / part.height
        x = (normal.place[1] - part.left + 0.5) * image.width / part.width
        _ring(ImageDraw.Draw(image), y, x)
    return image


def _ring(draw: ImageDraw.ImageDraw, y: float, x: float) -> None:
    for radius, width, colour in ((14, 4, "black"), (13, 2, "white")):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)


def _enlarged(image: Image.Image) -> Image.Image:
    """The picture, small ones enlarged, so that marks fit and both pictures have one size."""
    scale = PICTURE_PX / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
