"""Export of a model of timm that gives features to an ONNX graph. Needs torch, timm and onnx."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import timm
import torch
from numpy.typing import NDArray

from anomalign.backbones.graph import store_half
from anomalign.backbones.known import HUB
from anomalign.backbones.preprocessing import Preprocessing, to_byte_range
from anomalign.backbones.probe_images import probe_sizes
from anomalign.errors import BackboneError, InputError

OPSET = 18  # the first whose Resize is antialiased, as timm resizes the position embeddings of a ViT
POOLED = "pooled"
TOLERANCE = 0.02


@dataclass(frozen=True)
class Exported:
    """A model of timm as an ONNX graph, with the values for its description."""

    model: onnx.ModelProto
    levels: tuple[str, ...]
    pooled: str
    preprocessing: Preprocessing
    multiple: int
    licence: str
    source: str


def export_model(
    name: str, levels: Sequence[int] | None, *, pretrained: bool = True, weights: Path | None = None, half: bool = True
) -> Exported:
    """Export a model of timm.

    Parameters
    ----------
    name : str
        Name of the model in timm, with or without the tag of its weights.
    levels : sequence of int, optional
        Numbers of its features, as timm counts them from 0. Default: those at strides 4, 8 and 16; for a model with
        one stride, the blocks after a quarter, half and three quarters of its depth.
    pretrained : bool
        If False, the weights are random, for tests.
    weights : Path, optional
        File with the model's pretrained weights, as the hub has it. Default: timm downloads them.
    half : bool
        Store weights as float16.

    Raises
    ------
    BackboneError
        The model cannot be created or exported, or the features of the graph differ from PyTorch's.
    """
    network = _create(name, pretrained, weights)
    numbers = _levels(network, name, levels)
    multiple = _patch(network)
    features = _Features(network, numbers).eval()
    names = tuple(f"level{number}" for number in range(1, len(numbers) + 1))
    # The graph is not traced at the size that the model was trained with: there a ViT does not resize its position
    # embeddings, and the graph would accept that size only.
    size = probe_sizes(multiple)[1] + (2 * multiple if multiple > 1 else 32)
    try:
        model = _traced(features, names, size)
    except Exception as error:  # whatever torch, timm or the exporter raise
        raise BackboneError(f"{name}: cannot be exported ({_first_line(error)})") from error
    if half:
        store_half(model)
    _compare(name, model, features, names, probe_sizes(multiple))
    config = network.pretrained_cfg
    hub = config.get("hf_hub_id")
    source = f"{HUB}/{hub}" if hub and weights is None else name
    return Exported(
        model,
        names,
        POOLED,
        _preprocessing(network),
        multiple,
        str(config.get("license") or "not stated") if pretrained else "random weights",
        f"{source}, exported by timm {timm.__version__}" if pretrained else "random weights, for tests only",
    )


class _Features(torch.nn.Module):  # type: ignore[misc]  # mypy ignores torch
    """A network that returns the levels as float16 maps, then the pooled vector."""

    def __init__(self, network: Any, levels: list[int]) -> None:
        super().__init__()
        self.network = network
        self.levels = levels

    def forward(self, images: Any) -> tuple[Any, ...]:
        final, maps = self.network.forward_intermediates(images, indices=self.levels, output_fmt="NCHW")
        pooled = self.network.forward_head(final, pre_logits=True)
        return *(x.half() for x in maps), pooled.flatten(1)


def _create(name: str, pretrained: bool, weights: Path | None) -> Any:
    options: dict[str, Any] = {"pretrained": pretrained, "num_classes": 0}
    if weights is not None:
        options["pretrained_cfg_overlay"] = {"file": str(weights)}
    try:
        try:
            network = timm.create_model(name, dynamic_img_size=True, **options)
        except TypeError:  # only models with position embeddings have this option
            network = timm.create_model(name, **options)
    except Exception as error:  # of timm, the hub, or HTTP
        raise BackboneError(
            f'{name}: timm cannot create it ({_first_line(error)}); `python -c "import timm; '
            'print(timm.list_models(pretrained=True))"` lists the models; downloading weights needs a network'
        ) from error
    if not hasattr(network, "forward_intermediates"):
        raise BackboneError(f"{name}: this model of timm gives no features; choose another")
    return network.eval().requires_grad_(False)


def _levels(network: Any, name: str, levels: Sequence[int] | None) -> list[int]:
    strides = [int(entry["reduction"]) for entry in network.feature_info]
    n = len(strides)
    if levels is not None:
        if not levels or list(levels) != sorted(set(levels)) or min(levels) < 0 or max(levels) >= n:
            raise InputError(
                f"levels are {list(levels)}; {name} has features 0 to {n - 1}; give some in increasing order"
            )
        return list(levels)
    if len(set(strides)) == 1:
        # The last block is left out: its tokens in DINOv2 have nine times the norm of those at three quarters of the
        # depth, and would decide alone.
        return [round(n * quarter / 4) - 1 for quarter in (1, 2, 3)] if n >= 4 else list(range(n))
    numbers = [number for number, stride in enumerate(strides) if stride in (4, 8, 16)]
    return numbers or list(range(n))[-3:]


def _patch(network: Any) -> int:
    """Return the side of the patches that the network cuts an image into; 1 if it does not do that."""
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    sides = set(patch) if isinstance(patch, tuple) else {patch}
    if len(sides) != 1:
        raise BackboneError(f"its patches are not square: {patch}")
    return int(sides.pop())


def _preprocessing(network: Any) -> Preprocessing:
    config = timm.data.resolve_model_data_config(network)
    crop = int(config["input_size"][-1])
    mean, std = to_byte_range(config["mean"]), to_byte_range(config["std"])
    return Preprocessing("rgb", mean, std, int(crop / config["crop_pct"]), crop)


def _traced(features: _Features, names: tuple[str, ...], size: int) -> onnx.ModelProto:
    stream = io.BytesIO()
    axes = {name: {0: "batch", 2: f"{name}_h", 3: f"{name}_w"} for name in names}
    axes |= {"input": {0: "batch", 2: "height", 3: "width"}, POOLED: {0: "batch"}}
    torch.onnx.register_custom_op_symbolic("aten::_upsample_bicubic2d_aa", _antialiased_resize, OPSET)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The exporter warns about every Python number that becomes a constant; `_compare` finds those that matter.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                features,
                (torch.zeros(2, 3, size, size),),
                stream,
                # The newer exporter needs one more package, and for some models it fixes the size of the image.
                dynamo=False,
                opset_version=OPSET,
                input_names=["input"],
                output_names=[*names, POOLED],
                dynamic_axes=axes,
            )
    finally:
        torch.onnx.unregister_custom_op_symbolic("aten::_upsample_bicubic2d_aa", OPSET)
    return onnx.load_from_string(stream.getvalue())


def _antialiased_resize(graph: Any, x: Any, size: Any, align_corners: Any, *_scales: Any) -> Any:
    """Write PyTorch's antialiased bicubic resize, which its exporter lacks. Results agree up to rounding."""
    from torch.onnx import symbolic_helper as helper

    constant = helper._maybe_get_const(size, "is")
    if isinstance(constant, list):
        size = graph.op("Constant", value_t=torch.tensor(constant))
    elif helper._is_packed_list(size):
        sides = [helper._unsqueeze_helper(graph, side, [0]) for side in helper._unpack_list(size)]
        size = graph.op("Concat", *sides, axis_i=0)
    zero, two = (graph.op("Constant", value_t=torch.tensor([n])) for n in (0, 2))
    leading = graph.op("Slice", graph.op("Shape", x), zero, two)
    shape = graph.op("Concat", leading, graph.op("Cast", size, to_i=onnx.TensorProto.INT64), axis_i=0)
    none = graph.op("Constant", value_t=torch.tensor([], dtype=torch.float32))
    settings = {"mode_s": "cubic", "antialias_i": 1, "cubic_coeff_a_f": -0.5, "exclude_outside_i": 1}
    return graph.op("Resize", x, none, none, shape, **settings)


def _compare(
    name: str, model: onnx.ModelProto, features: _Features, names: tuple[str, ...], sizes: tuple[int, ...]
) -> None:
    """Raise a BackboneError unless the graph gives the features of PyTorch, at sizes other than the traced one."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures also raise an exception
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for size in sizes:
        image = np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32)
        try:
            outputs = session.run([*names, POOLED], {"input": image})
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise BackboneError(f"{name}: its graph accepts one image size only ({_first_line(error)})") from error
        with torch.no_grad():
            expected = [x.float().numpy() for x in features(torch.from_numpy(image))]
        for output, a, b in zip((*names, POOLED), outputs, expected, strict=True):
            if a.shape != b.shape or _distance(a, b) > TOLERANCE:
                raise BackboneError(f"{name}: at {size} pixels the {output} of its graph differs from PyTorch's")


def _distance(a: NDArray[Any], b: NDArray[np.float32]) -> float:
    """Return the norm of a - b divided by the norm of b; float16 weights cause about 0.001."""
    return float(np.linalg.norm(a.astype(np.float32) - b) / max(float(np.linalg.norm(b)), 1e-12))


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
