"""Store inspections: the image file, and the record; several records in one transaction."""

import logging
from collections.abc import Sequence
from datetime import datetime, timezone

from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.errors import AnomalignError, StoreError
from anomalign.images.sources import Encoded
from anomalign.monitoring.replay import make_record
from anomalign.service.kept.image_files import ImageFileError, ImageFiles
from anomalign.service.kept.match_data import MatchData
from anomalign.service.store import NewRecord, Origin, Record, Store, Watched

_log = logging.getLogger(__name__)


def new_record(
    inspection: Inspection, detector: Detector, bank: str, source: Origin, watched: Watched | None
) -> NewRecord:
    """Make the record of an inspection; all of it comes from one detector, so from one version of the bank."""
    return NewRecord.of(
        inspection,
        time=datetime.now(timezone.utc),
        bank=bank,
        bank_version=detector.bank.version,
        source=source,
        entry=make_record(inspection, detector),
        details=MatchData.of(inspection).to_bytes() if inspection.has_aligned else b"",
        watched=watched,
    )


def store_image_file(image_files: ImageFiles, image: Encoded, sha256: str) -> bool:
    """Store an image file and say whether that worked. A verdict is worth more than its picture: no error is raised."""
    try:
        image_files.keep(image.content, sha256)
    except Exception as error:
        _log.error("%s: inspected, but %s", image.name, error, exc_info=not isinstance(error, ImageFileError))
        return False
    return True


def commit(store: Store, new: Sequence[NewRecord]) -> list[Record | Exception]:
    """Commit records and return them in their order, with an error in place of each that cannot be stored."""
    try:
        return list(store.add(new))
    except StoreError as error:  # each of them would fail in the same way
        return [error] * len(new)
    except Exception as error:
        if len(new) > 1:  # one bad record must not stop the others
            return [outcome for record in new for outcome in commit(store, [record])]
        if not isinstance(error, AnomalignError):
            _log.exception("%s: recording", new[0].name)
        return [error]
