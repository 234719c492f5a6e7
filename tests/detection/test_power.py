"""What is found of synthetic defects: judged as if the normal image were not in the bank, and nothing else changes."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from anomalign import Bank, Detector, Framing, InputError, Settings
from anomalign.alignment import align
from anomalign.detection.in_place import judge_in_place
from anomalign.detection.power import Share
from anomalign.retrieval import ImageSearch
from tests.detection.conftest import NORMALS
from tests.pictures import save, texture
from tests.reference import places as reference

SIZES = (0.04, 0.3)


@pytest.fixture
def bank(bank_of_files):
    return bank_of_files


def detector_of(bank, **changes):
    return Detector(bank, Settings(**{"gallery_size": 4, **changes}))


def in_place(detector, place, pyramids):
    return judge_in_place(
        detector.bank, detector._search, detector.settings, detector.rule, detector.measured, place, pyramids,
        lambda pyramid, views: detector._align(pyramid, views, None).distance, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{}, {"decided_by": "alignment"}, {"decided_by": "retrieval"}, {"descriptor": "pooled"}, {"gate": 0.3}],
    ids=str,
)
def test_an_unchanged_image_scores_as_it_did_for_the_calibration(bank, changes):
    detector = detector_of(bank, **changes)
    found = [in_place(detector, place, bank.gallery([place])) for place in range(NORMALS)]
    passed = detector.calibrate().retrieval > detector.rule.gate
    scores = np.array([one.scores[0] for one in found])
    np.testing.assert_allclose(scores[passed], detector.normal_scores[passed], rtol=1e-6)
    expected = passed & (detector.normal_scores > detector.threshold.value)
    np.testing.assert_array_equal([one.anomalous[0] for one in found], expected)


def test_a_changed_image_is_judged_as_by_a_bank_without_it(bank, tiny_backbone):
    """Stage 1 and distances by a bank without the image; places by the distances of the others, literally."""
    detector = detector_of(bank, gate=1.0)
    scores = detector.calibrate()
    changed = texture(5).copy()
    changed[20:30, 20:44] = 250
    (query,) = tiny_backbone.run([changed])
    others = bank.without([bank.images[5].id])
    near = ImageSearch(others, "level_moments").search([query], 4)
    distance = align(query, others.gallery(np.sort(near.index[0]).tolist()), 1, grid=(8, 8)).distance
    of_others = [row for row in range(NORMALS) if row != 5]
    statistics = reference.statistics(detector.measured.distances[of_others], np.ones(NORMALS - 1))
    expected = reference.scores(distance, *statistics)
    found = in_place(detector, 5, [query])
    np.testing.assert_allclose(found.place_scores[0], expected, rtol=2e-4, atol=2e-4)
    logs = np.log(scores.retrieval[of_others])
    x = (np.log(near.distance[0, :3].mean()) - logs.mean()) / logs.std()
    logs = np.log(np.maximum(scores.alignment, 0.1 * np.median(scores.alignment)))
    top = np.sort(expected.ravel())[-1]
    y = (np.log(top) - logs.mean()) / logs.std()
    assert found.scores[0] == pytest.approx(-np.log(np.exp(-x) / 4 + np.exp(-y)), rel=1e-3)


@pytest.mark.parametrize("is_gone", [False, True], ids=["files", "previews"])
def test_defects_without_contrast_are_found_at_the_rate_of_false_alarms(tmp_path, tiny_backbone, is_gone):
    """Neither the paste, nor resizing, nor the compression of previews makes an image anomalous."""
    files = save(tmp_path / "files", NORMALS)
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(48))
    bank.add(files)
    detector = Detector(bank, Settings(gallery_size=4), target_fpr=0.2)
    detector.calibrate()
    if is_gone:
        for file in files:
            file.unlink()
    plan = replace(detector.plan_defects(NORMALS, sizes=(0.1,)), contrasts=(0.0, 0.0))
    power = detector.check_plan(plan)
    assert power.previews == (NORMALS if is_gone else 0)
    assert power.false_alarms.found == (detector.normal_scores > detector.threshold.value).sum() > 0
    for kind in power.kinds:
        assert power.share(kind) == power.false_alarms


def test_plain_defects_are_found_and_hardly_visible_ones_are_not(tmp_path, tiny_backbone):
    """All normal images are nearly alike, so that a hole is found wherever it is."""
    base = texture(0).astype(int)
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    noise = np.random.default_rng(0)
    bank.add([np.clip(base + noise.integers(-3, 4, base.shape), 0, 255).astype(np.uint8) for _ in range(30)])
    power = detector_of(bank, gate=1.0).check(images=10, kinds=["piece"], sizes=(0.02, 0.4))
    assert power.share("piece", 0.4).value == 1
    assert power.share("piece", 0.02).value < 0.5


def test_stage_one_alone_needs_no_alignment(bank, monkeypatch):
    """As with the paper's settings, whose stage 2 takes a second an image."""
    detector = detector_of(bank, decided_by="retrieval")
    expected = detector.check(images=3, sizes=SIZES).outcomes
    detector.calibrate()
    monkeypatch.setattr(detector, "_align", None)
    assert detector.check(images=3, sizes=SIZES).outcomes == expected


def test_the_same_seed_gives_the_same(bank):
    detector = detector_of(bank)
    first, again = (detector.check(images=5, sizes=SIZES, seed=1) for _ in range(2))
    assert first.outcomes == again.outcomes
    assert first.outcomes != detector.check(images=5, sizes=SIZES, seed=2).outcomes


def test_nothing_enters_the_bank(bank):
    def content():
        files = sorted(path for path in bank.path.rglob("*") if path.is_file())
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    detector = detector_of(bank)
    detector.calibrate()
    before = content()
    detector.check(images=4, sizes=SIZES)
    assert content() == before


def test_images_of_different_groups_come_first(tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(12)], groups=[f"part {seed % 4}" for seed in range(12)])
    plan = detector_of(bank).plan_defects(4)
    assert len({one.image.group for one in plan.pictures}) == 4
    assert len(detector_of(bank).plan_defects(9).pictures) == 9


def test_another_threshold_needs_no_new_measurement(bank):
    detector = detector_of(bank)
    power, other = detector.check(images=8, sizes=SIZES), detector.at_rate(0.4)
    assert power.at(other.threshold).outcomes == other.check(images=8, sizes=SIZES).outcomes


def test_the_table_adds_up(bank):
    power = detector_of(bank).check(images=6, sizes=SIZES)
    cells = [power.share(kind, size) for kind in power.kinds for size in power.sizes]
    assert sum(cell.total for cell in cells) == len(power.outcomes)
    assert power.value == pytest.approx(np.mean([cell.value for cell in cells if cell.total]))
    entry = power.to_dict()
    assert [row["found"] for row in entry["table"]] == [cell.found for cell in cells]
    assert len(entry["defects"]) == len(power.outcomes)


def test_interval_of_a_share():
    """Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3."""
    assert Share(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert Share(15, 148).interval == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert Share(0, 20).interval == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert Share(0, 0).interval == (0, 1)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"kinds": ["crack"]}, "crack"), ({"sizes": (0.0,)}, "0.0"), ({"sizes": ()}, "sizes"), ({"images": 0}, "0")],
)
def test_wrong_arguments_are_refused(bank, changes, named):
    with pytest.raises(InputError, match=named):
        detector_of(bank).check(**changes)


def test_blind_map_says_where_defects_are_missed(bank):
    """By definition: found on the left, missed on the right."""
    power = detector_of(bank).check(images=NORMALS, sizes=SIZES)
    halves = replace(power, outcomes=tuple(replace(one, found=one.x < 0.5) for one in power.outcomes))
    share = halves.blind_map()
    assert np.nanmin(share[:, :8]) > 0.8
    assert np.nanmax(share[:, -8:]) < 0.2
