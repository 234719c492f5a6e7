"""A bank keeps its region of interest; one without reads and is written as before."""

import hashlib
import json
import sqlite3

import numpy as np
import pytest

from anomalign import Bank, BankDamagedError, Framing, RegionOfInterest
from anomalign.images.reading import EARLIER, Reading
from tests.pictures import texture


def disc():
    y, x = np.mgrid[:70, :80]
    return (y - 35) ** 2 + (x - 40) ** 2 < 20**2


REGIONS = {"rectangle": RegionOfInterest(5, 8, 40, 60), "mask": RegionOfInterest.of_mask(disc())}


@pytest.fixture(params=sorted(REGIONS))
def bank(request, tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64, region=REGIONS[request.param]))
    bank.add([texture(seed, 70, 80) for seed in range(5)])
    return bank


def entries(path):
    with sqlite3.connect(path / "catalogue.sqlite") as connection:
        return dict(connection.execute("SELECT key, value FROM identity"))


def test_the_region_is_kept(bank, tiny_backbone):
    opened = Bank.open(bank.path, tiny_backbone)
    assert opened.identity == bank.identity
    assert opened.content == bank.content
    assert opened.verify() == []


def test_only_a_bank_with_a_region_has_its_format(bank, empty_bank_elsewhere):
    assert entries(bank.path)["format"] == "5"
    plain = entries(empty_bank_elsewhere.path)
    assert plain["format"] == "3"
    assert json.loads(plain["framing"]) == {"size_px": 64, "resize_px": None}


@pytest.fixture
def empty_bank_elsewhere(tmp_path, tiny_backbone):
    return Bank.create(tmp_path / "plain", tiny_backbone, Framing(64), reading=EARLIER)


def test_a_bank_without_a_region_has_the_content_hash_of_before(empty_bank_elsewhere):
    """Records of earlier versions name it."""
    empty_bank_elsewhere.add([texture(1)])
    (image,) = empty_bank_elsewhere.images
    parts = [
        empty_bank_elsewhere.identity.backbone_sha256,
        '{"resize_px": null, "size_px": 64}',
        image.sha256,
    ]
    assert empty_bank_elsewhere.content == hashlib.sha256("\n".join(parts).encode()).hexdigest()


def test_a_region_and_orientations_are_kept_together(tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "both", tiny_backbone, Framing(64, region=REGIONS["rectangle"]), "flip")
    bank.add([texture(1, 70, 80)])
    assert Bank.open(bank.path, tiny_backbone).identity == bank.identity
    assert Bank.open(bank.path, tiny_backbone).identity.augment == "flip"


@pytest.mark.parametrize("augment", ["", "flip"])
def test_a_region_and_a_reading_are_kept_together(tmp_path, tiny_backbone, augment):
    framing = Framing(64, region=REGIONS["rectangle"])
    bank = Bank.create(tmp_path / "both", tiny_backbone, framing, augment)
    bank.add([texture(seed, 70, 80)[:, :, 1].astype(np.uint16) << 4 for seed in range(3)])  # 12 bits, found out
    opened = Bank.open(bank.path, tiny_backbone)
    assert (opened.identity.framing, opened.identity.augment) == (framing, augment)
    assert opened.identity.reading == Reading(bits=12)
    assert entries(bank.path)["format"] == "5"
    said = Bank.create(tmp_path / "said", tiny_backbone, framing, augment, Reading(bits=12))
    said.add([texture(seed, 70, 80)[:, :, 1].astype(np.uint16) << 4 for seed in range(3)])
    assert said.content == bank.content


def test_other_regions_make_other_contents(tmp_path, tiny_backbone):
    other = disc()
    other[35, 40] = False
    regions = [None, *REGIONS.values(), RegionOfInterest(5, 8, 40, 61), RegionOfInterest.of_mask(other)]
    contents = set()
    for number, region in enumerate(regions):
        bank = Bank.create(tmp_path / str(number), tiny_backbone, Framing(64, region=region))
        bank.add([texture(1, 70, 80)])
        contents.add(bank.content)
    assert len(contents) == len(regions)


def test_drafts_and_compaction_keep_the_region(bank, tmp_path):
    draft = bank.draft(tmp_path / "draft")
    assert draft.identity == bank.identity
    draft.remove(2)
    before = [pyramid.levels for pyramid in draft.gallery(range(4))]
    draft.compact()
    assert draft.identity == bank.identity
    assert draft.verify() == []
    for levels, pyramid in zip(before, draft.gallery(range(4)), strict=True):
        assert all(map(np.array_equal, levels, pyramid.levels))
    assert draft.add([texture(9, 70, 80)]).added == 1


def test_a_mask_that_was_changed_on_the_disk_is_found(bank):
    framing = json.loads(entries(bank.path)["framing"])
    framing["region"]["sha256" if "mask" in framing["region"] else "box"] = "0"
    with sqlite3.connect(bank.path / "catalogue.sqlite") as connection:
        connection.execute("UPDATE identity SET value = ? WHERE key = 'framing'", (json.dumps(framing),))
    with pytest.raises(BankDamagedError, match="not a sound catalogue"):
        Bank.open(bank.path)
