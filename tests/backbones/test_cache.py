"""The cache folder: whole files under their names, checked whenever they are loaded."""

import hashlib
import shutil

import numpy as np
import pytest

from anomalign import BackboneError, Bank, Framing, InputError, load_backbone
from anomalign.backbones import cache
from tests import tiny


def place(name, seed=0):
    with cache.placing(name) as path:
        tiny.write(path, seed)
    return cache.path_of(name)


def test_a_placed_file_is_found_by_its_name_and_has_its_sha256_beside_it(cache_folder):
    path = place("mine")
    assert path == cache_folder / "mine.onnx"
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (cache_folder / "mine.onnx.sha256").read_text() == f"{expected}  mine.onnx\n"
    assert sorted(entry.name for entry in cache_folder.iterdir()) == ["mine.onnx", "mine.onnx.sha256"]
    assert cache.names() == ("mine",)
    backbone = load_backbone("mine")
    assert (backbone.sha256, backbone.reference) == (expected, "mine")


def test_a_file_elsewhere_is_referred_to_by_its_path_and_the_bundled_one_by_its_name(cache_folder, tmp_path):
    assert load_backbone(tiny.write(tmp_path / "t.onnx")).reference == str((tmp_path / "t.onnx").resolve())
    assert load_backbone().reference == "efficientnet_lite0"


def test_an_altered_file_is_never_loaded_by_name(cache_folder):
    path = place("mine")
    shutil.copy(tiny.write(cache_folder / "other.onnx", seed=1), path)
    with pytest.raises(BackboneError, match=r"mine\.onnx: damaged or altered .* again with replace=True"):
        load_backbone("mine")


@pytest.mark.parametrize("note", [None, "", "\xff"])
def test_a_file_without_its_sha256_is_not_loaded_by_name(cache_folder, note):
    place("mine")
    (cache_folder / "mine.onnx.sha256").unlink()
    if note is not None:
        (cache_folder / "mine.onnx.sha256").write_text(note, encoding="latin-1")
    with pytest.raises(BackboneError, match=r"mine\.onnx: no sha256 can be read beside it \(mine\.onnx\.sha256\)"):
        load_backbone("mine")


def test_an_interrupted_write_changes_nothing(cache_folder):
    before = place("mine").read_bytes()

    def interrupted():
        with cache.placing("mine") as path:
            path.write_bytes(b"half a fi")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sorted(entry.name for entry in cache_folder.iterdir()) == ["mine.onnx", "mine.onnx.sha256"]
    assert load_backbone("mine").path.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ANOMALIGN_BACKBONES", str(tmp_path / "file" / "below"))
    with pytest.raises(BackboneError, match=r"mine\.onnx: cannot be written .*ANOMALIGN_BACKBONES"):
        place("mine")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x.onnx", "a b", "C:x"])
def test_names_that_could_be_paths_are_refused(cache_folder, name):
    with pytest.raises(InputError, match="cannot be a backbone's name"):
        cache.path_of(name)


def test_a_taken_name_is_refused_unless_it_may_be_replaced(cache_folder):
    place("mine")
    with pytest.raises(BackboneError, match=r"mine\.onnx: exists already; .*replace=True"):
        cache.refuse_taken("mine", replace=False)
    cache.refuse_taken("mine", replace=True)
    cache.refuse_taken("other", replace=False)


def test_without_the_variable_the_folder_is_the_users_cache(monkeypatch):
    platformdirs = pytest.importorskip("platformdirs")
    monkeypatch.delenv("ANOMALIGN_BACKBONES", raising=False)
    assert str(cache.folder()).startswith(platformdirs.user_cache_dir("anomalign"))
    assert cache.folder().name == "backbones"


def test_unknown_names_say_what_is_known_and_what_is_here(cache_folder):
    place("mine")
    with pytest.raises(BackboneError) as caught:
        load_backbone("resnet99")
    assert "resnet99: unknown backbone; here are efficientnet_lite0, mine; known are" in str(caught.value)
    assert "wide_resnet50_2" in str(caught.value)
    for name, how in (
        ("resnet50", "anomalign backbones pull resnet50"),
        ("efficientnet_lite1", r"python tools/convert_efficientnet_lite\.py 1"),
    ):
        with pytest.raises(BackboneError, match=rf"{name}: not in .*cache yet; run once: {how}"):
            load_backbone(name)


def test_sides_that_are_no_multiples_are_refused_with_those_that_are(tmp_path):
    backbone = load_backbone(tiny.write(tmp_path / "p.onnx", multiple="16"))
    assert backbone.layout(48, 48)[1] == 8
    with pytest.raises(BackboneError, match=r"p\.onnx: .* multiples of 16 pixels, not 50 x 50; 48 or 64 would do"):
        backbone.run(np.zeros((1, 50, 50, 3), np.uint8))
    with pytest.raises(BackboneError, match="48 or 64 would do"):
        Bank.create(tmp_path / "bank", backbone, Framing(50))
    assert not (tmp_path / "bank").exists()


@pytest.mark.parametrize("entry", [{"multiple": "0"}, {"multiple": "many"}, {"parameters": "x"}, {"shapes": "[1]"}])
def test_unusable_optional_metadata_is_refused(tmp_path, entry):
    with pytest.raises(BackboneError, match=r"f\.onnx: does not say how it is to be used"):
        load_backbone(tiny.write(tmp_path / "f.onnx", **entry))
