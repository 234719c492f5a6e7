"""A real ONNX backbone of a few kilobytes, so that most tests need neither the bundled weights nor time."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = {4: 4, 8: 6, 16: 8}  # stride: channels


def write(path: Path, seed: int = 0, scale: float = 1.0, color: str = "rgb", **metadata: str | None) -> Path:
    """Average pooling, then a 1x1 convolution with seeded weights, a level; None as metadata leaves an entry out."""
    rng = np.random.default_rng(seed)
    nodes, weights, outputs = [], [], []
    for number, (stride, channels) in enumerate(CHANNELS.items(), 1):
        kernel = (scale * rng.normal(size=(channels, 3, 1, 1))).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{number}"))
        pool = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        nodes.append(helper.make_node("AveragePool", ["input"], [f"pool{number}"], **pool))
        nodes.append(helper.make_node("Conv", [f"pool{number}", f"w{number}"], [f"level{number}"]))
        shape = ["n", channels, f"h{number}", f"w{number}"]
        outputs.append(helper.make_tensor_value_info(f"level{number}", TensorProto.FLOAT, shape))
    nodes.append(helper.make_node("GlobalAveragePool", ["level3"], ["pooled_map"]))
    nodes.append(helper.make_node("Flatten", ["pooled_map"], ["pooled"]))
    outputs.append(helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", CHANNELS[16]]))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, "height", "width"])
    graph = helper.make_graph(nodes, "tiny", [image], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    preprocessing = {"color": color, "mean": [10, 20, 30], "std": [50, 60, 70], "resize_px": 64, "crop_px": 64}
    entries = {
        "name": "tiny",
        "levels": json.dumps(["level1", "level2", "level3"]),
        "pooled": "pooled",
        "preprocessing": json.dumps(preprocessing),
        **metadata,
    }
    helper.set_model_props(model, {f"anomalign.{key}": value for key, value in entries.items() if value is not None})
    onnx.save(model, path)
    return path
