"""The normal images: a catalogue and feature segments on disk."""

from anomalign.bank.bank import AddReport, Bank, Progress
from anomalign.bank.catalogue import Change, Identity, NormalImage
from anomalign.bank.scores import AlignedScore

__all__ = ["AddReport", "AlignedScore", "Bank", "Change", "Identity", "NormalImage", "Progress"]
