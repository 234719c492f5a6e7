"""Inspections: the queue, watched folders, evidence, retention."""
