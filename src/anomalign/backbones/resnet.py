"""ResNets built from their tensors alone: the shapes tell the kind of block, the groups and the widths.

This covers resnet18 to resnet152, resnext50_32x4d, resnext101_32x8d, wide_resnet50_2 and wide_resnet101_2 of
torchvision and timm. No exporter and no PyTorch is needed: the same tensors always give the same bytes. Needs the
package onnx.
"""

from collections.abc import Mapping
from itertools import count
from typing import Any

import onnx
from numpy.typing import NDArray

from anomalign.backbones.graph import Graph
from anomalign.errors import BackboneError

LEVELS = ("layer1", "layer2", "layer3")
BATCH_NORM_EPSILON = 1e-5
LEVEL_WEIGHTS = (1.0, 1.0, 0.7)  # measured with ResNet50; docs/backbones.md


def build_resnet(tensors: Mapping[str, NDArray[Any]], *, half: bool = True) -> onnx.ModelProto:
    """Build a ResNet.

    Parameters
    ----------
    tensors : dict of str to arrays
        Tensors by torchvision's names, with batch normalisation. The classifier is ignored, if there is one.
    half : bool
        Store weights as float16; see `Graph`.

    Returns
    -------
    ModelProto
        Model with the input (N, 3, H, W) float32 and the outputs layer1 to layer4, float16, at strides 4, 8, 16 and 32,
        and pooled, float32.

    Raises
    ------
    BackboneError
        A tensor is missing, or a ResNet of this kind has no use for one.
    """
    graph = Graph(tensors, BATCH_NORM_EPSILON, half)
    try:
        x = graph.conv("input", "conv1", "bn1", strides=[2, 2], pads=[3] * 4)
        x = graph.op("Relu", [x], "conv1.relu")
        x = graph.op("MaxPool", [x], "stem", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        channels = {}
        for stage in range(1, 5):
            for number in count():
                name = f"layer{stage}.{number}."
                if number > 0 and name + "conv1.weight" not in tensors:
                    break
                x = _block(graph, x, name, stride=2 if stage > 1 and number == 0 else 1)
            last = "conv3" if f"layer{stage}.0.conv3.weight" in tensors else "conv2"
            channels[graph.level(x, f"layer{stage}")] = len(graph.tensor(f"layer{stage}.0.{last}.weight"))
    except KeyError as error:
        raise BackboneError(f"not a ResNet with the tensor names of torchvision: {error.args[0]} is missing") from error
    ignored = {name for name in tensors if name.startswith("fc.") or name.endswith(".num_batches_tracked")}
    if unused := sorted(set(tensors) - graph.used - ignored):
        raise BackboneError(f"not a plain ResNet: it also has {unused[0]}; try `anomalign backbones export`")
    graph.pool(x)
    return graph.model("resnet", channels, {"pooled": channels["layer4"]})


def _block(graph: Graph, x: str, name: str, stride: int) -> str:
    """Add a basic block (two convolutions) or a bottleneck (three); the first 3 x 3 convolution has the stride."""
    strides, pads = [stride, stride], [1] * 4
    if name + "conv3.weight" in graph.state:
        y = graph.op("Relu", [graph.conv(x, name + "conv1", name + "bn1")], name + "relu1")
        width, width_of_group = graph.tensor(name + "conv2.weight").shape[:2]
        groups = width // width_of_group
        y = graph.conv(y, name + "conv2", name + "bn2", strides=strides, pads=pads, group=groups)
        y = graph.conv(graph.op("Relu", [y], name + "relu2"), name + "conv3", name + "bn3")
    else:
        y = graph.conv(x, name + "conv1", name + "bn1", strides=strides, pads=pads)
        y = graph.conv(graph.op("Relu", [y], name + "relu1"), name + "conv2", name + "bn2", pads=pads)
    if stride > 1 or name + "downsample.0.weight" in graph.state:
        x = graph.conv(x, name + "downsample.0", name + "downsample.1", strides=strides)
    return graph.op("Relu", [graph.op("Add", [y, x], name + "sum")], name + "out")
