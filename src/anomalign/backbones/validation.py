"""The check of a new backbone: it must run at several sizes and in batches, and its levels must be maps."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones.backbone import Backbone
from anomalign.backbones.description import PREFIX
from anomalign.backbones.probe_images import noise_images, probe_sizes
from anomalign.errors import BackboneError


def check(path: Path) -> tuple[tuple[int, int], ...]:
    """Run a file with a description on noise images of two sizes, alone and in a batch.

    Returns
    -------
    tuple of (channels, stride)
        Channels and stride of each level.

    Raises
    ------
    BackboneError
        The network cannot be run, its levels do not grow with the image or are not ordered from finest to coarsest, or
        the features of an image depend on the other images of its batch.
    """
    backbone = Backbone(path)
    sizes = probe_sizes(backbone.multiple)
    (small, other), (large,) = (
        backbone.run_together(noise_images(n, size)) for n, size in zip((2, 1), sizes, strict=True)
    )
    shapes = tuple((c, round(sizes[0] / h)) for h, _, c in small.shapes)
    levels = [name.removeprefix(PREFIX) for name in backbone.level_names]
    for (h, w, c), (H, W, C), name in zip(small.shapes, large.shapes, levels, strict=True):
        if h != w or H != W or c != C or h >= H:
            raise BackboneError(
                f"level {name} is {h} x {w} x {c} for an image of {sizes[0]} pixels and {H} x {W} x {C} for one of "
                f"{sizes[1]}; a level must grow with the image, and its channels must not"
            )
    if list(small.shapes) != sorted(small.shapes, key=lambda shape: -shape[0]):
        sides = ", ".join(f"{name} ({h} x {w})" for name, (h, w, _) in zip(levels, small.shapes, strict=True))
        raise BackboneError(f"levels are {sides}; name them from the finest to the coarsest")
    if len(small.pooled) != len(large.pooled):
        raise BackboneError("the length of pooled depends on the size of the image; take the mean of a map, or a token")
    (alone,) = backbone.run(noise_images(2, sizes[0])[:1])
    for features, expected in zip((*alone.levels, alone.pooled), (*small.levels, small.pooled), strict=True):
        if not _near(features, expected):
            raise BackboneError("the features of an image depend on its batch; export the network for inference")
    if _near(small.pooled, other.pooled) and all(map(_near, small.levels, other.levels)):
        raise BackboneError("two different images give the same features; are the weights missing?")
    return shapes


def _near(a: NDArray[np.float16] | NDArray[np.float32], b: NDArray[np.float16] | NDArray[np.float32]) -> bool:
    """Return whether features agree up to rounding: the order of a sum may depend on the batch."""
    scale = float(np.abs(b).max(initial=0))
    return bool(np.abs(a.astype(np.float32) - b.astype(np.float32)).max(initial=0) <= 5e-3 * scale)
