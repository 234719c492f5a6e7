"""``python -m anomalign``."""

from anomalign.cli import main

main()
