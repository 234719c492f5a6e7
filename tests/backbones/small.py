"""Small networks of the kinds that come in from elsewhere."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PATCH, CHANNELS = 4, 6


def resnet_tensors(seed=0, width=4, blocks=2):
    """Tensors of a ResNet of basic blocks, named as torchvision names them; a few kilobytes."""
    rng = np.random.default_rng(seed)
    tensors = {}

    def add(conv, norm, shape):
        tensors[conv + ".weight"] = (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
            tensors[f"{norm}.{name}"] = (low + rng.random(shape[0])).astype(np.float32)
        tensors[norm + ".num_batches_tracked"] = np.array(1)

    add("conv1", "bn1", (width, 3, 7, 7))
    inside = width
    for stage in range(1, 5):
        outside = width << (stage - 1)
        for number in range(blocks):
            name = f"layer{stage}.{number}."
            add(name + "conv1", name + "bn1", (outside, inside, 3, 3))
            add(name + "conv2", name + "bn2", (outside, outside, 3, 3))
            if inside != outside:
                add(name + "downsample.0", name + "downsample.1", (outside, inside, 1, 1))
            inside = outside
    tensors["fc.weight"] = rng.normal(size=(5, inside)).astype(np.float32)
    return tensors


def write_vit(path, leading=1, batch=None):
    """A network of tokens: `leading` constant ones, then one a patch, (N, leading + h w, C) as `tokens`.

    `patches` (N, C, h, w) is what the tokens of the image are made of.
    """
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(size=(CHANNELS, 3, PATCH, PATCH)).astype(np.float32),
        "lead": rng.normal(size=(1, leading, CHANNELS)).astype(np.float32),
        "flat": np.array([0, 0, -1]),
        "zero": np.array([0]),
        "one": np.array([1]),
        "ones": np.array([1, 1]),
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["patches"], strides=[PATCH, PATCH]),
        helper.make_node("Reshape", ["patches", "flat"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["of_image"], perm=[0, 2, 1]),
        helper.make_node("Shape", ["image"], ["size"]),
        helper.make_node("Slice", ["size", "zero", "one"], ["n"]),
        helper.make_node("Concat", ["n", "ones"], ["many"], axis=0),
        helper.make_node("Tile", ["lead", "many"], ["leading"]),
        helper.make_node("Concat", ["leading", "of_image"], ["tokens"], axis=1),
        helper.make_node("ReduceMean", ["of_image"], ["vector"], axes=[1], keepdims=0),
    ]
    shape = [batch or "n", 3, 8, 8] if batch else ["n", 3, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "vit",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("tokens", "vector")],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
