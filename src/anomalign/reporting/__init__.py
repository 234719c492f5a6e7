"""For people: overlays, maps on disk, the HTML report."""

from anomalign.reporting.explanation import write_explanation
from anomalign.reporting.heat import overlay, write_map, write_overlay
from anomalign.reporting.report import Report

__all__ = ["Report", "overlay", "write_explanation", "write_map", "write_overlay"]
