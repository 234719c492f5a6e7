"""Whether a network does what a backbone has to: run at several sizes, in batches, with levels that are maps."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anomalign.backbones.backbone import Backbone
from anomalign.backbones.description import PREFIX
from anomalign.backbones.probe_images import noise_images, probe_sizes
from anomalign.errors import BackboneError


@dataclass(frozen=True)
class Checked:
    """What a network was seen to give.

    Attributes
    ----------
    shapes : tuple of (channels, stride)
        Of its levels.
    sizes : two ints
        Sides of the images that it was run on.
    """

    shapes: tuple[tuple[int, int], ...]
    sizes: tuple[int, int]


def check(path: Path) -> Checked:
    """Run a file that describes itself on noise, of two sizes and in a batch.

    Raises
    ------
    BackboneError
        It cannot be run; its levels do not grow with the image, or are not finest first; or an image gives other
        features in company than alone.
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
                f"{sizes[1]}; a level has to grow with the image, its channels not"
            )
    if list(small.shapes) != sorted(small.shapes, key=lambda shape: -shape[0]):
        sides = ", ".join(f"{name} ({h} x {w})" for name, (h, w, _) in zip(levels, small.shapes, strict=True))
        raise BackboneError(f"levels are {sides}; name them from the finest to the coarsest")
    if len(small.pooled) != len(large.pooled):
        raise BackboneError("pooled has other lengths for images of other sizes; take the mean of a map, or a token")
    (alone,) = backbone.run(noise_images(2, sizes[0])[:1])
    for found, expected in zip((*alone.levels, alone.pooled), (*small.levels, small.pooled), strict=True):
        if not _near(found, expected):
            raise BackboneError("an image gives other features in company than alone; export it for inference")
    if _near(small.pooled, other.pooled) and all(map(_near, small.levels, other.levels)):
        raise BackboneError("two unlike images give the same features; are its weights there?")
    return Checked(shapes, sizes)


def _near(a: NDArray[np.float16] | NDArray[np.float32], b: NDArray[np.float16] | NDArray[np.float32]) -> bool:
    """Alike but for rounding; how a sum is split may depend on the batch."""
    scale = float(np.abs(b).max(initial=0))
    return bool(np.abs(a.astype(np.float32) - b.astype(np.float32)).max(initial=0) <= 5e-3 * scale)
