"""Columns of the tables of inspections, in plain values: docs/tables.md says what each means."""

from typing import Any

VERSION = 1
"""Raised when a column changes its name, type or meaning, or goes; a further column does not raise it."""

_REGION = {
    "top": "whole",
    "left": "whole",
    "bottom": "whole",
    "right": "whole",
    "area_px": "whole",
    "peak_y": "whole",
    "peak_x": "whole",
    "peak_p_value": "number",
    "peak_place_score": "number",
    "centre_y": "number",
    "centre_x": "number",
    "outline": {"y": "whole", "x": "whole"},
}
_NEIGHBOUR = {"id": "whole", "name": "text", "sha256": "text", "distance": "number"}

COLUMNS: dict[str, Any] = {
    "source": "text",
    "status": "text",
    "error": "text",
    "name": "text",
    "sha256": "text",
    "height": "whole",
    "width": "whole",
    "verdict": "text",
    "borderline": "truth",
    "image_score": "number",
    "p_value": "number",
    "threshold": "number",
    "stage": "text",
    "course": "text",
    "retrieval_score": "number",
    "retrieval_p_value": "number",
    "suspected": "truth",
    "region_count": "whole",
    "regions": _REGION,
    "neighbours": _NEIGHBOUR,
    "category": "text",
    "kind": "text",
    "is_defect": "truth",
    "bank": "text",
    "bank_version": "whole",
    "bank_content": "text",
    "bank_images": "whole",
    "backbone": "text",
    "backbone_sha256": "text",
    "settings": "text",
    "target_fpr": "number",
    "software": "text",
    "time": "time",
}
"""Column: text, truth, whole, number or time; a dict is a list of records with these fields."""
