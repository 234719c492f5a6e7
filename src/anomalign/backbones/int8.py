"""Quantization of a network to int8, with activation ranges from the user's images. Needs the package onnx."""

import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, create_calibrator
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

from anomalign.backbones.backbone import Backbone
from anomalign.backbones.graph import keep_outputs, read_model
from anomalign.errors import BackboneError

OLDEST_OPSET = 13  # the first in which weights can have one scale per channel
# Activation functions are included because they are fused with convolutions. All other nodes (sums, softmax, norms)
# stay in float: int8 saves no time there, and the residual sums of a ViT lose most accuracy.
KINDS = ("Conv", "MatMul", "Gemm", "Relu", "Clip")
LARGEST_DIFFERENCE = 1 / 8
_COMPARED = 8  # images on which features are compared


@dataclass(frozen=True, eq=False)
class Int8:
    """A network in int8.

    Attributes
    ----------
    model : ModelProto
        Model with the metadata of the network that it was made from.
    images : int
        Number of images that the activation ranges come from.
    layers, in_float : int
        Number of layers with weights, and how many of the first of them stayed in float.
    """

    model: onnx.ModelProto
    images: int
    layers: int
    in_float: int


def quantize(
    backbone: Backbone, images: Sequence[NDArray[np.uint8]], progress: Callable[[int, int], None] | None = None
) -> Int8:
    """Quantize the layers of a network to int8, except the first ones.

    Weights have one scale per channel and use 7 of the 8 bits, so that 16-bit sums do not overflow on any CPU. The
    first layers cost most accuracy, as all others depend on them. As many of them stay in float as are needed to keep
    the difference of every level below `LARGEST_DIFFERENCE`; bisection on some of the images finds the number.

    Parameters
    ----------
    backbone : Backbone
    images : arrays of (S, S, 3) uint8
        Normal images, framed as the bank will frame them.
    progress : callable, optional
        Called as ``progress(done, total)`` after every image.

    Raises
    ------
    BackboneError
        The network has no layer that can be int8, all layers must stay in float, or ONNX Runtime cannot quantize it.
    """
    with tempfile.TemporaryDirectory(prefix="anomalign") as name:
        folder = Path(name)
        try:
            plain = _plain(backbone, folder / "float.onnx")
            layers = _layers(plain, backbone.path)
            tensors = [backbone.preprocessing.apply(image[None]) for image in images]
            ranges = _ranges(plain.graph.input[0].name, folder, tensors, progress)
            expected = [backbone.run_raw(tensor) for tensor in tensors[:_COMPARED]]

            def is_alike(in_float: int) -> bool:
                if in_float == len(layers):
                    return True
                path = folder / f"{in_float}.onnx"
                onnx.save(_int8(folder, ranges, _in_float(plain, layers, in_float)), path)
                candidate = Backbone(path)
                features = [candidate.run_raw(tensor) for tensor in tensors[:_COMPARED]]
                return bool(relative_differences(features, expected)[:-1].max() <= LARGEST_DIFFERENCE)

            in_float = bisect_left(range(len(layers) + 1), True, key=is_alike)
            if in_float == len(layers):
                raise BackboneError(
                    f"{backbone.path}: none of its {len(layers)} layers can be int8 unless features may change by more "
                    f"than {LARGEST_DIFFERENCE:.1%}"
                )
            return Int8(onnx.load(folder / f"{in_float}.onnx"), len(images), len(layers), in_float)
        except BackboneError:
            raise
        except Exception as error:  # of ONNX Runtime, its quantizer, onnx or protobuf: they share no base class
            raise BackboneError(f"{backbone.path}: ONNX Runtime cannot quantize it ({error})") from error


def relative_differences(
    features: Iterable[Sequence[NDArray[Any]]], expected: Iterable[Sequence[NDArray[Any]]]
) -> NDArray[np.float64]:
    """Return, per output, the norm of the difference divided by the norm of the expected output, over all images."""
    sums = np.array(
        [
            [(_squares(a.astype(np.float32) - b.astype(np.float32)), _squares(b)) for a, b in zip(*both, strict=True)]
            for both in zip(features, expected, strict=True)
        ]
    ).sum(axis=0)
    return np.asarray(np.sqrt(sums[:, 0] / np.maximum(sums[:, 1], np.finfo(float).tiny)))


def _squares(x: NDArray[Any]) -> float:
    return float(np.square(x, dtype=np.float32).sum(dtype=np.float64))


def _plain(backbone: Backbone, path: Path) -> onnx.ModelProto:
    """Write the network with its constants folded (weights are often stored as float16) and a name for every node."""
    model = read_model(backbone.path)
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST_OPSET:
        raise BackboneError(f"{backbone.path}: has ONNX opset {opset}; int8 needs {OLDEST_OPSET} or newer")
    entries = {entry.key: entry.value for entry in model.metadata_props}
    keep_outputs(model, [*backbone.level_names, backbone.pooled_name])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    plain = onnx.load(path)
    for number, node in enumerate(plain.graph.node):
        node.name = f"node{number}"
    onnx.helper.set_model_props(plain, entries)
    onnx.save(plain, path)
    return plain


def _layers(model: onnx.ModelProto, path: Path) -> list[str]:
    """Return the names of the nodes with weights, in order."""
    weights = {weight.name for weight in model.graph.initializer}
    names = [
        node.name
        for node in model.graph.node
        if node.op_type in ("Conv", "MatMul", "Gemm") and node.input[1] in weights
    ]
    if not names:
        raise BackboneError(f"{path}: it has no layer with weights that can be int8")
    return names


def _in_float(model: onnx.ModelProto, layers: list[str], first: int) -> list[str]:
    """Return the names of the nodes before a layer, and of the products of two activations.

    Such products, the attention of a ViT, lose accuracy in int8 and save no time.
    """
    names = [str(node.name) for node in model.graph.node]
    products = [node.name for node in model.graph.node if node.op_type == "MatMul" and node.name not in layers]
    return names[: names.index(layers[first])] + products


class _Reader:
    """The input images, in the form in which ONNX Runtime's calibrator reads them."""

    def __init__(self, name: str, tensors: Iterable[NDArray[np.float32]]) -> None:
        self._feeds = ({name: tensor} for tensor in tensors)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)


def _ranges(
    image: str, folder: Path, tensors: list[NDArray[np.float32]], progress: Callable[[int, int], None] | None
) -> Any:
    """Return the minimum and maximum of each activation over the images."""
    calibrator = create_calibrator(folder / "float.onnx", KINDS, str(folder / "ranges.onnx"), CalibrationMethod.MinMax)
    for done, tensor in enumerate(tensors, 1):
        calibrator.collect_data(_Reader(image, [tensor]))
        if progress:
            progress(done, len(tensors))
    return calibrator.compute_data()


def _int8(folder: Path, ranges: Any, in_float: list[str]) -> onnx.ModelProto:
    """Return the network with pairs of QuantizeLinear and DequantizeLinear, except at the nodes `in_float`."""
    quantizer = QDQQuantizer(
        load_model_with_shape_infer(folder / "float.onnx"),
        per_channel=True,
        reduce_range=True,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=ranges,
        nodes_to_quantize=[],
        nodes_to_exclude=in_float,
        op_types_to_quantize=list(KINDS),
        # The results of products stay in float, as the next nodes compute in float: more accurate, and not slower.
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
    )
    quantizer.quantize_model()
    model: onnx.ModelProto = quantizer.model.model
    return model
