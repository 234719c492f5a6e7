"""Conversion of a foreign ONNX file: chosen tensors become outputs, tokens become maps. Needs the package onnx."""

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from anomalign.backbones.description import PREFIX
from anomalign.backbones.graph import keep_outputs, read_model
from anomalign.errors import BackboneError

OLDEST_OPSET = 10
_MOST_LEADING, _LARGEST_PATCH = 16, 64  # bounds of the search for numbers that fit


def adapt(
    path: Path, levels: Sequence[str], pooled: str, tokens: int | None, patch: int | None, probe_px: int
) -> onnx.ModelProto:
    """Read a network and add the outputs of a backbone.

    Parameters
    ----------
    path : Path
    levels, pooled : names of tensors
        Outputs, or tensors between its nodes. Levels are (N, C, H, W) maps or (N, T, C) tokens; pooled is (N, D), a map
        (its mean is taken) or tokens (the first is taken).
    tokens : int or None
        Number of tokens before those of the image: class token and registers.
    patch : int or None
        Side in pixels of the square that one token of the image stands for.
    probe_px : int
        Side of an image that the network accepts.

    Returns
    -------
    ModelProto
        Model whose outputs are the levels, float16 (N, C, H, W), and the pooled vector, float32 (N, D), under the
        names that `output_name` gives.
    """
    model = read_model(path)
    image = _input_of(model, path)
    _check_names(model, [*levels, pooled], path)
    shapes = _shapes(model, image, list(dict.fromkeys([*levels, pooled])), probe_px, path)
    ranks = {name: len(shape) for name, shape in shapes.items()}
    for name in levels:
        if ranks[name] not in (3, 4):
            raise BackboneError(f"{path}: {name} has {ranks[name]} axes; a level must be a map or a sequence of tokens")
    if ranks[pooled] not in (2, 3, 4):
        raise BackboneError(f"{path}: {pooled} has {ranks[pooled]} axes; it cannot be pooled")
    as_maps = [*levels, pooled] if tokens == 0 else levels
    for name in (name for name in as_maps if ranks[name] == 3):
        if tokens is None or patch is None:
            raise BackboneError(
                f"{path}: {name} is a sequence of tokens; say how many lead those of the image (tokens=1 for a class "
                "token only) and the side of a patch in pixels (patch=14)"
            )
        _check_tokens(name, shapes[name][1], tokens, patch, probe_px, path)
    parts = _Parts(model, image, tokens or 0, patch or 1)
    for name in dict.fromkeys(levels):
        parts.level(name, ranks[name])
    parts.pooled(pooled, ranks[pooled], mean=tokens == 0)
    keep_outputs(model, [*(output_name(name) for name in dict.fromkeys(levels)), output_name(pooled, pooled=True)])
    return model


def output_name(name: str, pooled: bool = False) -> str:
    """Return the name of the output that is made from a tensor of the foreign file."""
    return f"{PREFIX}pooled" if pooled else PREFIX + name


class _Parts:
    """Nodes added to a model."""

    def __init__(self, model: onnx.ModelProto, image: str, tokens: int, patch: int) -> None:
        self.graph = model.graph
        self.image = image
        self.tokens = tokens
        self.patch = patch

    def level(self, name: str, rank: int) -> None:
        x = self._map(name) if rank == 3 else name
        self._node("Cast", [x], output_name(name), to=TensorProto.FLOAT16)

    def pooled(self, name: str, rank: int, mean: bool) -> None:
        """Add the pooled output: a vector itself, the mean of a map, or the first token (the mean with `mean`)."""
        target = output_name(name, pooled=True)
        full = name
        if rank == 3 and not mean:  # the first of several leading tokens is the class token
            full = self._node("Gather", [name, self._constant("first", 0)], target + ".token", axis=1)
        elif rank > 2:
            average = self._node("GlobalAveragePool", [self._map(name) if rank == 3 else name], target + ".mean")
            full = self._node("Flatten", [average], target + ".flat")
        self._node("Cast", [full], target, to=TensorProto.FLOAT)

    def _map(self, name: str) -> str:
        """(N, leading + h w, C) -> (N, C, h, w). The sides h and w follow from the size of the input image."""
        base = PREFIX + name
        if any(node.output[0] == base + ".map" for node in self.graph.node):
            return base + ".map"
        start, stop = self._constant("leading", [self.tokens]), self._constant("end", [np.iinfo(np.int64).max])
        of_image = self._node("Slice", [name, start, stop, self._constant("axis", [1])], base + ".tokens")
        channels_first = self._node("Transpose", [of_image], base + ".rows", perm=[0, 2, 1])
        shape = self._node("Shape", [self.image], base + ".size")
        sides = self._node("Slice", [shape, self._constant("two", [2]), self._constant("four", [4])], base + ".sides")
        grid = self._node("Div", [sides, self._constant("patch", [self.patch])], base + ".grid")
        # In a Reshape, 0 keeps an axis: here those of images and channels.
        shape = self._node("Concat", [self._constant("kept", [0, 0]), grid], base + ".shape", axis=0)
        return self._node("Reshape", [channels_first, shape], base + ".map")

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, value: int | list[int]) -> str:
        full = f"{PREFIX}constant.{name}"
        if all(weight.name != full for weight in self.graph.initializer):
            self.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), full))
        return full


def _input_of(model: onnx.ModelProto, path: Path) -> str:
    """Return the name of the single input, and make its batch and image size variable."""
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise BackboneError(f"{path}: has {len(inputs)} inputs; a backbone has one: the images")
    image = inputs[0].type.tensor_type
    channels = image.shape.dim[1].dim_value if len(image.shape.dim) == 4 else 0
    if image.elem_type != TensorProto.FLOAT or channels not in (0, 3) or len(image.shape.dim) != 4:
        raise BackboneError(f"{path}: its input {inputs[0].name} is not float32 (N, 3, H, W)")
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST_OPSET:
        raise BackboneError(f"{path}: has ONNX opset {opset}; export it with {OLDEST_OPSET} or newer")
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        image.shape.dim[axis].dim_param = name
    return str(inputs[0].name)


def _check_names(model: onnx.ModelProto, names: list[str], path: Path) -> None:
    tensors = {name for node in model.graph.node for name in node.output}
    outputs = [output.name for output in model.graph.output]
    for name in names:
        if name not in tensors:
            near = difflib.get_close_matches(name, tensors, 5)
            hint = f"; similar names are {', '.join(near)}" if near else ""
            raise BackboneError(f"{path}: has no tensor {name}; its outputs are {', '.join(outputs)}{hint}")


def _check_tokens(name: str, count: int, tokens: int, patch: int, size: int, path: Path) -> None:
    """Raise a BackboneError that proposes other numbers, unless `count` tokens fit an image of that size."""
    expected = tokens + (size // patch) ** 2
    if count == expected:
        return
    # Pairs of leading tokens and side of the grid: without the leading tokens the count must be a square.
    fitting = [(n, math.isqrt(count - n)) for n in range(min(count, _MOST_LEADING + 1))]
    fitting = [(n, k) for n, k in fitting if n + k**2 == count and _divides(size, k)]
    # Prefer pairs in which only one number differs from what was given.
    fitting.sort(key=lambda fit: (fit[0] != tokens) + (size // fit[1] != patch))
    hint = "; is it (N, tokens, channels)?"
    if fitting:
        n, side = fitting[0]
        hint = f"; {n} + {side}^2 fits tokens={n}, patch={size // side}"
    raise BackboneError(
        f"{path}: {name} has {count} tokens for {size} px; tokens={tokens}, patch={patch} needs {expected}{hint}"
    )


def _divides(size: int, side: int) -> bool:
    """Return whether some patch divides an image of `size` pixels into a grid of `side`."""
    return 1 <= size // side <= _LARGEST_PATCH and size // (size // side) == side


def _shapes(model: onnx.ModelProto, image: str, names: list[str], size: int, path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of tensors. The network is run, as the shapes in a file are often missing or wrong."""
    import onnxruntime

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    keep_outputs(probe, names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
        outputs = session.run(names, {image: np.zeros((1, 3, size, size), np.float32)})
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise BackboneError(f"{path}: cannot be run on an image of {size} x {size} pixels ({error})") from error
    return {name: output.shape for name, output in zip(names, outputs, strict=True)}
