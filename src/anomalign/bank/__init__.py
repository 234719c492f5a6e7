"""The normal images: a catalogue and feature segments on disk."""

from anomalign.bank.additions import AddReport, Progress
from anomalign.bank.bank import Bank
from anomalign.bank.catalogue import NormalImage
from anomalign.bank.grouping import group_of
from anomalign.bank.groups import GroupNames
from anomalign.bank.history import BankVersion
from anomalign.bank.identity import Identity
from anomalign.bank.scores import AlignedDistances
from anomalign.bank.stored import Transfer, pull, push

__all__ = [
    "AddReport",
    "AlignedDistances",
    "Bank",
    "BankVersion",
    "GroupNames",
    "Identity",
    "NormalImage",
    "Progress",
    "Transfer",
    "group_of",
    "pull",
    "push",
]
