"""Other settings on the same defects: the bank stays, and only differences that are more than luck are recommended."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from anomalign import Bank, Detector, Framing, InputError, Reading, RegionOfInterest, Settings
from anomalign.detection import trials
from tests.detection.conftest import NORMALS
from tests.pictures import save


@pytest.fixture(scope="module")
def detector(bank_of_files):
    return Detector(bank_of_files, Settings(gallery_size=4))


@pytest.fixture(scope="module")
def plan(detector):
    return detector.plan_defects(8, sizes=(0.1, 0.3))


@pytest.fixture(scope="module")
def now(detector, plan):
    return detector.check_plan(plan)


def test_a_setting_that_is_the_same_finds_the_same(detector, plan, now, tmp_path):
    trial = trials.run_trial(detector, plan, now, "gallery_size=4", tmp_path / "bank")
    assert trial.power.outcomes == now.outcomes
    assert (trial.gain, trial.p_value) == (0, 1)


def test_a_bank_of_the_same_size_finds_the_same(detector, plan, now, tmp_path):
    """A new bank is made from the files, and thrown away by the caller."""
    trial = trials.run_trial(detector, plan, now, "size=64", tmp_path / "bank")
    assert [one.found for one in trial.power.outcomes] == [one.found for one in now.outcomes]
    assert (tmp_path / "bank").exists()


def test_another_size_is_a_bank_of_that_size(detector, plan, tmp_path):
    other = trials.changed(detector, plan, "size=96", tmp_path / "bank")
    assert other.bank.identity.framing == Framing(96)
    assert [image.sha256 for image in other.bank.images] == [image.sha256 for image in detector.bank.images]
    assert other.settings == detector.settings


def test_another_size_keeps_the_region_of_interest_and_the_reading(normal_files, tmp_path, tiny_backbone):
    region = RegionOfInterest(8, 4, 48, 52)
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64, 80, region), reading=Reading(bits=12))
    bank.add(normal_files)
    detector = Detector(bank)
    other = trials.changed(detector, detector.plan_defects(2), "size=96", tmp_path / "new")
    assert other.bank.identity.framing == Framing(96, 120, region)
    assert other.bank.identity.reading == Reading(bits=12)


def test_orientations_are_tried(detector, plan, now, tmp_path):
    trial = trials.run_trial(detector, plan, now, "augment=flip", tmp_path / "bank")
    assert trial.bank_bytes > 1.9 * NORMALS * detector.bank.identity.bytes_per_image


def test_fewer_normal_images_keep_those_that_are_drawn_into(detector, plan, tmp_path):
    other = trials.changed(detector, plan, "normals=10", tmp_path / "bank")
    assert len(other.bank) == 10
    assert {one.image.id for one in plan.pictures} <= {image.id for image in other.bank.images}
    assert other.target_fpr == pytest.approx(max(detector.target_fpr, 1 / (other.groups.count + 1)))


@pytest.mark.parametrize("setting", ["gallery_size=2", "decided_by=alignment", "normals=12", "size=96"])
def test_no_trial_changes_the_bank(detector, plan, now, tmp_path, setting):
    detector.calibrate()
    before = {p: p.read_bytes() for p in sorted(detector.bank.path.rglob("*")) if p.is_file()}
    trials.run_trial(detector, plan, now, setting, tmp_path / "bank")
    assert {p: p.read_bytes() for p in sorted(detector.bank.path.rglob("*")) if p.is_file()} == before


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("size", "SETTING=VALUE"),
        ("speed=3", "speed"),
        ("size=big", "whole number"),
        ("top_share=many", "number"),
        ("gallery_size=0", "gallery_size"),
        ("normals=3", "between 8"),
        ("normals=1000", "24"),
        ("decided_by=me", "decided_by"),
    ],
)
def test_wrong_settings_are_refused(detector, plan, tmp_path, setting, named):
    with pytest.raises(InputError, match=named):
        trials.changed(detector, plan, setting, tmp_path / "bank")


def test_advice_is_what_a_command_can_set(detector, tmp_path, tiny_backbone):
    tried = trials.advice(detector.bank)
    assert tried[:3] == ["size=320", "gallery_size=30", "size=448"]
    assert "backbone=efficientnet_lite0" in tried
    larger = Bank.create(tmp_path / "larger", "efficientnet_lite0", Framing(320))
    assert "size=320" not in trials.advice(larger)
    assert "backbone=efficientnet_lite0" not in trials.advice(larger)


def test_files_that_are_gone_are_named(tmp_path, tiny_backbone):
    files = save(tmp_path / "files", 12)
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
    bank.add(files)
    detector = Detector(bank)
    plan = detector.plan_defects(4)
    files[3].unlink()
    files[5].write_bytes(files[6].read_bytes())
    with pytest.raises(InputError, match=r"003\.png and 1 others"):
        trials.changed(detector, plan, "size=96", tmp_path / "new")
    trials.changed(detector, plan, "gallery_size=3", tmp_path / "new")


def test_p_value_is_that_of_all_signs():
    """Against all 2^9 signs, one by one."""
    gains = np.array([0.3, 0.1, -0.05, 0.2, 0.15, 0.0, 0.1, -0.1, 0.25])
    signs = np.array(list(itertools.product([-1, 1], repeat=len(gains))))
    exact = (np.abs(signs @ gains) >= gains.sum() - 1e-12).mean()
    assert trials._p_value(gains) == pytest.approx(exact, abs=0.01)
    assert trials._p_value(np.zeros(5)) == 1


def test_gain_is_the_mean_over_images_of_what_more_is_found(now):
    """Slowly: one image after the other."""
    outcomes = tuple(replace(one, found=place % 3 == 0) for place, one in enumerate(now.outcomes))
    other = replace(now, outcomes=outcomes)
    expected = []
    for sha256 in dict.fromkeys(one.sha256 for one in now.outcomes):
        pairs = [(a.found, b.found) for a, b in zip(outcomes, now.outcomes, strict=True) if a.sha256 == sha256]
        expected.append(np.mean([a - b for a, b in pairs]))
    np.testing.assert_allclose(trials._gains(now, other), expected)


def test_p_values_are_corrected_for_their_number(now):
    """Holm (1979): of three, the least counts three times, the next twice; never less than one before."""
    made = [trials.Trial(f"kappa={k}", now, 0.1, p, 1.0, 1, 24) for k, p in ((1, 0.03), (2, 0.01), (3, 0.02))]
    assert [one.p_value for one in trials.corrected(made)] == pytest.approx([0.04, 0.03, 0.04])


def test_only_a_certain_gain_is_recommended(now):
    def trial(gain, p_value):
        return trials.Trial("kappa=2", now, gain, p_value, 1.0, 1, 24)

    assert trials.recommended([trial(0.3, 0.2), trial(-0.2, 0.001)]) is None
    best = trial(0.2, 0.01)
    assert trials.recommended([trial(0.3, 0.2), trial(0.1, 0.001), best]) is best
    assert trials.recommended([]) is None
