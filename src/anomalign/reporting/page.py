"""A page of HTML from a template: one file that opens anywhere, offline."""

import math
import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from anomalign.images.output_file import open_output


def write_page(path: str | os.PathLike[str], template: str, content: Mapping[str, object]) -> None:
    """Fill a template of this package and write it, completely or not at all; parent folders are made.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=format_number, share=_share, rarity=_rarity, file_name=_file_name, sentence=_sentence
    )
    common = {
        "written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "nonce": secrets.token_urlsafe(16),
    }
    pieces = environment.get_template(template).generate(**common, **content)
    with open_output(path) as file:
        # A name may hold bytes that are not text; they are shown as escapes.
        file.writelines(piece.encode("utf-8", "backslashreplace") for piece in pieces)


def _file_name(name: str) -> str:
    return Path(name).name


def format_number(value: float) -> str:
    """Four digits: 5,372, 53.72, 0.0005372."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def _sentence(words: str) -> str:
    """With a capital letter and a full stop."""
    return f"{words[0].upper()}{words[1:]}."


def _rarity(p_value: float) -> str:
    """A small p-value as "1 in 12,000", two digits, on one line."""
    return f"1\u00a0in\u00a0{float(f'{1 / p_value:.2g}'):,.0f}"


def _share(value: float) -> str:
    """As a percentage, two digits."""
    return f"{100 * value:.2g} %" if value < 0.995 else "100 %"
