"""Sheets of pictures and lines of text."""

import math

from PIL import Image, ImageDraw, ImageFont

FINE = 2  # factor by which a sheet is drawn larger than it is saved, for smooth lines
GAP = 28
INK, SOFT, PAPER, MARK = (24, 28, 34), (96, 104, 114), (255, 255, 255), (205, 0, 120)


def add_margin(picture: Image.Image) -> Image.Image:
    """Add a margin and reduce the sheet to the size in which it is saved."""
    sheet = Image.new("RGB", (picture.width + 2 * GAP * FINE, picture.height + 2 * GAP * FINE), PAPER)
    sheet.paste(picture, (GAP * FINE, GAP * FINE))
    return sheet.reduce(FINE)


def line(text: str, size: int, colour: tuple[int, int, int] = INK) -> Image.Image:
    font = ImageFont.load_default(size * FINE)
    width = math.ceil(font.getlength(text))
    image = Image.new("RGB", (max(1, width), round(1.35 * size * FINE)), PAPER)
    ImageDraw.Draw(image).text((0, 0), text, colour, font)
    return image


def add_caption(picture: Image.Image, title: str, note: str) -> Image.Image:
    """Add a title and a note below a picture, on as many lines as its width needs."""
    lines = [
        line(part, size, colour)
        for text, size, colour in ((title, 20, INK), (note, 16, SOFT))
        for part in _wrap(text, size, picture.width)
    ]
    return stack([picture, *lines], gap=4)


def _wrap(text: str, size: int, width: int) -> list[str]:
    """Break a text into lines of a width; a word that is wider, such as a long file name, loses its beginning."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and line(longer, size).width > width:
            lines.append(word)
        else:
            lines[-1] = longer
        while line(lines[-1], size).width > width and len(lines[-1]) > 4:
            lines[-1] = "..." + lines[-1][4:]
    return lines


def stack(pictures: list[Image.Image], gap: int = GAP) -> Image.Image:
    space = gap * FINE
    height = sum(picture.height for picture in pictures) + space * (len(pictures) - 1)
    sheet = Image.new("RGB", (max(picture.width for picture in pictures), height), PAPER)
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + space
    return sheet


def beside(pictures: list[Image.Image], gap: int = GAP) -> Image.Image:
    space = gap * FINE
    width = sum(picture.width for picture in pictures) + space * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures)), PAPER)
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + space
    return sheet
