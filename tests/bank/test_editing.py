"""A bank edited in any way is the bank that one builds anew from the images that are left."""

import contextlib
import random
import shutil
import sqlite3
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from anomalign import Bank, BankError, Detector, Framing, InputError, Settings
from anomalign.bank import snapshot
from anomalign.calibration.thresholds import Calibration
from tests.bank.test_crash import start, whole
from tests.pictures import save, texture
from tests.place_scores import check_place_scores

PICTURES = {seed: texture(seed) for seed in range(14)}
QUERY = texture(100)
SETTINGS = Settings(gallery_size=3, image_neighbours=2, gate=0.5)

EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sets(st.integers(0, 13), min_size=1, max_size=6)),
        st.tuples(st.just("remove"), st.sets(st.integers(0, 13), min_size=1, max_size=4)),
        st.tuples(st.sampled_from(["compact", "calibrate", "reopen"]), st.none()),
    ),
    min_size=1,
    max_size=8,
)


def everything(bank):
    """All that a bank decides with, but for ids: features, descriptors, scores, threshold, an inspection."""
    place = {image.id: number for number, image in enumerate(bank.images)}
    features = [
        (image.sha256, *(level.tobytes() for level in pyramid.levels), pyramid.moments.tobytes())
        for image, pyramid in zip(bank.images, bank.gallery(range(len(bank))), strict=True)
    ]
    if len(bank) < 3:
        return [features, bank.content]
    detector = Detector(bank, SETTINGS)
    scores = detector.calibrate()
    inspection = detector.inspect(QUERY)
    return [
        features,
        bank.content,
        bank.vectors("pooled").tobytes(),
        [place[id] for id in scores.ids.tolist()],
        [place[id] for id in scores.nearest.tolist()],
        scores.retrieval.tobytes(),
        scores.alignment.tobytes(),
        scores.peaks.tobytes(),
        (scores.places.mean.tobytes(), scores.places.deviation.tobytes()),
        scores.pixels.counts.tobytes(),
        detector.threshold,
        (inspection.image_score, inspection.p_value, inspection.verdict, inspection.retrieval_p_value),
        [(place[n.id], n.distance) for n in inspection.neighbours],
        detector.align(inspection).anomaly_map.tobytes(),
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EDITS)
def test_any_sequence_of_edits_equals_building_anew(tmp_path_factory, tiny_backbone, edits):
    folder = tmp_path_factory.mktemp("edits")
    bank = Bank.create(folder / "edited", tiny_backbone, Framing(64))
    held = []  # seeds in the order in which they came
    for what, seeds in edits:
        if what == "add":
            bank.add([PICTURES[seed] for seed in sorted(seeds)])
            held += [seed for seed in sorted(seeds) if seed not in held]
        elif what == "remove":
            chosen = [image.id for image, seed in zip(bank.images, held, strict=True) if seed in seeds]
            bank.remove(chosen)
            held = [seed for seed in held if seed not in seeds]
        elif what == "compact":
            bank.compact()
        elif what == "calibrate" and len(bank) > 2:
            Detector(bank, SETTINGS).calibrate()
        elif what == "reopen":
            bank = Bank.open(bank.path, tiny_backbone)
    anew = Bank.create(folder / "anew", tiny_backbone, Framing(64))
    if held:
        anew.add([PICTURES[seed] for seed in held])
    assert everything(bank) == everything(anew)
    assert bank.verify() == []
    shutil.rmtree(folder)


@pytest.fixture
def bank(tmp_path, empty_bank):
    save(tmp_path / "part", 9)
    empty_bank.add(tmp_path / "part")
    return empty_bank


def test_images_are_chosen_by_id_name_and_glob(tmp_path, bank):
    assert [i.id for i in bank.select([3, "5"])] == [3, 5]
    assert [i.id for i in bank.select("001.png")] == [2]
    assert [i.id for i in bank.select(str(tmp_path / "part" / "002.png"))] == [3]
    assert [i.id for i in bank.select(["00[0-3].png", "*/008.png", 1])] == [1, 2, 3, 4, 9]


def test_what_no_image_answers_to_is_an_error_and_removes_nothing(bank):
    with pytest.raises(InputError, match=r"no image 'x\*\.png'"):
        bank.remove(["001.png", "x*.png"])
    assert (len(bank), bank.version) == (9, 1)


def test_removing_is_one_version_and_its_history_can_be_read(bank, tiny_backbone):
    bank.remove("00[2-4].png")
    assert [(c.version, c.added, c.removed) for c in bank.history()] == [(1, 9, 0), (2, 0, 3)]
    assert [i.id for i in Bank.open(bank.path, tiny_backbone).images] == [1, 2, 6, 7, 8, 9]


def test_an_older_version_can_be_shown_and_not_changed(bank, tiny_backbone):
    before = everything(bank)
    bank.remove([1, 4])
    bank.add(texture(50))
    old = Bank.open(bank.path, tiny_backbone, version=1)
    assert everything(old) == before
    for change in (lambda: old.add(texture(51)), lambda: old.remove(2), old.compact):
        with pytest.raises(BankError, match="open it as it is to change it"):
            change()
    with pytest.raises(BankError, match="has no version 9"):
        Bank.open(bank.path, tiny_backbone, version=9)


def test_what_if_an_image_were_not_there(tmp_path, bank, tiny_backbone):
    version = bank.version
    without = bank.without(["003.png", 7])
    anew = Bank.create(tmp_path / "anew", tiny_backbone, Framing(64))
    anew.add([tmp_path / "part" / f"{n:03}.png" for n in (0, 1, 2, 4, 5, 7, 8)])
    assert everything(without) == everything(anew)
    assert (len(bank), bank.version) == (9, version)


def test_compacting_gives_back_the_room_and_forgets_older_versions(bank, tiny_backbone):
    each = bank.identity.bytes_per_image
    bank.add([texture(seed) for seed in range(50, 54)])
    bank.remove([1, 2, 10, 11, 12, 13])  # a part of the first segment and all of the second
    kept = everything(bank)
    size = sum(file.stat().st_size for file in bank.path.glob("segments/*"))
    given_back = bank.compact()
    assert given_back >= 6 * each
    assert size - sum(file.stat().st_size for file in bank.path.glob("segments/*")) >= 6 * each
    assert len(list(bank.path.glob("segments/*"))) == 1
    assert everything(Bank.open(bank.path, tiny_backbone)) == kept
    assert bank.verify() == []
    with pytest.raises(BankError, match="version 1 was compacted away"):
        Bank.open(bank.path, tiny_backbone, version=1)
    assert bank.compact() == 0


def test_a_reader_from_before_a_compaction_is_told_to_open_again(bank, tiny_backbone):
    reader = Bank.open(bank.path, tiny_backbone)
    bank.remove(1)
    bank.compact()
    with pytest.raises(BankError, match="open it again"):
        reader.vectors("pooled")


def test_an_image_that_comes_again_after_its_removal_is_a_new_one(bank):
    bank.remove("000.png")
    report = bank.add(bank.path.parent / "part")
    assert (report.added, len(report.known)) == (1, 8)
    assert bank.images[-1].id == 10


def test_only_images_whose_gallery_changed_go_through_stage_2_again(bank, monkeypatch):
    aligned = []
    inner = Detector._align_normal
    monkeypatch.setattr(
        Detector, "_align_normal", lambda self, row, *rest: aligned.append(row) or inner(self, row, *rest)
    )
    nearest = Settings(gallery_size=1, image_neighbours=1, descriptor="pooled")
    first = Detector(bank, nearest).calibrate()
    assert len(aligned) == 9
    aligned.clear()
    gone = int(first.ids[4])
    bank.remove(gone)
    touched = int((first.nearest == gone).sum())
    Detector(bank, nearest).calibrate()
    assert len(aligned) == touched < 8


def test_copies_of_a_picture_in_other_files_are_left_out_with_it(tmp_path, bank):
    """The same pixels as another format: another file, the same features. Its score must not become 0."""
    Image.open(tmp_path / "part" / "000.png").save(tmp_path / "again.bmp")
    before = Detector(bank, SETTINGS).calibrate()
    bank.add(tmp_path / "again.bmp")
    scores = Detector(bank, SETTINGS).calibrate()
    assert len(bank) == 10
    assert scores.retrieval[0] == pytest.approx(before.retrieval[0], rel=1e-6)
    assert scores.retrieval[9] == scores.retrieval[0] > 0
    assert scores.alignment[0] == scores.alignment[9]
    check_place_scores(bank, SETTINGS, scores, lambda row: [0, 9] if row in (0, 9) else [row])
    assert scores.peaks[0] == scores.peaks[9] == before.peaks[0]


def test_a_name_that_is_there_is_no_glob(tmp_path, empty_bank):
    for number, name in enumerate(["a[1].png", "a1.png", "x*.png", "xy.png"]):
        Image.fromarray(texture(number)).save(tmp_path / name)
        empty_bank.add(tmp_path / name)
    assert [i.id for i in empty_bank.select("a[1].png")] == [1]
    assert [i.id for i in empty_bank.select("x*.png")] == [3]
    assert [i.id for i in empty_bank.select("x?.png")] == [3, 4]
    assert [i.id for i in empty_bank.select(np.array([2, 4]))] == [2, 4]
    for selector in ("\u0663", "9" * 5000, ""):
        with pytest.raises(InputError, match="no image"):
            empty_bank.select(selector)


def test_a_detector_goes_on_with_the_images_it_was_made_for(bank, tiny_backbone):
    """Edits through the same object, before and after it has calibrated; nothing false is stored."""
    fresh = [everything(bank)]
    detector = Detector(bank, SETTINGS)
    bank.remove(1)
    bank.add(texture(500))
    assert detector.inspect(QUERY).image_score == fresh[0][11][0]
    assert everything(Bank.open(bank.path, tiny_backbone)) == everything(bank) != fresh[0]
    late = Detector(Bank.open(bank.path, tiny_backbone, version=1), SETTINGS)
    assert late.inspect(QUERY).image_score == fresh[0][11][0]
    assert everything(Bank.open(bank.path, tiny_backbone)) == everything(bank)


def test_a_calibration_of_an_older_state_does_not_take_the_place_of_a_newer_one(bank, tiny_backbone):
    """Two processes: one calibrates what it opened while the other has edited and calibrated already."""
    slow = Detector(Bank.open(bank.path, tiny_backbone), SETTINGS)
    bank.remove(2)
    newer = Detector(bank, SETTINGS).calibrate()
    slow.calibrate()
    stored = Bank.open(bank.path, tiny_backbone).load_calibration(SETTINGS.calibration_key())
    assert Calibration.from_bytes(stored).ids.tolist() == newer.ids.tolist()


def test_scores_of_images_that_are_gone_for_good_are_not_stored(bank, tiny_backbone):
    slow = Bank.open(bank.path, tiny_backbone)
    detector = Detector(slow, SETTINGS)
    _ = [pyramid.shapes for pyramid in slow.gallery(range(len(slow)))]  # its segment is open and stays so
    bank.remove(2)
    bank.compact()
    detector.calibrate()
    assert 2 not in [score.image for score in bank.load_aligned(SETTINGS.alignment_key())]
    assert bank.verify() == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE calibrations SET scores = x'00'",
        "UPDATE calibrations SET scores = zeroblob(400)",
        "UPDATE calibrations SET scores = CAST(scores || x'20' AS BLOB)",
        "DELETE FROM calibrations; UPDATE aligned SET score = -1",
        "DELETE FROM calibrations; UPDATE aligned SET pixels = x'00'",
        "DELETE FROM calibrations; UPDATE aligned SET gallery = zeroblob(24)",
    ],
)
def test_scores_that_were_altered_are_made_anew(bank, tiny_backbone, change):
    expected = everything(bank)
    with contextlib.closing(sqlite3.connect(bank.path / "catalogue.sqlite")) as connection:
        connection.executescript(change)
    assert everything(Bank.open(bank.path, tiny_backbone)) == expected


def test_opening_while_another_process_compacts_is_no_damage(bank, tiny_backbone, monkeypatch):
    """Its segments go between the moment when the catalogue was read and that when they are looked for."""
    bank.remove(1)
    inner = snapshot._read
    compacted = []

    def read(path, version):
        before = inner(path, version)
        if not compacted:
            compacted.append(True)
            Bank(bank.path, tiny_backbone).compact()
        return before

    monkeypatch.setattr(snapshot, "_read", read)
    assert len(Bank.open(bank.path, tiny_backbone)) == 8


EDIT = """
import sys
from anomalign import Bank
bank = Bank.open(sys.argv[1])
print("begun", flush=True)
for number in range(1, 31):
    bank.remove(number)
    print(number, flush=True)
    if number % 5 == 0:
        bank.compact()
        print("compacted", flush=True)
"""


@pytest.mark.slow
def test_kills_while_images_are_removed_and_segments_compacted(tmp_path, tiny_backbone):
    """What was reported as removed stays removed; every other image is there, whole."""
    save(tmp_path / "pictures", 40)
    whole_bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    whole_bank.add(tmp_path / "pictures", segment_bytes=4 * whole_bank.identity.bytes_per_image)
    names = [image.name for image in whole_bank.images]
    chance = random.Random(3)
    for number in range(15):
        path = tmp_path / f"bank{number}"
        shutil.copytree(whole_bank.path, path)
        with start(EDIT, path) as process:
            assert process.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0, 0.25))
            process.kill()
            removed = max((int(line) for line in process.stdout.read().split() if line.isdigit()), default=0)
        found = whole(path, tiny_backbone)
        assert found in (names[removed:], names[removed + 1 :])
        bank = Bank.open(path, tiny_backbone)
        bank.add(texture(70))
        bank.compact()
        assert whole(path, tiny_backbone)[:-1] == found


def test_random_edits_find_the_same_as_anew_for_the_paper_preset(tmp_path, tiny_backbone):
    """Stage 1 decides there and stage 2 sees a sample; one long random sequence."""
    chance = np.random.default_rng(5)
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(40)])
    paper = Settings(
        descriptor="pooled", image_neighbours=5, gallery_size=5, decided_by="retrieval", calibration_size=24
    )
    for step in range(4):
        Detector(bank, paper).calibrate()
        bank.remove(chance.choice([image.id for image in bank.images], 4, replace=False).tolist())
        bank.add(texture(200 + step))
    seeds = [*range(40), *range(200, 204)]
    scratch = Bank.create(tmp_path / "scratch", tiny_backbone, Framing(64))
    scratch.add([texture(seed) for seed in seeds])
    seed_of = {image.sha256: seed for image, seed in zip(scratch.images, seeds, strict=True)}
    anew = Bank.create(tmp_path / "anew", tiny_backbone, Framing(64))
    anew.add([texture(seed_of[image.sha256]) for image in bank.images])
    edited, built = Detector(bank, paper), Detector(anew, paper)
    assert edited.calibrate().retrieval.tobytes() == built.calibrate().retrieval.tobytes()
    assert edited.calibrate().alignment.tobytes() == built.calibrate().alignment.tobytes()
    assert len(edited.calibrate().retrieval) == 24
    assert edited.inspect(QUERY).p_value == built.inspect(QUERY).p_value
