"""What a backbone's file says its levels should count: kept in the bank, used unless settings say otherwise."""

import numpy as np
import pytest

from anomalign import PRESETS, BackboneError, Bank, Detector, Framing, InputError, Settings, load_backbone
from anomalign.backbones import Preprocessing, import_backbone
from tests import tiny
from tests.pictures import texture

PLAIN = Preprocessing("rgb", (10.0, 20.0, 30.0), (50.0, 60.0, 70.0), 64, 64)
LEVELS = ["level1", "level2", "level3"]


def normals():
    return [texture(seed) for seed in range(20)]


def fitted(path, **entries):
    bank = Bank.create(path / "bank", load_backbone(tiny.write(path / "tiny.onnx", **entries)), Framing(64))
    bank.add(normals())
    return bank


def map_with(bank, **settings):
    return Detector(bank, Settings(gate=1.0, **settings), 0.1).inspect(texture(100)).anomaly_map


def test_they_serve_where_settings_say_nothing(tmp_path):
    bank = fitted(tmp_path, level_weights="[1, 0.5, 0]")
    assert Bank.open(bank.path, bank.backbone).identity.level_weights == (1.0, 0.5, 0.0)
    np.testing.assert_array_equal(map_with(bank), map_with(bank, level_weights=(1.0, 0.5, 0.0)))
    assert (map_with(bank) != map_with(bank, level_weights=(1.0,))).any()


def test_one_weight_is_that_of_every_level(tmp_path):
    bank = fitted(tmp_path, level_weights="[1, 0.5, 0]")
    np.testing.assert_array_equal(map_with(bank, level_weights=(1.0,)), map_with(bank, level_weights=(1.0, 1.0, 1.0)))
    assert PRESETS["paper"].level_weights == (1.0,)


def test_a_file_that_says_nothing_has_levels_that_count_alike(tmp_path):
    bank = fitted(tmp_path)
    assert bank.identity.level_weights is None
    np.testing.assert_array_equal(map_with(bank), map_with(bank, level_weights=(1.0,)))


@pytest.mark.parametrize("given", ["[1, 1]", "[0, 0, 0]", "[1, -1, 1]", "[1, 1, Infinity]", "[1, null, 1]", "7"])
def test_a_file_with_weights_that_cannot_be_is_refused(tmp_path, given):
    with pytest.raises(BackboneError, match="does not say how it is to be used"):
        load_backbone(tiny.write(tmp_path / "tiny.onnx", level_weights=given))


def test_import_writes_them(cache_folder, tmp_path):
    file = tiny.write(tmp_path / "foreign.onnx")
    import_backbone(file, "mine", LEVELS, "pooled", PLAIN, level_weights=[1, 0.5, 2])
    assert load_backbone("mine").level_weights == (1.0, 0.5, 2.0)
    with pytest.raises(InputError, match="needs 3 numbers"):
        import_backbone(file, "other", LEVELS, "pooled", PLAIN, level_weights=[1, 0.5])
