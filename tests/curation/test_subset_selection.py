"""Which images may go, against trying each; and what it costs, against chance."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from anomalign import Bank, Detector, Framing, InputError, Settings
from anomalign.backbones import Described
from anomalign.calibration.groups import Groups
from anomalign.curation.subset_selection import bank_groups, choose, least_missed, outcome
from tests.pictures import texture


def total(vectors, kept):
    """Sum over the images that have gone of the squared distance to the nearest that is kept."""
    distance = ((vectors[:, None] - vectors[kept]) ** 2).sum(axis=2).astype(np.float64)
    return float(distance.min(axis=1).sum())  # of those that are kept it is 0


@pytest.mark.parametrize(("N", "keep"), [(14, 5), (40, 12), (60, 2), (50, 45)])
def test_each_goes_whose_going_costs_least(N, keep):
    """The slow way: at each step try all, and take the one after which the sum is least."""
    vectors = np.random.default_rng(N).normal(size=(N, 4)).astype(np.float32)
    kept = list(range(N))
    while len(kept) > keep:
        sums = [total(vectors, [i for i in kept if i != gone]) for gone in kept]
        kept.pop(int(np.argmin(sums)))
    assert least_missed(vectors, keep).tolist() == kept


def test_lists_that_run_out_are_made_anew(monkeypatch):
    vectors = np.random.default_rng(3).normal(size=(120, 3)).astype(np.float32)
    expected = least_missed(vectors, 20)
    monkeypatch.setattr("anomalign.curation.subset_selection._LISTED", 5)
    np.testing.assert_array_equal(least_missed(vectors, 20), expected)


def test_copies_go_first():
    vectors = np.repeat(np.random.default_rng(0).normal(size=(10, 3)), 3, axis=0).astype(np.float32)
    kept = least_missed(vectors, 10)
    assert len(np.unique(vectors[kept], axis=0)) == 10


@pytest.mark.parametrize("keep", [1, 41])
def test_a_number_that_cannot_be_kept_is_named(keep):
    with pytest.raises(InputError, match=f"keep is {keep}"):
        least_missed(np.zeros((40, 2), np.float32), keep)


def peak(inspection):
    """The highest value of the smoothed map of distances, at the centres of its cells."""
    return gaussian_filter(inspection.alignment.distance, 0.5, mode="reflect", truncate=4).max()


def test_what_is_lost_is_what_scoring_every_image_anew_says(tmp_path):
    bank = Bank.create(tmp_path / "bank", framing=Framing(64))
    bank.add([texture(seed) for seed in range(30)])
    settings = Settings(gallery_size=4, gate=1.0, decided_by="alignment")
    before = Detector(bank, settings, 0.5)
    kept = choose(bank, 20)
    gone = [image.id for image in bank.images if image.id not in kept]
    after = Detector(bank.without(gone), settings, 0.5)
    lost = outcome(before, after)
    anew = [after.inspect(texture(id - 1)) for id in gone]  # ids count from 1 in the order of the seeds
    assert lost.alarms == sum(inspection.verdict == "anomalous" for inspection in anew)
    assert (lost.threshold_before, lost.threshold_after) == (before.threshold.value, after.threshold.value)
    rises = dict(zip(before.calibrate().ids.tolist(), before.calibrate().peaks.tolist(), strict=True))
    now = dict(zip(after.calibrate().ids.tolist(), after.calibrate().peaks.tolist(), strict=True))
    now |= {id: peak(inspection) for id, inspection in zip(gone, anew, strict=True)}
    rise = [now[id] / rises[id] - 1 for id in rises]
    assert (lost.median_rise, lost.highest_rise) == (pytest.approx(np.median(rise), abs=1e-5), pytest.approx(max(rise)))
    assert (lost.scored, lost.gone) == (30, 10)
    assert lost.alarms > 0  # else nothing was compared


@pytest.mark.parametrize("keep", [30, 10, 4])
def test_every_group_keeps_an_image_as_long_as_there_are_enough(keep):
    """The slow way: at each step the cheapest goes that is not the last of its group while another group has two."""
    rng = np.random.default_rng(keep)
    groups = rng.permutation(np.arange(40) % 10)
    vectors = (rng.normal(size=(10, 4))[groups] + 0.1 * rng.normal(size=(40, 4))).astype(np.float32)
    kept = list(range(40))
    while len(kept) > keep:
        sizes = np.bincount(groups[kept])
        may_go = [i for i in kept if sizes[groups[i]] > 1] or kept
        sums = [total(vectors, [i for i in kept if i != gone]) for gone in may_go]
        kept.remove(may_go[int(np.argmin(sums))])
    found = least_missed(vectors, keep, groups)
    assert found.tolist() == kept
    assert len(set(groups[found].tolist())) == min(keep, 10)


@pytest.fixture
def parts(tmp_path):
    """Ten parts of three frames that differ a little."""
    bank = Bank.create(tmp_path / "parts", framing=Framing(64))
    for part in range(10):
        frames = [
            texture(part).astype(int) + 2 * (np.random.default_rng(n).random((64, 64, 1)) < 0.1) for n in range(3)
        ]
        bank.add([np.clip(frame, 0, 255).astype(np.uint8) for frame in frames], groups=f"part {part}")
    return bank


def test_ten_parts_stay_ten_parts(parts):
    kept = choose(parts, 12)
    assert len({image.group for image in parts.images if image.id in kept}) == 10


def test_a_dropped_image_is_scored_without_its_group(parts):
    settings = Settings(gallery_size=4, gate=1.0, decided_by="alignment")
    before = Detector(parts, settings, 0.3)
    gone = [image.id for image in parts.images if image.id not in choose(parts, 15)]
    after = Detector(parts.without(gone), settings, 0.3)
    then = dict(zip(before.calibrate().ids.tolist(), before.calibrate().peaks.tolist(), strict=True))
    now = dict(zip(after.calibrate().ids.tolist(), after.calibrate().peaks.tolist(), strict=True))
    usual = after.calibrate().places
    pictures, alarms = {image.id: image for image in parts.images}, 0
    for id in gone:
        mates = [image.id for image in parts.images if image.group == pictures[id].group]
        alone = Detector(parts.without({*gone, *mates}), settings)
        row = [image.id for image in parts.images].index(id)
        (pyramid,) = parts.gallery([row])
        image = pictures[id]
        described = Described(image.name, image.sha256, image.height, image.width, pyramid, b"")
        inspection = alone.align(alone.judge(described))
        now[id] = peak(inspection)
        alarms += usual.scores(inspection.alignment.distance).max() > after.threshold.value
    lost = outcome(before, after)
    rise = [now[id] / then[id] - 1 for id in then]
    assert (lost.alarms, lost.gone) == (alarms, 15)
    assert (lost.median_rise, lost.highest_rise) == (pytest.approx(np.median(rise), abs=1e-5), pytest.approx(max(rise)))
    assert alarms > 0


def test_groups_that_the_smaller_bank_does_not_show_count_for_it(parts):
    """Groups are seen in the larger bank only; the frames of one part that remain are scored without each other."""
    settings = Settings(gallery_size=4, gate=1.0, decided_by="alignment")
    named = Detector(parts, settings, 0.3)
    kept = choose(parts, 15)
    gone = [image.id for image in parts.images if image.id not in kept]
    expected = outcome(named, Detector(parts.without(gone), settings, 0.3))
    after = Detector(parts.without(gone), settings, 0.3)
    rule, groups = after.rule, [image.group for image in after.bank.images]
    too_low = np.array([0.1 if groups.count(group) > 1 else 1 for group in groups])  # a mate is near
    assert too_low.min() < 1
    alone = replace(rule.calibration, groups=Groups.single(15), peaks=too_low * rule.calibration.peaks)
    after._rule = replace(rule, calibration=alone)
    lost = outcome(named, after)
    assert lost.median_rise == pytest.approx(expected.median_rise)
    assert bank_groups(named).number.tolist() == np.repeat(np.arange(10), 3).tolist()
