"""What docs/bank.md promises of a bank, short of kills and full disks."""

import random
import shutil
import sqlite3
import threading

import numpy as np
import pytest
from PIL import Image

from anomalign import (
    BackboneError,
    Bank,
    BankDamagedError,
    BankError,
    BankLockedError,
    Framing,
    InputError,
    load_backbone,
)
from anomalign.bank import catalogue
from tests import tiny
from tests.pictures import save, texture


def contents(bank):
    """Everything that a bank gives out, to compare two banks bit by bit."""
    gallery = bank.gallery(range(len(bank)))
    return [
        (image.name, image.sha256, *(level.tobytes() for level in pyramid.levels), pyramid.pooled.tobytes())
        for image, pyramid in zip(bank.images, gallery, strict=True)
    ]


def test_features_read_back_are_what_the_backbone_gave(empty_bank):
    empty_bank.add([texture(seed, 50, 70) for seed in range(5)])
    bank = Bank.open(empty_bank.path, empty_bank.backbone)
    framed = np.stack([Framing(64).frame(Image.fromarray(texture(seed, 50, 70))) for seed in range(5)])
    for index, expected in enumerate(bank.backbone.run(framed)):
        (found,) = bank.gallery([index])
        for a, b in zip(found.levels, expected.levels, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(found.pooled, expected.pooled)
        np.testing.assert_array_equal(bank.vectors("pooled")[index], expected.pooled)
    assert [(i.id, i.height, i.width) for i in bank.images] == [(n, 50, 70) for n in range(1, 6)]
    assert bank.verify() == []
    assert bank.preview(3)[:2] == b"\xff\xd8"


def test_one_call_or_many_with_small_segments_give_the_same_bank(tmp_path, tiny_backbone):
    paths = save(tmp_path / "images", 11)
    one = Bank.create(tmp_path / "one", tiny_backbone, Framing(64))
    one.add(tmp_path / "images")
    many = Bank.create(tmp_path / "many", tiny_backbone, Framing(64))
    for path in paths[:4]:
        many.add(path)
    many.add(paths[4:], segment_bytes=1)
    assert contents(one) == contents(many)
    assert len(list((many.path / "segments").iterdir())) == 11
    assert len(list((one.path / "segments").iterdir())) == 1
    assert many.verify() == one.verify() == []


def test_the_same_content_is_one_row(tmp_path, empty_bank):
    paths = save(tmp_path / "images", 3)
    shutil.copy(paths[0], tmp_path / "images" / "copy.png")
    report = empty_bank.add(tmp_path / "images")
    assert (report.added, len(report.known)) == (3, 1)
    report = empty_bank.add([*paths, tmp_path / "images" / "copy.png"])
    assert (report.added, len(report.known), len(empty_bank)) == (0, 4, 3)


def test_many_copies_in_one_call_are_one_row(tmp_path, empty_bank):
    (path,) = save(tmp_path / "images", 1)
    for number in range(20):
        shutil.copy(path, tmp_path / "images" / f"copy{number}.png")
    assert empty_bank.add(tmp_path / "images").added == 1


def test_a_bad_file_is_reported_and_the_rest_enter(tmp_path, empty_bank):
    paths = save(tmp_path / "images", 6)
    paths[2].write_bytes(b"")
    report = empty_bank.add(tmp_path / "images")
    assert (report.added, [f.name for f in report.failures]) == (5, [str(paths[2])])
    assert [i.name for i in empty_bank.images] == [str(p) for p in paths if p != paths[2]]


def test_size_told_is_size_taken(tmp_path, empty_bank):
    empty_bank.add([texture(seed) for seed in range(50)])
    taken = sum(path.stat().st_size for path in (empty_bank.path / "segments").iterdir())
    assert taken == pytest.approx(50 * empty_bank.identity.bytes_per_image, rel=0.02)


def test_progress_counts_every_image(tmp_path, empty_bank):
    steps = []
    empty_bank.add([texture(0), texture(0), np.zeros(3)], progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_version_rises_with_every_change(empty_bank):
    versions = [empty_bank.version]
    for seed in (0, 1, 1):
        empty_bank.add(texture(seed))
        versions.append(empty_bank.version)
    assert versions == [0, 1, 2, 2]


def test_nothing_given_is_an_error(empty_bank):
    with pytest.raises(InputError, match="no images given"):
        empty_bank.add([])


def test_another_backbone_is_an_error(tmp_path, empty_bank):
    other = tiny.write(tmp_path / "other.onnx", seed=1)
    with pytest.raises(BackboneError, match=r"features of two networks cannot be compared"):
        Bank.open(empty_bank.path, other)


def test_a_backbone_file_that_changed_is_an_error(tmp_path):
    path = tiny.write(tmp_path / "mine.onnx")
    bank = Bank.create(tmp_path / "bank", path, Framing(64))
    assert Bank.open(bank.path).backbone.name == "tiny"
    tiny.write(path, seed=1)
    with pytest.raises(BackboneError, match="built with backbone"):
        Bank.open(bank.path).backbone  # noqa: B018
    path.unlink()
    with pytest.raises(BackboneError, match=r"mine\.onnx: backbone file cannot be read"):
        Bank.open(bank.path).add(texture(0))


def test_a_folder_that_is_no_bank(tmp_path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(BankError, match="no bank here; make one with"):
            Bank.open(path)


def test_without_a_framing_whole_images_are_seen_at_the_side_that_the_network_was_tested_with(tmp_path, tiny_backbone):
    assert Bank.create(tmp_path / "tiny", tiny_backbone).identity.framing == Framing(64)
    assert Bank.create(tmp_path / "bundled").identity.framing == Framing(224)


def test_create_harms_nothing_that_is_there(tmp_path, tiny_backbone, empty_bank):
    empty_bank.add(texture(0))
    with pytest.raises(BankError, match="there is a bank already"):
        Bank.create(empty_bank.path, tiny_backbone)
    assert len(Bank.open(empty_bank.path)) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(BankError, match=r"holds other files \(diary\.txt\)"):
        Bank.create(tmp_path / "mine", tiny_backbone)
    assert (tmp_path / "mine" / "diary.txt").read_text() == "dear"
    with pytest.raises(BankError, match="a bank cannot be made here"):
        Bank.create(tmp_path / "mine" / "diary.txt", tiny_backbone)


def test_missing_and_shortened_segments_are_named_on_opening(empty_bank):
    empty_bank.add(texture(0))
    (segment,) = (empty_bank.path / "segments").iterdir()
    content = segment.read_bytes()
    segment.write_bytes(content[:-1])
    with pytest.raises(BankDamagedError, match=rf"{segment.name}: this segment has {len(content) - 1} bytes"):
        Bank.open(empty_bank.path)
    segment.unlink()
    with pytest.raises(BankDamagedError, match=f"{segment.name}: this segment is missing"):
        Bank.open(empty_bank.path)


@pytest.mark.parametrize("place", [4, 40, -1])
def test_an_altered_byte_is_found_by_verify(empty_bank, place):
    empty_bank.add(texture(0))
    (segment,) = (empty_bank.path / "segments").iterdir()
    content = bytearray(segment.read_bytes())
    content[place] ^= 0x40
    segment.write_bytes(content)
    (problem,) = Bank.open(empty_bank.path).verify()
    assert segment.name in problem


def test_an_altered_header_is_an_error_not_a_crash(empty_bank):
    empty_bank.add(texture(0))
    (segment,) = (empty_bank.path / "segments").iterdir()
    content = bytearray(segment.read_bytes())
    content[:8] = b"\xff" * 8
    segment.write_bytes(content)
    with pytest.raises(BankDamagedError, match=f"{segment.name}: not a sound segment"):
        Bank.open(empty_bank.path).gallery([0])[0]


@pytest.mark.parametrize("damage", ["garbage", "empty", "half", "foreign"])
def test_a_damaged_catalogue_is_named(empty_bank, damage):
    empty_bank.add([texture(seed) for seed in range(3)])
    path = empty_bank.path / catalogue.FILE
    content = path.read_bytes()
    if damage == "foreign":
        path.unlink()
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE something (x)")
        other.close()
    else:
        path.write_bytes({"garbage": b"garbage" * 999, "empty": b"", "half": content[: len(content) // 2]}[damage])
    with pytest.raises(BankDamagedError, match=r"catalogue\.sqlite: not a sound catalogue"):
        Bank.open(empty_bank.path).verify()


def test_altered_bytes_give_no_error_but_ours(tmp_path, empty_bank):
    """Whatever bytes of the catalogue, or of a segment's header, are altered: it works or names the damaged file."""
    empty_bank.add([texture(seed) for seed in range(3)])
    (segment,) = (empty_bank.path / "segments").iterdir()
    header = 8 + int.from_bytes(segment.read_bytes()[:8], "little")
    catalogue_file = empty_bank.path / catalogue.FILE
    chance, refused = random.Random(0), 0
    for number in range(200):
        file = (segment, catalogue_file)[number % 2]
        content = file.read_bytes()
        altered = bytearray(content)
        for _ in range(chance.choice([1, 3, 20])):
            altered[chance.randrange(header if file == segment else len(content))] = chance.randrange(256)
        file.write_bytes(altered)
        try:
            bank = Bank.open(empty_bank.path, empty_bank.backbone)
            contents(bank), bank.vectors("pooled"), bank.verify(), [bank.preview(image.id) for image in bank.images]
        except (BankError, BackboneError) as error:
            refused += 1
            assert str(empty_bank.path) in str(error)
        file.write_bytes(content)
    assert refused > 100
    assert empty_bank.verify() == []


@pytest.mark.parametrize(
    ("change", "file"),
    [
        ("UPDATE images SET row = 64", "safetensors"),
        ("UPDATE images SET row = -9", "safetensors"),
        ("UPDATE images SET height = 'tall'", "catalogue"),
        ("UPDATE images SET name = CAST(x'ff' AS TEXT)", "catalogue"),
        ("UPDATE identity SET value = '9' WHERE key = 'pooled_length'", "safetensors"),
        ("UPDATE identity SET value = '[[16,16,4],[8,8,6],[4,8,4]]' WHERE key = 'shapes'", "safetensors"),
        ("DROP TABLE versions", "catalogue"),
        ("INSERT INTO identity VALUES ('whole_since', 'x')", "catalogue"),
        ("INSERT INTO identity VALUES ('whole_since', '1e400')", "catalogue"),
        ("DELETE FROM identity WHERE key = 'framing'", "catalogue"),
    ],
)
def test_a_catalogue_that_contradicts_itself_or_its_segments_is_damaged(empty_bank, change, file):
    empty_bank.add([texture(seed) for seed in range(3)])
    with sqlite3.connect(empty_bank.path / catalogue.FILE) as connection:
        connection.execute(change)
    connection.close()
    for use in (contents, lambda bank: bank.vectors("pooled")):
        with pytest.raises(BankDamagedError, match=file):
            use(Bank.open(empty_bank.path))


def test_a_bank_whose_empty_segments_folder_was_not_copied(empty_bank):
    (empty_bank.path / "segments").rmdir()
    assert Bank.open(empty_bank.path, empty_bank.backbone).add(texture(0)).added == 1


def test_a_name_stays_a_name_so_that_a_bank_can_move(tmp_path):
    for number, given in enumerate(["efficientnet_lite0", load_backbone()]):
        assert Bank.create(tmp_path / str(number), given).identity.backbone == "efficientnet_lite0"


def test_an_unknown_id_names_the_bank(empty_bank):
    with pytest.raises(BankError, match=r"bank: no image with id 7"):
        empty_bank.preview(7)


def test_a_bank_of_a_later_format_is_refused(empty_bank):
    with sqlite3.connect(empty_bank.path / catalogue.FILE) as connection:
        connection.execute("UPDATE identity SET value = '99' WHERE key = 'format'")
    connection.close()
    with pytest.raises(BankError, match="bank of format 99"):
        Bank.open(empty_bank.path)


def test_what_no_transaction_names_is_harmless_and_swept(empty_bank):
    empty_bank.add(texture(0))
    folder = empty_bank.path / "segments"
    (folder / "left.safetensors").write_bytes(b"torn")
    (folder / ".left.part").write_bytes(b"torn")
    (folder / "left.safetensors.new").write_bytes(b"torn")  # as earlier versions named it
    bank = Bank.open(empty_bank.path, empty_bank.backbone)
    assert bank.verify() == []
    bank.add(texture(1))
    assert len(list(folder.iterdir())) == 2
    assert bank.verify() == []


def test_a_second_writer_is_told_and_the_first_goes_on_while_readers_read(empty_bank):
    empty_bank.add([texture(seed) for seed in range(4)])
    inside, go_on = threading.Event(), threading.Event()

    def wait(done, total):
        inside.set()
        go_on.wait(60)

    first = Bank.open(empty_bank.path, empty_bank.backbone)
    writer = threading.Thread(target=lambda: first.add([texture(seed) for seed in range(4, 9)], progress=wait))
    writer.start()
    try:
        assert inside.wait(60)
        second = Bank.open(empty_bank.path, empty_bank.backbone)
        assert len(contents(second)) == 4
        with pytest.raises(BankLockedError, match="another process is writing to this bank"):
            second.add(texture(99))
    finally:
        go_on.set()
        writer.join()
    assert len(first) == 9
    assert Bank.open(empty_bank.path).verify() == []


def test_a_gallery_stays_valid_when_the_bank_grows(empty_bank):
    empty_bank.add([texture(seed) for seed in range(3)])
    gallery, before = empty_bank.gallery([2, 0]), contents(empty_bank)
    empty_bank.add([texture(seed) for seed in range(3, 30)], segment_bytes=1)
    assert [p.pooled.tobytes() for p in gallery] == [before[2][-1], before[0][-1]]
    assert [p.pooled.tobytes() for p in gallery[1:]] == [before[0][-1]]
    assert contents(empty_bank)[:3] == before
    assert len(empty_bank.vectors("pooled")) == 30


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, tiny_backbone):
    """No more than two segments' images are ever held, however many are added."""
    held = []
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    each = bank.identity.bytes_per_image
    segments = bank.path / "segments"

    def measure(done, total):
        committed = sum(path.stat().st_size for path in segments.glob("*.safetensors")) // each
        held.append(done - committed)

    bank.add([texture(seed) for seed in range(60)], segment_bytes=10 * each, progress=measure)
    assert max(held) <= 20


def test_every_bank_that_a_reader_sees_while_a_writer_adds_is_whole(empty_bank):
    images = [texture(seed) for seed in range(40)]
    writer = threading.Thread(
        target=lambda: Bank.open(empty_bank.path, empty_bank.backbone).add(images, segment_bytes=1)
    )
    writer.start()
    seen = [[]]
    while len(seen[-1]) < 40:
        alive = writer.is_alive()
        bank = Bank.open(empty_bank.path, empty_bank.backbone)
        assert bank.verify() == []
        assert bank.version == len(bank)
        seen.append(contents(bank))
        assert seen[-1][: len(seen[-2])] == seen[-2]
        assert alive or len(bank) == 40
    writer.join()


def test_a_bank_that_is_there_already_is_opened_where_that_is_asked_for(tmp_path, tiny_backbone):
    def make(**changes):
        arguments = {"backbone": tiny_backbone, "framing": Framing(64), "augment": "flip", "exist_ok": True}
        return Bank.create(tmp_path / "bank", **arguments | changes)

    make().add([texture(1)])
    assert [image.id for image in make().images] == [1]
    for changes in ({"framing": Framing(96)}, {"augment": ""}):
        with pytest.raises(BankError, match="open it as it is with Bank.open"):
            make(**changes)
    with pytest.raises(BackboneError, match="built with backbone"):
        make(backbone=load_backbone(tiny.write(tmp_path / "other.onnx", seed=1)))
    with pytest.raises(BankError, match="there is a bank already"):
        make(exist_ok=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(BankError, match="holds other files"):
        Bank.create(tmp_path / "full", tiny_backbone, Framing(64), exist_ok=True)
