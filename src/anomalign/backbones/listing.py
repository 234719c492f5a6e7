"""A list of the backbones that are known by name or lie in the cache folder."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalign.backbones import cache
from anomalign.backbones.backbone import BUNDLED, bundled_path, load_backbone
from anomalign.backbones.known import KNOWN, KnownBackbone
from anomalign.backbones.preprocessing import Preprocessing
from anomalign.errors import BackboneError


@dataclass(frozen=True)
class ListedBackbone:
    """A backbone that is known by name or lies in the cache folder.

    Attributes
    ----------
    name : str
    parameters : int or None
        Number of weights.
    shapes : tuple of (channels, stride)
        Channels and stride of each level; empty if its file does not state them.
    licence, source : str
    path : Path or None
        Its file; None if it was not fetched yet.
    preprocessing : Preprocessing or None
        The preprocessing that its file states; None if there is no file.
    quantized : dict, or None
        For a network in int8: the network that it was made from, and the measured effect.
    problem : str
        Reason why the file cannot be used; empty if it can.
    """

    name: str
    parameters: int | None
    shapes: tuple[tuple[int, int], ...]
    licence: str
    source: str
    path: Path | None
    preprocessing: Preprocessing | None = None
    quantized: dict[str, Any] | None = None
    problem: str = ""


def list_backbones() -> list[ListedBackbone]:
    """List the backbones that are known by name, then the others of the cache folder, and check their SHA-256."""
    return [_listed(name) for name in dict.fromkeys((*KNOWN, *cache.names()))]


def _listed(name: str) -> ListedBackbone:
    entry = KNOWN.get(name, KnownBackbone(0, (), "not stated", "not stated"))
    listed = ListedBackbone(name, entry.parameters or None, entry.shapes, entry.licence, entry.source, None)
    if name != BUNDLED and not cache.is_here(name):
        return listed
    path = bundled_path() if name == BUNDLED else cache.path_of(name)
    try:
        backbone = load_backbone(name)
    except BackboneError as error:
        return dataclasses.replace(listed, path=path, problem=str(error))
    return dataclasses.replace(
        listed,
        parameters=backbone.parameters or listed.parameters,
        shapes=backbone.level_shapes or listed.shapes,
        licence=backbone.provenance["licence"],
        source=backbone.provenance["source"],
        path=path,
        preprocessing=backbone.preprocessing,
        quantized=backbone.quantized,
    )
