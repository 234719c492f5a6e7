"""The normal images: a catalogue and feature segments on disk."""

from anomalign.bank.bank import AddReport, Bank, Progress
from anomalign.bank.catalogue import Identity, NormalImage

__all__ = ["AddReport", "Bank", "Identity", "NormalImage", "Progress"]
