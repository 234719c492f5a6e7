"""Calibration by groups after any edits, and against banks that were built without the group."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from anomalign import Bank, CalibrationError, Detector, Framing, Settings
from anomalign.backbones import Described
from anomalign.calibration.pixels import PixelCounts
from anomalign.detection.normal_scores import groups_of
from anomalign.numerics.checksums import with_checksum
from anomalign.retrieval import DESCRIPTORS, ImageSearch
from tests.detection.test_dependence import save, sequence, texture
from tests.place_scores import check_place_scores

SETTINGS = Settings(gallery_size=3, image_neighbours=2, gate=0.5)
PARTS, REPEATS = 9, 3
SEEDS = st.sets(st.integers(0, PARTS * REPEATS - 1), min_size=1, max_size=9)
NAMES = st.sampled_from(["", "a", "b", "c"])
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), SEEDS | st.just(set(range(PARTS * REPEATS))), st.none() | NAMES),
        st.tuples(st.just("group"), SEEDS, NAMES),
        st.tuples(st.sampled_from(["remove", "restore"]), SEEDS, st.none()),
        st.tuples(st.just("compact"), st.just(set()), st.none()),
    ),
    min_size=2,
    max_size=6,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Parts that follow each other, in the order of names."""
    names = [f"{number:02}.png" for number in range(PARTS * REPEATS)]
    return save(tmp_path_factory.mktemp("files"), sequence(PARTS, REPEATS), names)


def calibrated(bank):
    """All that calibration gives, but for ids: scores, groups, threshold, the scores that decide."""
    place = {image.id: number for number, image in enumerate(bank.images)}
    detector = Detector(bank, SETTINGS)
    try:
        scores = detector.calibrate()
    except CalibrationError as error:
        return str(error).removeprefix(str(bank.path))
    groups = scores.groups
    return [
        [place[id] for id in scores.ids.tolist()],
        [place[id] for id in scores.nearest.tolist()],
        scores.retrieval.tobytes(),
        scores.alignment.tobytes(),
        scores.peaks.tobytes(),
        (scores.places.mean.tobytes(), scores.places.deviation.tobytes()),
        scores.pixels.counts.tobytes(),
        (groups.number.tolist(), groups.place.tolist(), groups.reach, groups.count, groups.origin),
        groups.weights.tobytes(),
        detector.threshold,
        detector.normal_scores.tobytes(),
        (detector.rule.gate, detector.rule.suspicion),
    ]


def galleries(bank):
    """Ids that stage 2 compares each image with, by a search of its own."""
    search = ImageSearch(bank, SETTINGS.descriptor)
    groups = groups_of(bank, search, SETTINGS)
    rows = np.arange(len(bank))
    left_out = [groups.left_out(row) for row in rows.tolist()]
    found = search.leave_out(rows, min(SETTINGS.neighbours, len(bank) - 1), left_out)
    others = [np.delete(rows, np.union1d(gone, search.copies.of(row))) for row, gone in enumerate(left_out)]
    if any(min(len(set(groups.number[one])), len(set(search.copies.number[one]))) < 2 for one in others):
        return None
    ids = [image.id for image in bank.images]
    return {ids[row]: {ids[other] for other in found.index[row] if other >= 0} for row in rows.tolist()}


class Edited:
    """A bank, and beside it what it holds: (file, group) by id."""

    def __init__(self, path, backbone, files):
        self.bank = Bank.create(path, backbone, Framing(64))
        self.files, self.held, self.gone = files, {}, {}

    def edit(self, what, seeds, name):
        ids = {seed: id for id, (seed, _) in self.held.items()}
        chosen = [ids[seed] for seed in sorted(seeds) if seed in ids]
        if what == "add":
            self.bank.add([self.files[seed] for seed in sorted(seeds)], groups=name)
            self.held |= {id: (self.held[id][0], self.held[id][1] if name is None else name) for id in chosen}
            new = [seed for seed in sorted(seeds) if seed not in ids]
            self.held |= {i.id: (seed, name or "") for i, seed in zip(self.bank.images[len(ids) :], new, strict=True)}
        elif what == "group":
            self.bank.group(chosen, name)
            self.held |= {id: (self.held[id][0], name) for id in chosen}
        elif what == "remove":
            self.bank.remove(chosen)
            self.gone |= {id: self.held.pop(id) for id in chosen}
        elif what == "restore":
            back = {seed: id for id, (seed, _) in self.gone.items() if seed in seeds and seed not in ids}
            self.bank.restore(back.values())
            self.held = dict(sorted((self.held | {id: self.gone.pop(id) for id in back.values()}).items()))
        else:
            self.bank.compact()
            self.gone = {}

    def anew(self, path):
        bank = Bank.create(path, self.bank.backbone, Framing(64))
        bank.add([self.files[seed] for seed, _ in self.held.values()], groups=[name for _, name in self.held.values()])
        return bank


def check_edits(folder, backbone, files, edits, aligned):
    """After each edit compare with a bank built anew, and look at which images went through stage 2."""
    edited, compared = Edited(folder / "edited", backbone, files), {}
    for number, edit in enumerate(edits):
        edited.edit(*edit)
        compared = {id: gallery for id, gallery in compared.items() if id in edited.held or id in edited.gone}
        if len(edited.bank) < 3:
            continue
        aligned.clear()
        found = calibrated(edited.bank)
        now, went_through = galleries(edited.bank), set(aligned)
        if now is not None:
            assert went_through == {id for id, gallery in now.items() if gallery != compared.get(id)}
            compared |= now
        assert found == calibrated(edited.anew(folder / f"anew{number}"))
    shutil.rmtree(folder)


@pytest.fixture
def aligned(monkeypatch):
    """Ids of the images that go through stage 2 while calibrating."""
    ids = []
    inner = Detector._align_normal

    def align(self, row, gallery, window):
        ids.append(self.bank.images[row].id)
        return inner(self, row, gallery, window)

    monkeypatch.setattr(Detector, "_align_normal", align)
    return ids


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EDITS)
def test_after_any_edit_the_calibration_is_that_of_a_bank_built_anew(
    tmp_path_factory, tiny_backbone, files, aligned, edits
):
    check_edits(tmp_path_factory.mktemp("edits"), tiny_backbone, files, edits, aligned)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EDITS)
def test_after_any_of_many_edits_the_calibration_is_that_of_a_bank_built_anew(
    tmp_path_factory, tiny_backbone, files, aligned, edits
):
    check_edits(tmp_path_factory.mktemp("edits"), tiny_backbone, files, edits, aligned)


def test_found_blocks_come_and_go_with_edits(tmp_path, tiny_backbone, files, aligned):
    """Blocks are found; names take their place, and leave it again; no image with the same gallery is compared anew."""
    everything = set(range(PARTS * REPEATS))
    edits = [
        ("add", everything, None),
        ("group", {0, 1, 2}, "a"),
        ("group", {0, 1, 2}, ""),
        ("remove", {4}, None),
        ("restore", {4}, None),
    ]
    check_edits(tmp_path / "edits", tiny_backbone, files, edits, aligned)
    edited = Edited(tmp_path / "edited", tiny_backbone, files)
    edited.edit(*edits[0])
    assert Detector(edited.bank, SETTINGS).groups.origin == "blocks"
    edited.edit(*edits[1])
    assert Detector(edited.bank, SETTINGS).groups.origin == "given"


def test_one_image_more_sends_through_stage_2_only_those_that_it_is_near_to(tmp_path, tiny_backbone, aligned):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(60)], groups=[f"part {seed // 2}" for seed in range(60)])
    Detector(bank, SETTINGS).calibrate()
    assert len(aligned) == 60
    aligned.clear()
    bank.add(texture(100), groups="part 30")
    Detector(bank, SETTINGS).calibrate()
    assert bank.images[60].id in aligned
    assert len(aligned) <= 30
    aligned.clear()
    bank.group(bank.images[60].id, "another")  # a group of its own, by another name
    Detector(bank, SETTINGS).calibrate()
    assert aligned == []


def peak(inspection, chosen):
    """`Calibration.peaks`, for an image: the highest value of the smoothed map, by the centres of its cells."""
    smoothed = gaussian_filter(inspection.alignment.distance, chosen.sigma_px / 8, mode="reflect", truncate=4)
    return smoothed.max()


def judged(bank, chosen, row, others):
    """An image of a bank as a detector of other images judges it."""
    image = bank.images[row]
    (pyramid,) = bank.gallery([row])
    return Detector(others, chosen).judge(Described(image.name, "", 64, 64, pyramid, b""))


@pytest.mark.parametrize("augment", [(), ("flip,rotate",)], ids=["plain", "augmented"])
@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_a_normal_image_scores_as_if_its_group_were_not_in_the_bank(tmp_path, tiny_backbone, descriptor, augment):
    """Groups of one to seven images, each against a bank that was built of the others."""
    chosen = Settings(gallery_size=3, image_neighbours=2, gate=1.0, descriptor=descriptor)
    names = ["a", "b", "b", "c", "d", "d", "d", "e"] * 2 + ["f"] * 7 + [""]
    pictures = [texture(seed) for seed in range(len(names))]
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64), *augment)
    bank.add(pictures, groups=names)
    scores = Detector(bank, chosen).calibrate()
    assert scores.groups.count == 7
    for row in (0, 1, 5, 18, 23):
        others = Bank.create(tmp_path / f"without{row}", tiny_backbone, Framing(64), *augment)
        kept = [seed for seed in range(len(names)) if seed != row and (names[seed] != names[row] or not names[row])]
        others.add([pictures[seed] for seed in kept])
        expected = judged(bank, chosen, row, others)
        np.testing.assert_allclose(scores.retrieval[row], expected.retrieval_score, rtol=1e-3)
        np.testing.assert_allclose(scores.peaks[row], peak(expected, chosen), rtol=1e-3)
        assert scores.nearest[row] == bank.images[kept[expected.neighbours[0].id - 1]].id
    check_place_scores(bank, chosen, scores, scores.groups.left_out)


def test_an_image_in_a_block_scores_as_if_the_block_and_its_neighbours_were_not_in_the_bank(
    tmp_path, tiny_backbone, files
):
    chosen = Settings(gallery_size=3, image_neighbours=2, gate=1.0)
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add(files)
    scores = Detector(bank, chosen).calibrate()
    groups = scores.groups
    assert groups.origin == "blocks"
    for row in (0, 4, 13, 26):
        block = row // (groups.reach + 1)
        kept = [
            other
            for other in range(len(files))
            if other // (groups.reach + 1) != block and abs(other - row) > groups.reach
        ]
        others = Bank.create(tmp_path / f"without{row}", tiny_backbone, Framing(64))
        others.add([files[other] for other in kept])
        expected = judged(bank, chosen, row, others)
        np.testing.assert_allclose(scores.retrieval[row], expected.retrieval_score, rtol=1e-3)
        np.testing.assert_allclose(scores.peaks[row], peak(expected, chosen), rtol=1e-3)
    check_place_scores(bank, chosen, scores, groups.left_out)


def test_images_of_one_group_alone_cannot_be_calibrated(tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(5)], groups="one part")
    with pytest.raises(CalibrationError, match="all images are of one group, so there is nothing to calibrate with"):
        Detector(bank, SETTINGS).calibrate()
    bank.group(bank.images[0].id, "another part")
    with pytest.raises(CalibrationError, match="for each there must be two others"):
        Detector(bank, SETTINGS).calibrate()  # four images can only be compared with one
    bank.group(bank.images[1].id, "another part")
    with pytest.raises(CalibrationError, match="for each there must be two others of different groups"):
        Detector(bank, SETTINGS).calibrate()  # two images of one part say little about the spread between parts
    bank.group(bank.images[1].id, "a third part")
    detector = Detector(bank, SETTINGS)
    assert detector.target_fpr == pytest.approx(1 / 4)


def test_pictures_that_are_there_twice_are_not_taken_for_others(tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    for seed in range(2):
        for ending in ("png", "bmp"):
            Image.fromarray(texture(seed)).save(tmp_path / f"{seed}.{ending}")
            bank.add(tmp_path / f"{seed}.{ending}")
    with pytest.raises(CalibrationError, match="too few to calibrate"):
        Detector(bank, SETTINGS).calibrate()
    bank.add(texture(2))
    assert Detector(bank, SETTINGS).calibrate().alignment.max() < 100


def test_a_sample_in_which_one_group_remains_is_scored_by_all(tmp_path, tiny_backbone):
    """Where stage 1 decides, 20 images go through stage 2, which may nearly all be of one group."""
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(60)], groups=["a"] * 58 + ["b", "c"])
    scores = Detector(bank, replace(SETTINGS, decided_by="retrieval")).calibrate()
    assert scores.alignment.max() < 100
    assert np.isfinite(scores.alignment).all()


def test_a_rate_that_the_named_groups_do_not_support_is_refused_before_anything_is_computed(
    tmp_path, tiny_backbone, aligned
):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(24)], groups=[f"part {seed // 8}" for seed in range(24)])
    with pytest.raises(CalibrationError, match=r"24 normal images count as 3 independent ones, .* 25 % at best"):
        Detector(bank, SETTINGS, 0.1)
    assert aligned == []
    assert Detector(bank, SETTINGS, 0.25).threshold.target_fpr == 0.25


def test_a_bank_that_an_earlier_version_calibrated_is_calibrated_anew(tmp_path, tiny_backbone, files, aligned):
    """What is stored under the earlier key, each image by itself and without groups, is neither used nor in the way."""
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add(files)
    rows = list(range(len(bank)))
    earlier = {
        "ids": [image.id for image in bank.images],
        "retrieval": [1e-9] * len(rows),
        "nearest": [bank.images[row - 1].id for row in rows],
        "aligned": rows,
        "alignment": [1e-9] * len(rows),
        "pixels": PixelCounts.of(np.ones(4, np.float32)).to_bytes().hex(),
    }
    key = json.loads(SETTINGS.calibration_key())
    assert key["scores"] == 4
    old_key = json.dumps({**key, "scores": 3, "top_share": 0.005}, sort_keys=True)
    assert SETTINGS.older_calibration_key() == old_key
    old = with_checksum(json.dumps(earlier).encode())
    assert bank.save_calibration(old_key, old)
    anew = Bank.create(tmp_path / "anew", tiny_backbone, Framing(64))
    anew.add(files)
    assert calibrated(bank) == calibrated(anew)
    assert bank.load_calibration(old_key) == old  # the earlier version can still read its own
    aligned.clear()
    Detector(Bank.open(bank.path, tiny_backbone), SETTINGS).calibrate()
    assert aligned == []  # and the new one is stored
