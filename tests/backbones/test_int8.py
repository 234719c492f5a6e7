"""Networks in int8: the arithmetic against plain NumPy, which layers stay in float, the same bits in any company."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from anomalign import BackboneError, load_backbone
from anomalign.backbones import Preprocessing, int8
from anomalign.backbones.backbone import Backbone
from anomalign.backbones.description import Description
from anomalign.backbones.graph import describe_model
from anomalign.backbones.resnet import LEVELS, build_resnet
from tests import tiny
from tests.backbones.small import resnet_tensors
from tests.pictures import texture

IMAGES = [texture(seed) for seed in range(12)]
PLAIN = Preprocessing("rgb", (0.0,) * 3, (255.0,) * 3, 64, 64)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    path = tmp_path_factory.mktemp("resnet") / "resnet.onnx"
    model = build_resnet(resnet_tensors(width=8))
    describe_model(model, Description("small", LEVELS, "pooled", PLAIN))
    onnx.save(model, path)
    return load_backbone(path)


def quantized(backbone, path, images=IMAGES):
    made = int8.quantize(backbone, images)
    onnx.save(made.model, path)
    return made, Backbone(path)


def whole_numbers(model):
    """Weights in int8, by name."""
    return {
        weight.name: numpy_helper.to_array(weight)
        for weight in model.graph.initializer
        if weight.data_type == TensorProto.INT8 and len(weight.dims) > 1
    }


def rounded(x, least, greatest):
    """To the 256 steps between two values, of which one is 0."""
    scale = (max(greatest, 0) - min(least, 0)) / 255
    zero = np.round(-min(least, 0) / scale)
    return (np.clip(np.round(x / scale) + zero, 0, 255) - zero) * scale, scale


def test_a_network_of_known_arithmetic(tmp_path, tiny_backbone):
    """Level 1: cells' means and weights rounded to their steps, multiplied, and rounded to the steps of the result."""
    made, found = quantized(tiny_backbone, tmp_path / "int8.onnx")
    assert (made.layers, made.in_float, made.images) == (3, 0, 12)
    tensors = (np.stack(IMAGES).astype(float) - [10, 20, 30]) / [50, 60, 70]
    cells = tensors.reshape(12, 16, 4, 16, 4, 3).mean(axis=(2, 4))
    weights = np.random.default_rng(0).normal(size=(4, 3))
    results = cells @ weights.T
    steps = np.abs(weights).max(axis=1, keepdims=True) / 64
    products = rounded(cells, cells.min(), cells.max())[0] @ (np.round(weights / steps) * steps).T
    expected, step = rounded(products, results.min(), results.max())
    levels = np.stack([pyramid.levels[0] for pyramid in found.run(IMAGES)]).astype(float)
    difference = np.abs(levels - expected)
    half_precision = np.abs(expected).max() * 2**-11
    assert difference.max() <= step + half_precision  # rounding of what lies between two steps may go either way
    assert np.mean(difference > half_precision) < 0.02
    assert np.abs(levels - results).max() > half_precision  # it is not the network as it was


def test_weights_keep_to_seven_bits_so_that_no_processor_saturates(tmp_path, resnet):
    weights = whole_numbers(quantized(resnet, tmp_path / "int8.onnx")[0].model)
    assert weights
    assert all(np.abs(weight.astype(int)).max() <= 64 for weight in weights.values())


def test_levels_differ_by_no_more_than_is_allowed_and_as_few_layers_as_that_takes_stay(tmp_path, resnet, monkeypatch):
    def difference(made):
        onnx.save(made.model, tmp_path / "int8.onnx")
        found, expected = (b.run(IMAGES[:8]) for b in (Backbone(tmp_path / "int8.onnx"), resnet))
        return max(
            np.linalg.norm(
                np.stack([x.levels[n].astype(float) - y.levels[n] for x, y in zip(found, expected, strict=True)])
            )
            / np.linalg.norm(np.stack([y.levels[n].astype(float) for y in expected]))
            for n in range(3)
        )

    monkeypatch.setattr(int8, "LARGEST_DIFFERENCE", np.inf)
    all_of_it = int8.quantize(resnet, IMAGES)
    assert (all_of_it.in_float, len(whole_numbers(all_of_it.model))) == (0, all_of_it.layers)
    allowed = difference(all_of_it) / 2
    monkeypatch.setattr(int8, "LARGEST_DIFFERENCE", allowed)
    made = int8.quantize(resnet, IMAGES)
    assert 0 < made.in_float < made.layers
    assert len(whole_numbers(made.model)) == made.layers - made.in_float
    assert difference(made) <= allowed * 1.001


@pytest.mark.parametrize("which", ["resnet", "bundled"])
def test_the_same_image_gives_the_same_bits_alone_in_a_batch_and_on_more_threads(tmp_path, resnet, which):
    backbone = resnet if which == "resnet" else load_backbone()
    found = quantized(backbone, tmp_path / "int8.onnx")[1]
    images = np.stack([texture(seed, 224, 224) for seed in range(5)])
    together = found.run(images)
    assert all(level.dtype == np.float16 for level in together[0].levels)
    assert together[0].pooled.dtype == np.float32
    for threads in (1, 2):
        for image, expected in zip(images, together, strict=True):
            (alone,) = found.run(image[None], threads)
            assert all((a == b).all() for a, b in zip(alone.levels, expected.levels, strict=True))
            assert (alone.pooled == expected.pooled).all()


def write_attention(path, opset=13):
    """Patches as tokens x; level = (x W) (x W)^T x, laid out as a map: one product with weights, two of activations."""
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(size=(6, 3, 8, 8)).astype(np.float32),
        "w": rng.normal(size=(6, 6)).astype(np.float32),
        "flat": np.array([0, 0, -1]),
        "size": np.array([0, 6, 8, 8]),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["patches"], strides=[8, 8]),
        helper.make_node("Reshape", ["patches", "flat"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["x"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "w"], ["q"]),
        helper.make_node("Transpose", ["q"], ["k"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "k"], ["product"]),
        helper.make_node("Softmax", ["product"], ["attention"], axis=-1),
        helper.make_node("MatMul", ["attention", "q"], ["mixed"]),
        helper.make_node("Transpose", ["mixed"], ["columns"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["columns", "size"], ["level"]),
        helper.make_node("ReduceMean", ["columns"], ["pooled"], axes=[2], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("level", "pooled")],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    describe_model(model, Description("attention", ("level",), "pooled", PLAIN))
    onnx.save(model, path)
    return load_backbone(path)


def test_products_of_two_activations_stay_in_float(tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "LARGEST_DIFFERENCE", np.inf)
    made, _ = quantized(write_attention(tmp_path / "attention.onnx"), tmp_path / "int8.onnx")
    assert (made.layers, made.in_float) == (2, 0)
    makers = {output: node.op_type for node in made.model.graph.node for output in node.output}
    products = [node for node in made.model.graph.node if node.op_type == "MatMul"]
    from_int8 = [[makers.get(name) == "DequantizeLinear" for name in node.input] for node in products]
    assert sorted(from_int8) == [[False, False], [False, False], [True, True]]


def test_what_cannot_be_quantized_is_named(tmp_path, tiny_backbone, monkeypatch):
    with pytest.raises(BackboneError, match=r"old\.onnx: has ONNX opset 11; int8 needs 13 or newer"):
        int8.quantize(write_attention(tmp_path / "old.onnx", opset=11), IMAGES)
    model = onnx.load(tiny.write(tmp_path / "plain.onnx", levels=json.dumps(["pool1"]), pooled="flat"))
    del model.graph.node[1:], model.graph.output[:], model.graph.initializer[:]
    model.graph.node.append(helper.make_node("GlobalAveragePool", ["pool1"], ["flat"]))
    model.graph.output.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("pool1", "flat"))
    onnx.save(model, tmp_path / "plain.onnx")
    with pytest.raises(BackboneError, match=r"plain\.onnx: it has no layer with weights"):
        int8.quantize(load_backbone(tmp_path / "plain.onnx"), IMAGES)
    monkeypatch.setattr(int8, "LARGEST_DIFFERENCE", 0.0)
    with pytest.raises(BackboneError, match=r"tiny\.onnx: none of its 3 layers can be int8"):
        int8.quantize(tiny_backbone, IMAGES)
