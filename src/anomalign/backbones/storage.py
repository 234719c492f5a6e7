"""Networks put into the cache folder: each with its description, and only if it works as a backbone."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalign.backbones import cache
from anomalign.backbones.backbone import BUNDLED, Backbone
from anomalign.backbones.description import Description
from anomalign.errors import BackboneError, InputError

if TYPE_CHECKING:
    import onnx

    from anomalign.backbones.int8 import Int8


def check_free(name: str, replace: bool) -> None:
    """Raise an error if a backbone cannot be kept under that name."""
    if name == BUNDLED:
        raise InputError(f"{BUNDLED} is the name of the bundled backbone; choose another")
    cache.path_of(name)
    cache.refuse_taken(name, replace)


def keep(model: "onnx.ModelProto", description: Description, file: Path | None = None) -> Path:
    """Check a model, and write it into the cache folder with its description; `file` is what errors name."""
    import onnx

    from anomalign.backbones.graph import count_parameters, describe_model
    from anomalign.backbones.validation import check

    described = dataclasses.replace(description, parameters=description.parameters or count_parameters(model))
    with cache.placing(description.name) as path:
        describe_model(model, described)
        onnx.save(model, path)
        try:
            checked = check(path)
        except BackboneError as error:
            # The file that the check saw has a name of no meaning to anybody.
            text = str(error).removeprefix(f"{path}: ")
            raise BackboneError(f"{file or description.name}: {text}") from error
        describe_model(model, dataclasses.replace(described, shapes=checked.shapes))
        onnx.save(model, path)
    return cache.path_of(description.name)


def keep_quantized(
    made: "Int8", backbone: Backbone, name: str, effect: dict[str, Any], *, replace: bool = False
) -> Path:
    """Keep a network in int8, with what it was made of and the effect that was measured.

    Raises
    ------
    InputError, BackboneError
        As for `import_backbone`.
    """
    import onnxruntime

    from anomalign.backbones.graph import count_parameters, read_model

    check_free(name, replace)
    quantized = {
        "of": backbone.name,
        "sha256": backbone.sha256,
        "images": made.images,
        "layers": made.layers,
        "in_float": made.in_float,
        **effect,
    }
    source = (
        f"{backbone.provenance['source']}; int8 of {backbone.name} (sha256 {backbone.sha256[:12]}) by static "
        f"quantization of onnxruntime {onnxruntime.__version__} on {made.images} images of its user"
    )
    description = Description(
        name,
        backbone.level_names,
        backbone.pooled_name,
        backbone.preprocessing,
        backbone.provenance["licence"],
        source,
        backbone.multiple,
        backbone.level_weights,
        backbone.parameters or count_parameters(read_model(backbone.path)),
        quantized=quantized,
    )
    return keep(made.model, description)
