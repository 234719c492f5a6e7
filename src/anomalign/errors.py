"""The errors of this package. The service adds some of its own, next to the code that raises them.

AnomalignError
├── InputError          an argument or a list of images that cannot be used
│   └── UndefinedError      a metric that is not defined for what was given
├── ImageError          a file that is not an image we accept
├── CameraError         a camera that cannot be reached, or gives no frames any more
├── BackboneError       a network file that is missing, unreadable or does not describe itself
├── CalibrationError    too few normal images to decide anything
├── BankError           a bank that cannot be used as asked
│   ├── BankLockedError     another process is writing to it
│   └── BankDamagedError    a file of it is missing, cut short or altered
├── WorkersLostError    processes that share the work end again and again
├── StorageError        a URL that cannot be read or written
│   └── MissingObjectError  nothing is there
└── StoreError          the database of records cannot be reached, or cannot keep what it is given
    ├── NotFoundError       nothing has this id or name
    └── ConflictError       it was undone already
"""


class AnomalignError(Exception):
    """Base of all errors of this package; its text names the file, the cause and the remedy."""


class InputError(AnomalignError, ValueError):
    """An argument, or a list of images, that cannot be used."""


class UndefinedError(InputError):
    """A metric that is not defined for what was given; its text says why."""


class ImageError(AnomalignError):
    """A file that is not an image we accept."""


class CameraError(AnomalignError):
    """A camera that cannot be reached, or gives no frames any more; its text holds no password."""


class BackboneError(AnomalignError):
    """A network file that is missing, unreadable or does not describe itself."""


class CalibrationError(AnomalignError):
    """Too few normal images to decide anything."""


class BankError(AnomalignError):
    """A bank that cannot be used as asked."""


class BankLockedError(BankError):
    """Another process is writing to the bank."""


class BankDamagedError(BankError):
    """A file of the bank is missing, cut short or altered."""


class WorkersLostError(AnomalignError):
    """Processes that share the work end again and again."""


class StorageError(AnomalignError):
    """A URL that cannot be read or written, also not when tried again; its text holds no password."""


class MissingObjectError(StorageError):
    """Nothing is at this URL."""


class StoreError(AnomalignError):
    """The database of records cannot be reached, or cannot keep what it is given; its text holds no password."""


class NotFoundError(StoreError):
    """Nothing has this id or name: no record, edit, proposal, served bank or image file."""


class ConflictError(StoreError):
    """It was undone already, by this or another person."""
