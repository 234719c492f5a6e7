"""One picture that shows which places were compared: `anomalign explain`."""

import math
import os
from collections import Counter
from pathlib import Path
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from anomalign.alignment import place_on_image
from anomalign.bank import Bank
from anomalign.detection.evidence import Match
from anomalign.detection.inspection import Inspection
from anomalign.images.heat import overlay
from anomalign.images.output_file import open_output
from anomalign.images.shown import Part, shown_part
from anomalign.reporting.canvas import FINE, MARK, PAPER, SOFT, add_caption, add_margin, beside, line, stack
from anomalign.reporting.places import (
    describe_difference,
    describe_place,
    fit_size,
    part_of,
    preview,
    small_map,
    window_in,
)

_PANEL = 560
_LEVELS = {  # the web page uses the same names
    1: ["all"],
    2: ["fine detail", "shape"],
    3: ["fine detail", "texture", "shape"],
    4: ["fine detail", "texture", "parts", "shape"],
}
_WORDS = 28  # letters on a line beside the picture of the matched image
_ARROWS = 14  # along the longer side of the grid
_ARROW, _FAR = (0, 92, 200), 0.2  # arrows longer than this share of the picture are shortened and drawn pale


def write_explanation(
    path: str | os.PathLike[str],
    inspection: Inspection,
    image: NDArray[np.uint8],
    bank: Bank,
    at: tuple[float, float] | None = None,
) -> Match:
    """Write a PNG: a place of an image beside its match, and where the other places have their matches.

    Parameters
    ----------
    path : path
    inspection : Inspection
        It went through stage 2, by itself or by `Detector.align`.
    image : (H, W, 3) uint8 array
        The inspected image, RGB.
    bank : Bank
    at : (y, x), optional
        The place, in pixels of the image. Default: the most anomalous one.

    Returns
    -------
    Match
        Match of the place.

    Raises
    ------
    InputError
        Stage 2 has not run; the place lies outside the inspected part of the image; or the file cannot be written.
    """
    y, x = most_anomalous_place(inspection) if at is None else at
    match = inspection.match_at(y, x)
    photograph = part_of(inspection).cut(Image.fromarray(np.ascontiguousarray(image)))
    left = [_whole_image(photograph, inspection, y, x), _displacements(photograph, inspection)]
    right = [_pair(photograph, inspection, bank, y, x, match), _matched_images(inspection, bank)]
    sheet = stack([beside([a, b]) for a, b in zip(left, right, strict=True)])
    page = stack([_heading(inspection), sheet])
    with open_output(path) as file:
        add_margin(page).save(file, "PNG", compress_level=6)
    return match


def most_anomalous_place(inspection: Inspection) -> tuple[float, float]:
    """Row and column of the peak of the worst region, or else of the highest score, in pixels of the image.

    Where all scores are 0, of the largest distance.
    """
    if inspection.regions:
        return inspection.regions[0].peak
    scores, part = small_map(inspection, _PANEL), part_of(inspection)
    h, w = scores.shape
    if np.nanmax(scores) == 0:
        scores = place_on_image(inspection.aligned.frame_map, part.framing, *part.size, (h, w))
    row, column = np.unravel_index(np.nanargmax(scores), scores.shape)
    return (
        part.top + (int(row) + 0.5) * part.height / h - 0.5,
        part.left + (int(column) + 0.5) * part.width / w - 0.5,
    )


def _heading(inspection: Inspection) -> Image.Image:
    verdict = f"{Path(inspection.name).name}: {inspection.verdict}"
    numbers = (
        f"score {inspection.image_score:.4g}, threshold {inspection.threshold:.4g}, p-value {inspection.p_value:.3g}"
    )
    return stack([line(verdict, 30), line(numbers, 20, SOFT)], gap=4)


def _whole_image(photograph: Image.Image, inspection: Inspection, y: float, x: float) -> Image.Image:
    small = _enlarge(photograph)
    heat = small_map(inspection, max(small.size))
    if heat.shape != (small.height, small.width):  # the photograph was enlarged
        heat = np.asarray(Image.fromarray(heat).resize(small.size, Image.Resampling.BILINEAR))
    picture = Image.fromarray(overlay(np.asarray(small), inspection.heat(heat)))
    near, _, _ = window_in(picture, y, x, part_of(inspection))
    box = (near.left, near.top, near.left + near.side, near.top + near.side)
    ImageDraw.Draw(picture).rectangle(box, outline=MARK, width=3 * FINE)
    is_anomalous = inspection.verdict == "anomalous"
    caption = "How unusual each pixel is at its place" if is_anomalous else "Verdict normal, so no place is marked"
    return add_caption(picture, caption, "the frame marks the place shown on the right")


def _pair(photograph: Image.Image, inspection: Inspection, bank: Bank, y: float, x: float, match: Match) -> Image.Image:
    normal = next(image for image in inspection.aligned.gallery if image.id == match.image_id)
    of_normal = shown_part(inspection.framing, normal.height, normal.width)
    here = _crop(photograph, y, x, part_of(inspection))
    there = _crop(preview(bank, normal, match.turn), match.turned_y, match.turned_x, of_normal)
    arrow = Image.new("RGB", (40 * FINE, here.height), PAPER)
    middle = here.height / 2
    _arrow(ImageDraw.Draw(arrow), (4 * FINE, middle), (36 * FINE, middle), MARK, 4)
    pair = beside(
        [
            add_caption(here, "This place", describe_place(y, x)),
            arrow,
            add_caption(there, "Its closest match", f"{Path(match.name).name}, {describe_place(match.y, match.x)}"),
        ],
        gap=8,
    )
    total = sum(match.per_level) or 1.0
    count = len(match.per_level)
    names = _LEVELS.get(count) or [f"level {number}" for number in range(1, count + 1)]
    shares = [f"{name} {part / total:.0%}" for name, part in zip(names, match.per_level, strict=True)]
    differs, usual = describe_difference(match)
    lines = [line(differs, 20), *(line(part, 18) for part in wrap(usual, _WORDS))]
    lines += [line(share, 18, SOFT) for share in shares]
    if turn := str(match.turn):
        lines.append(line("The match is shown", 18, SOFT))
        lines += [line(part, 18, SOFT) for part in turn.split(" and ")]
    whole = preview(bank, normal)
    whole = whole.resize(fit_size(*whole.size, here.width, enlarge=True), Image.Resampling.BICUBIC)
    near, _, _ = window_in(whole, match.y, match.x, of_normal)
    box = (near.left, near.top, near.left + near.side, near.top + near.side)
    ImageDraw.Draw(whole).rectangle(box, outline=MARK, width=2 * FINE)
    text = stack(lines, gap=4)
    column = Image.new("RGB", (pair.width - here.width - 8 * FINE, text.height), PAPER)
    column.paste(text, (0, 0))
    return stack([pair, beside([column, whole], gap=8)], gap=10)


def _crop(picture: Image.Image, y: float, x: float, part: Part) -> Image.Image:
    side = (_PANEL - 56) // 2 * FINE
    near, centre_y, centre_x = window_in(picture, y, x, part)
    box = (near.left, near.top, near.left + near.side, near.top + near.side)
    cut = picture.convert("RGB").crop(box).resize((side, side), Image.Resampling.BICUBIC)
    row, column = (centre_y - near.top) * side / near.side, (centre_x - near.left) * side / near.side
    ring = 16 * FINE
    ImageDraw.Draw(cut).ellipse((column - ring, row - ring, column + ring, row + ring), outline=MARK, width=3 * FINE)
    return cut


def _displacements(photograph: Image.Image, inspection: Inspection) -> Image.Image:
    """Arrows from places of the image to the positions of their matches, each position in its own image.

    A normal image that was turned for the comparison counts in its turned orientation.
    """
    picture = Image.blend(_enlarge(photograph), Image.new("RGB", _enlarge(photograph).size, PAPER), 0.45)
    draw = ImageDraw.Draw(picture)
    alignment = inspection.alignment
    h, w = alignment.distance.shape
    part = part_of(inspection)
    top, left, bottom, right = part.framing.box(*part.size, (picture.height, picture.width))
    cell_y, cell_x = (bottom - top) / h, (right - left) / w
    counted = part.framing.counted((h, w))
    step = max(1, round(max(h, w) / _ARROWS))
    longest = _FAR * max(picture.size)
    for row in range(step // 2, h, step):
        for column in range(step // 2, w, step):
            if counted is not None and not counted[row, column]:
                continue
            start = left + (column + 0.5) * cell_x, top + (row + 0.5) * cell_y
            dy = (int(alignment.y[row, column]) - row) * cell_y
            dx = (int(alignment.x[row, column]) - column) * cell_x
            length = math.hypot(dy, dx)
            if length < 0.5 * min(cell_y, cell_x):
                dot = 3 * FINE
                draw.ellipse((start[0] - dot, start[1] - dot, start[0] + dot, start[1] + dot), fill=_ARROW)
                continue
            cut = min(1.0, longest / length)
            colour = _ARROW if cut == 1 else (120, 165, 215)
            _arrow(draw, start, (start[0] + dx * cut, start[1] + dy * cut), colour, 2)
    return add_caption(
        picture,
        "Where each place has its closest match",
        "dot: same place; pale arrow: the match is farther away than drawn",
    )


def _matched_images(inspection: Inspection, bank: Bank) -> Image.Image:
    """The normal images with most matches, and the share of places matched in each."""
    image = inspection.alignment.image
    counted = inspection.framing.counted((image.shape[0], image.shape[1]))
    image = image.ravel() if counted is None else image[counted]
    counts = Counter(image.tolist()).most_common(6)
    gallery, turns = inspection.aligned.gallery, inspection.aligned.turns
    side = (_PANEL - 2 * 16) // 3
    tiles = []
    for number, count in counts:
        picture = preview(bank, gallery[number], turns[number])
        picture = picture.resize(fit_size(*picture.size, side * FINE, enlarge=True))
        tile = Image.new("RGB", (side * FINE, side * FINE), PAPER)
        tile.paste(picture, ((tile.width - picture.width) // 2, (tile.height - picture.height) // 2))
        share = count / image.size
        tiles.append(add_caption(tile, f"{share:.0%}" if share >= 0.01 else "< 1%", Path(gallery[number].name).name))
    rows = [beside(tiles[i : i + 3], gap=16) for i in range(0, len(tiles), 3)]
    notes = [line(f"Share of places matched in each; {len(gallery)} images were compared", 18, SOFT)]
    if any(str(turns[number]) for number, _ in counts):
        notes.append(line("shown in the orientation that was compared", 18, SOFT))
    return stack([*rows, *notes], gap=10)


def _enlarge(photograph: Image.Image) -> Image.Image:
    return photograph.convert("RGB").resize(
        fit_size(*photograph.size, _PANEL * FINE, enlarge=True), Image.Resampling.BICUBIC, reducing_gap=2.0
    )


def _arrow(
    draw: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    head = min(length, 5.0 * width * FINE)
    ux, uy = dx / length, dy / length
    neck = end[0] - ux * head, end[1] - uy * head
    draw.line((start, neck), fill=colour, width=width * FINE)
    side = head * 0.45
    draw.polygon([end, (neck[0] - uy * side, neck[1] + ux * side), (neck[0] + uy * side, neck[1] - ux * side)], colour)
