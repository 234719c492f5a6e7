"""Banks as they are served: detectors, statistics, edits tried and made."""
