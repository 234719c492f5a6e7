"""Synthetic defects: small changes of normal images, to measure what a bank finds. Nothing is learnt from them."""

from anomalign.synthetic.drawing import KINDS, SIZES, Defect, Kind, draw_defect
from anomalign.synthetic.part import part_masks

__all__ = ["KINDS", "SIZES", "Defect", "Kind", "draw_defect", "part_masks"]
