"""Reports for people: overlays, anomaly maps, HTML pages."""

from anomalign.images.heat import overlay
from anomalign.reporting.drift_page import write_drift_page
from anomalign.reporting.explanation import write_explanation
from anomalign.reporting.heat import write_map, write_overlay
from anomalign.reporting.report import Report
from anomalign.reporting.sheet import write_contact_sheet

__all__ = [
    "Report",
    "overlay",
    "write_contact_sheet",
    "write_drift_page",
    "write_explanation",
    "write_map",
    "write_overlay",
]
