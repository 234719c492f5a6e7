"""ONNX graphs: written node by node, read, and changed. Needs the package onnx."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from anomalign.backbones.description import Description
from anomalign.errors import BackboneError

OPSET = 13
IR_VERSION = 8  # old enough for every ONNX Runtime that the package accepts
LARGEST_HALF = 65504.0


class Graph:
    """A graph under construction. Batch normalisation is folded into the convolution before it.

    Parameters
    ----------
    state : dict of str to arrays
        Tensors by the names of PyTorch's modules.
    epsilon : float
        Epsilon of the batch normalisation.
    half : bool
        Store weights as float16. The graph casts them to float32 once, when it is loaded, so the file is half as large
        and the arithmetic stays that of float32.
    """

    def __init__(self, state: Mapping[str, NDArray[Any]], epsilon: float, half: bool = True) -> None:
        self.state = state
        self.epsilon = epsilon
        self.half = half
        self.used: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def op(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def tensor(self, name: str) -> NDArray[np.float32]:
        """Return a tensor of the state as float32; KeyError if there is none of that name."""
        self.used.add(name)
        return np.asarray(self.state[name], np.float32)

    def weight(self, name: str, value: NDArray[np.float32]) -> str:
        """Add a weight and return its name."""
        if not self.half:
            self.initializers.append(numpy_helper.from_array(value, name))
            return name
        self.initializers.append(numpy_helper.from_array(_to_half(name, value), name + ".f16"))
        return self.op("Cast", [name + ".f16"], name, to=TensorProto.FLOAT)

    def conv(self, x: str, conv: str, norm: str, **attributes: Any) -> str:
        """Add a convolution with the batch normalisation that follows it, and return the name of its output."""
        scale = self.tensor(norm + ".weight") / np.sqrt(self.tensor(norm + ".running_var") + np.float32(self.epsilon))
        kernel = self.tensor(conv + ".weight") * scale[:, None, None, None]
        bias = self.tensor(norm + ".bias") - self.tensor(norm + ".running_mean") * scale
        inputs = [x, self.weight(conv + ".weight", kernel), self.weight(conv + ".bias", bias)]
        return self.op("Conv", inputs, conv, **attributes)

    def level(self, x: str, name: str) -> str:
        """Add an output that is a level, as float16: the bank stores that, and ONNX Runtime casts faster than NumPy."""
        return self.op("Cast", [x], name, to=TensorProto.FLOAT16)

    def pool(self, x: str) -> str:
        """Add the output `pooled`: the mean over a map."""
        return self.op("Flatten", [self.op("GlobalAveragePool", [x], "pooled_map")], "pooled")

    def model(self, name: str, levels: Mapping[str, int], vectors: Mapping[str, int]) -> onnx.ModelProto:
        """Return the model. `levels` and `vectors` give the outputs and their numbers of channels."""
        outputs = [
            helper.make_tensor_value_info(level, TensorProto.FLOAT16, ["batch", channels, f"{level}_h", f"{level}_w"])
            for level, channels in levels.items()
        ]
        outputs += [
            helper.make_tensor_value_info(vector, TensorProto.FLOAT, ["batch", channels])
            for vector, channels in vectors.items()
        ]
        image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, "height", "width"])
        model = helper.make_model(
            helper.make_graph(self.nodes, name, [image], outputs, self.initializers),
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="anomalign",
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def describe_model(model: onnx.ModelProto, description: Description) -> None:
    """Write a description into the metadata of a model."""
    helper.set_model_props(model, description.to_entries())


def count_parameters(model: onnx.ModelProto) -> int:
    """Return how many floating-point weights a model has."""
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
    return sum(int(np.prod(w.dims)) for w in model.graph.initializer if w.data_type in kinds)


def read_model(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, and its external data if it has any."""
    try:
        return onnx.load(path)
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # protobuf's and onnx's exceptions share no base class
        raise BackboneError(f"{path}: not an ONNX file ({error})") from error


def store_half(model: onnx.ModelProto) -> None:
    """Store float32 weights of two or more dimensions as float16; they are cast to float32 when the model is loaded.

    Biases and scales stay float32: they are few, and some scales are too small for float16.
    """
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type == TensorProto.FLOAT and len(weight.dims) > 1:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(_to_half(name, numpy_helper.to_array(weight)), name + ".f16"))
            casts.append(helper.make_node("Cast", [name + ".f16"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def keep_outputs(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Make these tensors the outputs of a model, and remove the nodes and weights that they do not need."""
    graph = model.graph
    needed = set(names)
    nodes = []
    for node in reversed(graph.node):
        if not needed.isdisjoint(node.output):
            nodes.append(node)
            needed.update(_reads(node))
    weights = [weight for weight in graph.initializer if weight.name in needed]
    for field, needed_items in ((graph.node, reversed(nodes)), (graph.initializer, weights)):
        copies = [type(item).FromString(item.SerializeToString()) for item in needed_items]
        del field[:]
        field.extend(copies)
    # Shapes and types that were stored for other sizes mislead ONNX Runtime; it infers its own.
    del graph.value_info[:]
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)


def _reads(node: onnx.NodeProto) -> set[str]:
    """Return the names of the tensors that a node reads, also inside the bodies of an If or a Loop."""
    names = set(node.input)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            names.update(name for inner in body.node for name in _reads(inner))
            names.update(output.name for output in body.output)
    return names


def _to_half(name: str, value: NDArray[np.float32]) -> NDArray[np.float16]:
    if not np.abs(value).max(initial=0) <= LARGEST_HALF:
        raise BackboneError(f"{name}: weights beyond the range of float16 (65504); store float32 with half=False")
    return value.astype(np.float16)
