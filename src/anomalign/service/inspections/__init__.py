"""Inspections on their way: the queue, watched folders, evidence, retention."""
