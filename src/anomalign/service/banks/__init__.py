"""Served banks: their detectors, their statistics, and edits, which are tested before they are made."""
