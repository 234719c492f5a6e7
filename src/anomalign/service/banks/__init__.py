"""Served banks: their detectors, statistics and checks, and edits, which are tested before they are made."""
