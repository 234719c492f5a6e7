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
    """Raise an error if a backbone cannot be stored under that name."""
    if name == BUNDLED:
        raise InputError(f"{BUNDLED} is the name of the bundled backbone; choose another")
    cache.path_of(name)
    cache.refuse_taken(name, replace)


def keep(model: "onnx.ModelProto", description: Description, file: Path | None = None) -> Path:
    """Check a model and write it into the cache folder with its description. Errors name `file`, if it is given."""
    import onnx

    from anomalign.backbones.graph import count_parameters, describe_model
    from anomalign.backbones.validation import check

    description = dataclasses.replace(description, parameters=description.parameters or count_parameters(model))
    with cache.placing(description.name) as path:
        describe_model(model, description)
        onnx.save(model, path)
        try:
            shapes = check(path)
        except BackboneError as error:
            # The path of the temporary file means nothing to the user.
            text = str(error).removeprefix(f"{path}: ")
            raise BackboneError(f"{file or description.name}: {text}") from error
        describe_model(model, dataclasses.replace(description, shapes=shapes))
        onnx.save(model, path)
    return cache.path_of(description.name)


def keep_quantized(
    int8: "Int8", backbone: Backbone, name: str, effect: dict[str, Any], *, replace: bool = False
) -> Path:
    """Store a network in int8, with the network that it was made from and the effect that was measured.

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
        "images": int8.images,
        "layers": int8.layers,
        "in_float": int8.in_float,
        **effect,
    }
    source = (
        f"{backbone.provenance['source']}; int8 of {backbone.name} (sha256 {backbone.sha256[:12]}) by static "
        f"quantization of onnxruntime {onnxruntime.__version__} on {int8.images} images of its user"
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
    return keep(int8.model, description)
