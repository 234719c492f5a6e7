"""Stage 2 of recorded images on demand: what the inspection gave, also with normal images that were removed since."""

import numpy as np
import pytest

from anomalign import Bank, InputError
from anomalign.errors import NotFoundError
from anomalign.images.sources import Encoded
from anomalign.service.banks.comparisons import Comparisons
from anomalign.service.banks.served_bank import ServedBank
from anomalign.service.inspections.commits import new_record
from anomalign.service.inspections.evidence import Evidence
from anomalign.service.kept.image_files import ImageFiles
from anomalign.service.kept.match_data import MatchData
from tests.service.samples import SETTINGS, png


@pytest.fixture
def record_image(served_bank, store, image_files):
    """Inspect an image file and add it to the store; `details` overrides the match data that the store gets."""

    def record_image(content, *, details=None, kept=True):
        (inspection,) = served_bank.detector.inspect_batch([Encoded("image.png", content)])
        new = new_record(inspection, served_bank.detector, served_bank.name, "upload", None)
        values = {**vars(new), "details": new.details if details is None else details}
        if kept:
            image_files.keep(content, inspection.sha256)
        return store.add([type(new)(**values)])[0], inspection

    return record_image


@pytest.fixture
def comparisons(served_bank, image_files):
    return Comparisons(served_bank, image_files)


def neighbour_ids(record):
    return tuple(normal.id for normal in record.neighbours)


def test_details_are_stored_or_computed_again(served_bank, store, image_files, record_image, monkeypatch):
    content = png(80, defect=True)
    evidence = Evidence(store, image_files, {"parts": served_bank})
    record, inspection = record_image(content)
    without_details, _ = record_image(content, details=b"")
    without_file, _ = record_image(png(81), details=b"", kept=False)
    with monkeypatch.context() as patch:
        patch.setattr(ImageFiles, "read", pytest.fail)  # the image file is not needed
        stored = evidence.details(record)
    assert np.array_equal(stored.distance, inspection.alignment.distance)
    computed = evidence.details(without_details)
    for name in ("image", "y", "x", "distance", "per_level", "rarity"):
        assert np.array_equal(getattr(computed, name), getattr(stored, name))
    with pytest.raises(NotFoundError, match="no longer kept"):
        evidence.details(without_file)
    monkeypatch.setattr(ImageFiles, "read", pytest.fail)
    assert evidence.details(without_details) is computed  # cached


def test_one_normal_image_alone(served_bank, comparisons, record_image):
    content = png(80, defect=True)
    record, _ = record_image(content)
    details = comparisons.compare(record, (5,))
    assert [normal.id for normal in details.gallery] == [5]
    normals = served_bank.detector.rule.calibration
    expected = MatchData.of_alignment(
        served_bank.detector.against(Encoded("image.png", content), 5),
        normals.places,
        normals.pixels,
        served_bank.bank.identity.framing,
    )
    assert np.array_equal(details.distance, expected.distance)
    assert np.array_equal(details.rarity, expected.rarity)
    with pytest.raises(InputError, match="no image 999"):
        comparisons.compare(record, (999,))


def test_without_the_image_file_there_is_no_comparison(comparisons, record_image):
    record, _ = record_image(png(81), kept=False)
    assert comparisons.compare(record, (5,)) is None


def test_neighbours_that_were_removed_are_compared_until_the_bank_is_compacted(
    served_bank, comparisons, image_files, record_image
):
    record, _ = record_image(png(80))
    ids = neighbour_ids(record)
    before = comparisons.compare(record, ids)
    served_bank.remove([ids[0]])
    comparisons.compare(record, (5,))  # something else in between
    restarted = ServedBank(served_bank.path, settings=SETTINGS)
    after = Comparisons(restarted, image_files).compare(record, ids)
    assert np.array_equal(after.distance, before.distance)
    assert after.gallery == before.gallery
    Bank.open(served_bank.path).compact()
    with pytest.raises(InputError, match="is gone"):
        Comparisons(ServedBank(served_bank.path, settings=SETTINGS), image_files).compare(record, ids)
