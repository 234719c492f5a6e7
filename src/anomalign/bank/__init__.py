"""The normal images: a catalogue and feature segments on disk."""

from anomalign.bank.additions import AddReport, Progress
from anomalign.bank.bank import Bank
from anomalign.bank.catalogue import BankVersion, Identity, NormalImage
from anomalign.bank.scores import AlignedScore

__all__ = ["AddReport", "AlignedScore", "Bank", "BankVersion", "Identity", "NormalImage", "Progress"]
