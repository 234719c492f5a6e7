"""Models of timm as backbones: what PyTorch gives is what the graph gives, at sizes that it was not traced with."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from anomalign import BackboneError, InputError, load_backbone
from anomalign.backbones import export_backbone, hub, pull_backbone
from tests.pictures import texture

torch = pytest.importorskip("torch", reason="timm's models are PyTorch's: pip install 'anomalign[torch]'")


def declare_kernels():
    """Let torchvision be imported though its compiled part, of which timm needs none here, is for another torch."""
    spec = find_spec("torchvision")
    for file in Path(spec.origin).parent.glob("_C.*") if spec else ():
        try:
            torch.ops.load_library(file)
        except OSError:
            for name in ("nms", "qnms"):
                torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou) -> Tensor")


declare_kernels()
timm = pytest.importorskip("timm", reason="needs timm: pip install 'anomalign[torch]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch warns that its exporter will go, timm of others' changes


def features(name, image, levels, preprocessing, **options):
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0, **options).eval()
    with torch.no_grad():
        tensor = torch.from_numpy(preprocessing.apply(image[None]))
        final, maps = network.forward_intermediates(tensor, indices=levels, output_fmt="NCHW")
        pooled = network.forward_head(final, pre_logits=True)
    return [x[0].permute(1, 2, 0).numpy() for x in maps], pooled[0].numpy()


@pytest.mark.parametrize(
    ("name", "levels", "used", "shapes", "multiple", "options"),
    [
        ("resnet18", None, [1, 2, 3], ((64, 4), (128, 8), (256, 16)), 1, {}),
        ("resnet18", [2, 4], [2, 4], ((128, 8), (512, 32)), 1, {}),
        ("mobilenetv3_small_100", None, [1, 2, 3], ((16, 4), (24, 8), (48, 16)), 1, {}),
        ("vit_tiny_patch16_224", None, [2, 5, 8], ((192, 16),) * 3, 16, {"dynamic_img_size": True}),
        ("vit_small_patch14_reg4_dinov2", [11], [11], ((384, 14),), 14, {"dynamic_img_size": True}),
    ],
)
def test_a_random_model_gives_what_timm_gives(cache_folder, name, levels, used, shapes, multiple, options):
    torch.manual_seed(0)
    path = export_backbone(name, levels, pretrained=False)
    assert path == cache_folder / f"{name}.onnx"
    backbone = load_backbone(name)
    assert (backbone.level_shapes, backbone.multiple) == (shapes, multiple)
    size = 10 * multiple if multiple > 1 else 160
    image = texture(0, size, size)
    (found,) = backbone.run(image[None])
    maps, pooled = features(name, image, used, backbone.preprocessing, **options)
    for a, b in zip((*found.levels, found.pooled), (*maps, pooled), strict=True):
        assert a.shape == b.shape
        assert np.linalg.norm(a.astype(float) - b) <= 0.01 * np.linalg.norm(b)


def test_preprocessing_and_provenance_are_those_of_timm(cache_folder):
    export_backbone("resnet18", pretrained=False, name="mine")
    backbone = load_backbone("mine")
    config = timm.get_pretrained_cfg("resnet18")
    assert backbone.preprocessing.mean == pytest.approx([255 * x for x in config.mean])
    assert (backbone.preprocessing.crop_px, backbone.preprocessing.color) == (config.input_size[-1], "rgb")
    assert backbone.provenance == {"licence": "random weights", "source": "random weights, for tests only"}


def test_pulled_weights_reach_the_exported_network(cache_folder, tmp_path, monkeypatch):
    """The hub's file of DINOv2, with random weights in place of those that are trained."""
    from dataclasses import replace

    from safetensors.torch import save_file

    from anomalign.backbones.known import KNOWN

    name = "dinov2_vits14"
    torch.manual_seed(0)
    network = timm.create_model(KNOWN[name].timm, num_classes=0)
    file = tmp_path / "model.safetensors"
    save_file(network.state_dict(), file)
    known = replace(KNOWN[name], weights=replace(KNOWN[name].weights, sha256=None))
    monkeypatch.setitem(KNOWN, name, known)
    monkeypatch.setattr(hub, "download", lambda _: file)
    pull_backbone(name)
    backbone = load_backbone(name)
    assert backbone.parameters == known.parameters
    assert backbone.level_shapes == known.shapes
    assert backbone.provenance["licence"] == "Apache-2.0"
    assert (backbone.preprocessing.resize_px, backbone.preprocessing.crop_px) == (256, 224)
    (found,) = backbone.run(texture(0, 112, 112)[None])
    maps, pooled = features(known.timm, texture(0, 112, 112), [2, 5, 8], backbone.preprocessing, dynamic_img_size=True)
    for a, b in zip((*found.levels, found.pooled), (*maps, pooled), strict=True):
        assert np.linalg.norm(a.astype(float) - b) <= 0.01 * np.linalg.norm(b)


@pytest.mark.parametrize(
    ("name", "levels", "error", "message"),
    [
        ("no_such_model", None, BackboneError, "no_such_model: timm cannot create it"),
        ("resnet18", [9], InputError, r"levels are \[9\]; resnet18 has features 0 to 4"),
        ("resnet18", [2, 1], InputError, "in increasing order"),
        ("mobilevit_xxs", None, BackboneError, "mobilevit_xxs: its graph accepts one image size only"),
    ],
)
def test_what_cannot_be_exported_says_why(cache_folder, name, levels, error, message):
    with pytest.raises(error, match=message):
        export_backbone(name, levels, pretrained=False)
    assert not list(cache_folder.glob("*"))
