"""The window of stage 2 is chosen by how well normal images are matched within it."""

import numpy as np
import pytest

from anomalign import Bank, Detector, Framing, InputError, Settings
from anomalign.detection import window as module
from tests.pictures import texture

FRAMING = Framing((64, 128))  # with the tiny backbone a grid of 8 x 16
SETTINGS = {"image_neighbours": 2, "gallery_size": 4}


def noisy(image, seed):
    return np.clip(image + np.random.default_rng(seed).normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def still(seed):
    """A part that lies where it always lies."""
    return noisy(texture(0, 64, 128), seed)


def moving(seed):
    """A part that lies anywhere."""
    down, right = np.random.default_rng(seed).integers(0, (64, 128))
    return noisy(np.roll(texture(0, 64, 128), (down, right), (0, 1)), seed)


def detector(backbone, folder, part, **settings):
    bank = Bank.create(folder, backbone, FRAMING)
    bank.add([part(seed) for seed in range(16)])
    return Detector(bank, Settings(**SETTINGS, **settings))


@pytest.fixture
def every_grid_is_large(monkeypatch):
    monkeypatch.setattr(module, "_SMALL", 127)
    monkeypatch.setattr(module, "_COARSE", 128)
    monkeypatch.setattr(module, "_TRIED", (2, 3))


def test_a_part_that_lies_still_gets_a_small_window(tiny_backbone, tmp_path, every_grid_is_large):
    assert detector(tiny_backbone, tmp_path / "bank", still).rule.calibration.window == 2


def test_a_part_that_moves_gets_none_while_that_can_be_afforded(
    tiny_backbone, tmp_path, every_grid_is_large, monkeypatch
):
    found = detector(tiny_backbone, tmp_path / "bank", moving)
    assert found.rule.calibration.window is None
    monkeypatch.setattr(module, "_LARGE", 127)
    found.bank.add([moving(99)])
    assert Detector(found.bank, found.settings).rule.calibration.window == 3  # the widest


def test_small_grids_have_no_window(tiny_backbone, tmp_path):
    assert detector(tiny_backbone, tmp_path / "bank", still).rule.calibration.window is None


def test_a_given_window_is_used_and_a_moved_part_of_the_image_is_then_anomalous(tiny_backbone, tmp_path):
    image = noisy(texture(0, 64, 128), 99)
    image[16:48, 80:112] = texture(0, 64, 128)[16:48, 8:40]  # normal, but elsewhere
    free = detector(tiny_backbone, tmp_path / "free", still, window=None).inspect(image)
    bound = detector(tiny_backbone, tmp_path / "bound", still, window=2)
    assert bound.rule.calibration.window == 2
    inspection = bound.align(bound.inspect(image))
    assert inspection.verdict == "anomalous"
    assert inspection.image_score > free.image_score
    match = inspection.match_at(32, 96)
    assert abs(match.y - 32) <= 2.5 * 8
    assert abs(match.x - 96) <= 2.5 * 8


def test_edits_give_the_calibration_of_a_new_bank_also_where_the_window_changes(
    tiny_backbone, tmp_path, every_grid_is_large
):
    edited = detector(tiny_backbone, tmp_path / "edited", still)
    edited.calibrate()
    bank = edited.bank
    bank.remove([image.id for image in bank.images[:10]])
    bank.add([moving(seed) for seed in range(30)])
    after = Detector(bank, edited.settings).calibrate()
    new = Bank.create(tmp_path / "new", tiny_backbone, FRAMING)
    new.add([*(still(seed) for seed in range(10, 16)), *(moving(seed) for seed in range(30))])
    expected = Detector(new, edited.settings).calibrate()
    assert after.window is None
    assert expected.window is None
    np.testing.assert_array_equal(after.alignment, expected.alignment)
    np.testing.assert_array_equal(after.places.mean, expected.places.mean)


def test_the_calibration_keeps_the_window(tiny_backbone, tmp_path, every_grid_is_large):
    first = detector(tiny_backbone, tmp_path / "bank", still)
    first.calibrate()
    again = Detector(Bank.open(tmp_path / "bank", tiny_backbone), first.settings)
    assert again.rule.calibration.window == 2
    image = still(99)
    assert again.inspect(image).image_score == first.inspect(image).image_score


@pytest.mark.parametrize("window", [-1, 2.5, True, "wide"])
def test_other_windows_are_refused(window):
    with pytest.raises(InputError, match="window is .*; must be a number of cells, 'auto' or None"):
        Settings(window=window)
