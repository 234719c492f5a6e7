"""How a bank reads 16-bit images: in one way, which it is told or finds out, keeps, and says."""

import contextlib
import json
import sqlite3

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, BankError, Detector, Failure, Framing, ImageError
from anomalign.bank import catalogue
from anomalign.images.reading import EARLIER, Reading
from tests.pictures import save, texture


def deep(seed, bits):
    """The green channel of a texture in the lower bits of 16, and the same in 8 bits."""
    grey = np.ascontiguousarray(texture(seed)[:, :, 1])
    return grey.astype(np.uint16) << (bits - 8), grey


def identity(path):
    with contextlib.closing(sqlite3.connect(path / catalogue.FILE)) as connection:
        return dict(connection.execute("SELECT key, value FROM identity"))


def bank_of(path, backbone, images, **options):
    bank = Bank.create(path, backbone, Framing(64), **options)
    return bank, bank.add(images)


@pytest.mark.parametrize("options", [{}, {"reading": Reading(bits=12)}])
def test_12_bit_images_decide_as_their_8_bit_twins(tmp_path, tiny_backbone, options):
    twelve, report = bank_of(tmp_path / "12", tiny_backbone, [deep(seed, 12)[0] for seed in range(9)], **options)
    eight, _ = bank_of(tmp_path / "8", tiny_backbone, [deep(seed, 12)[1] for seed in range(9)])
    np.testing.assert_array_equal(twelve.vectors("pooled"), eight.vectors("pooled"))
    a, b = (Detector(bank).inspect(image) for bank, image in zip((twelve, eight), deep(20, 12), strict=True))
    assert (a.image_score, a.p_value, a.verdict) == (b.image_score, b.p_value, b.verdict)
    if options:
        assert report.depth is None
    else:
        assert "read as 12 bits: a guess by the largest value of 9 images" in str(report.depth)


def test_what_was_found_out_holds_for_all_that_comes_later(tmp_path, tiny_backbone):
    """A dark image is not brightened: by its own values it would be one of 10 bits."""
    bank, _ = bank_of(tmp_path / "bank", tiny_backbone, [deep(seed, 12)[0] for seed in range(5)])
    assert Bank.open(bank.path, tiny_backbone).identity.reading == Reading(bits=12)
    dark, grey = deep(7, 12)
    assert bank.add(dark // 8).depth is None
    np.testing.assert_array_equal(
        bank.vectors("pooled")[-1], tiny_backbone.run(Framing(64).frame(Image.fromarray(grey // 8))[None])[0].pooled
    )
    assert "do not fit the 12 bits" in bank.add(deep(8, 16)[0]).failures[0].error
    with pytest.raises(ImageError, match="do not fit the 12 bits"):
        Detector(bank).inspect(deep(8, 16)[0])


def test_a_guess_is_kept_with_the_first_images_and_not_before(tmp_path, tiny_backbone):
    bank, report = bank_of(tmp_path / "bank", tiny_backbone, [deep(0, 12)[0], b"no image"])
    assert (report.added, len(report.failures), bank.identity.reading.bits) == (1, 1, 12)
    none, report = bank_of(tmp_path / "none", tiny_backbone, [deep(0, 12)[0].reshape(-1)])
    assert (report.added, none.identity.reading.bits) == (0, None)


def test_a_bank_of_8_bit_images_does_not_guess_for_an_inspected_one(tmp_path, tiny_backbone):
    bank, report = bank_of(tmp_path / "bank", tiny_backbone, [texture(seed) for seed in range(5)])
    assert (report.depth, bank.identity.reading) == (None, Reading())
    good, doubtful = Detector(bank).inspect_many([deep(9, 16)[0], deep(9, 12)[0]])
    assert good.height == 64  # its values leave no doubt
    assert isinstance(doubtful, Failure)
    assert "array 1: 16-bit values up to" in doubtful.error
    assert "bits=8 to 16" in doubtful.error
    assert bank.add(deep(9, 12)[0]).depth.bits == 12


def test_only_a_bank_with_fewer_bits_is_closed_to_earlier_versions(tmp_path, tiny_backbone):
    for bits, augment, expected in (
        (None, "", "3"),
        (16, "", "3"),
        (None, "flip", "4"),
        (12, "", "5"),
        (12, "flip", "5"),
    ):
        bank = Bank.create(tmp_path / f"{bits}{augment}", tiny_backbone, Framing(64), augment, Reading(bits))
        assert identity(bank.path)["format"] == expected
        opened = Bank.open(bank.path, tiny_backbone).identity
        assert (opened.reading.bits, opened.augment) == (bits, augment)


def test_a_bank_without_the_entry_reads_as_before(tmp_path, tiny_backbone):
    bank, _ = bank_of(tmp_path / "bank", tiny_backbone, [texture(seed) for seed in range(5)])
    with contextlib.closing(sqlite3.connect(bank.path / catalogue.FILE)) as connection, connection:
        connection.execute("DELETE FROM identity WHERE key = 'reading'")
    earlier = Bank.open(bank.path, tiny_backbone)
    assert earlier.identity.reading == EARLIER
    image, grey = deep(9, 12)
    with pytest.warns(UserWarning, match="earlier version"):
        assert earlier.add(image).depth is None
    np.testing.assert_array_equal(
        earlier.vectors("pooled")[-1], tiny_backbone.run(Framing(64).frame(Image.fromarray(grey >> 4))[None])[0].pooled
    )


@pytest.mark.parametrize(
    ("stored", "same", "others"),
    [
        (Reading(12), [Reading(), Reading(12)], [Reading(10), Reading(profiles=False), Reading(12, profiles=False)]),
        (Reading(), [Reading()], [Reading(12), Reading(profiles=False)]),
        (EARLIER, [Reading(), Reading(profiles=False), EARLIER], [Reading(12), Reading(16)]),
    ],
)
def test_a_bank_that_is_there_is_opened_only_if_it_reads_as_asked(tmp_path, tiny_backbone, stored, same, others):
    Bank.create(tmp_path / "bank", tiny_backbone, Framing(64), reading=stored)
    for reading in same:
        bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64), reading=reading, exist_ok=True)
        assert bank.identity.reading == stored
    for reading in others:
        with pytest.raises(BankError) as error:
            Bank.create(tmp_path / "bank", tiny_backbone, Framing(64), reading=reading, exist_ok=True)
        assert f"made with {stored}, not with {reading}" in str(error.value)


def test_a_reading_that_is_none_is_damage(tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    with contextlib.closing(sqlite3.connect(bank.path / catalogue.FILE)) as connection, connection:
        connection.execute("UPDATE identity SET value = ? WHERE key = 'reading'", (json.dumps({"bits": 99}),))
    with pytest.raises(BankError, match="not a sound catalogue"):
        Bank.open(bank.path)


def test_banks_that_read_in_other_ways_are_not_the_same(tmp_path, tiny_backbone):
    pictures = save(tmp_path / "pictures", 3)
    contents = {
        bank_of(tmp_path / str(number), tiny_backbone, pictures, reading=reading)[0].content
        for number, reading in enumerate([Reading(), Reading(bits=12), Reading(bits=16), Reading(profiles=False)])
    }
    assert len(contents) == 4
