"""Which images may go, against trying each; and what it costs, against chance."""

import numpy as np
import pytest

from anomalign import Bank, Detector, Framing, InputError, Settings
from anomalign.curation.subset_selection import choose, least_missed, outcome
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


def test_what_is_lost_is_what_scoring_every_image_anew_says(tmp_path):
    bank = Bank.create(tmp_path / "bank", framing=Framing(64))
    bank.add([texture(seed) for seed in range(30)])
    settings = Settings(gallery_size=4, gate=1.0, decided_by="alignment")
    before = Detector(bank, settings, 0.3)
    kept = choose(bank, 20)
    gone = [image.id for image in bank.images if image.id not in kept]
    after = Detector(bank.without(gone), settings, 0.3)
    lost = outcome(before, after)
    anew = [after.inspect(texture(id - 1)) for id in gone]  # ids count from 1 in the order of the seeds
    assert lost.alarms == sum(inspection.verdict == "anomalous" for inspection in anew)
    assert (lost.threshold_before, lost.threshold_after) == (before.threshold.value, after.threshold.value)
    rises = dict(zip(before.calibrate().ids.tolist(), before.calibrate().alignment.tolist(), strict=True))
    now = dict(zip(after.calibrate().ids.tolist(), after.calibrate().alignment.tolist(), strict=True))
    now |= {id: inspection.image_score for id, inspection in zip(gone, anew, strict=True)}
    rise = [now[id] / rises[id] - 1 for id in rises]
    assert (lost.median_rise, lost.highest_rise) == (pytest.approx(np.median(rise)), pytest.approx(max(rise)))
    assert (lost.scored, lost.gone) == (30, 10)
    assert lost.alarms > 0  # else nothing was compared
