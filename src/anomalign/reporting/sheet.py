"""A contact sheet of normal images, the most unusual first."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from anomalign.bank import Bank
from anomalign.curation.suspects import Suspect
from anomalign.images.output_file import open_output
from anomalign.reporting.canvas import FINE, INK, MARK, PAPER, SOFT, add_caption, add_margin, beside, line, stack
from anomalign.reporting.places import fit_size, preview

_ACROSS, _SIDE = 6, 210


def write_contact_sheet(path: str | os.PathLike[str], bank: Bank, suspects: Sequence[Suspect], most: int = 36) -> None:
    """Write a PNG of the first `most` of these images, each with its p-value, its name and why it is suspect.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    tiles = [_tile(bank, suspect) for suspect in suspects[:most]]
    rows = [beside(tiles[i : i + _ACROSS], gap=18) for i in range(0, len(tiles), _ACROSS)]
    selection = f"the {len(tiles)} most unusual of {len(suspects)}" if len(tiles) < len(suspects) else "all"
    heading = [line(f"Normal images of {bank.path.name}", 30), line(f"{selection}, by leave-one-out p-value", 20, SOFT)]
    with open_output(path) as file:
        add_margin(stack([stack(heading, gap=4), *rows], gap=22)).save(file, "PNG", compress_level=6)


def _tile(bank: Bank, suspect: Suspect) -> Image.Image:
    picture = preview(bank, suspect.image)
    picture = picture.resize(fit_size(*picture.size, _SIDE * FINE, enlarge=True))
    square = Image.new("RGB", (_SIDE * FINE, _SIDE * FINE), PAPER)
    square.paste(picture, ((square.width - picture.width) // 2, (square.height - picture.height) // 2))
    caption = add_caption(
        square, f"p-value {suspect.p_value:.3g}", f"{suspect.image.id}: {Path(suspect.image.name).name}"
    )
    reasons = [
        line("mislabelled?" if suspect.contaminated else " ", 16, MARK),
        line(f"copy of {suspect.nearest.id}?" if suspect.duplicate else " ", 16, INK),
    ]
    return stack([caption, beside(reasons, gap=10)], gap=2)
