"""The search on a GPU through PyTorch: half-precision products find the best few places, float32 distances rank them.

Interpolated descriptors are multiplied whole here: a GPU does that faster than it would gather and add parts of them.
"""

from collections.abc import Sequence

import numpy as np
import torch

from anomalign.alignment.arrays import Best
from anomalign.errors import InputError
from anomalign.numerics.resample import grid_matrix
from anomalign.pyramid import FeaturePyramid

_FEW = 4  # least number of places of an image that are ranked again
_BLOCK_ELEMENTS = 64_000_000  # elements of a block of costs, or of differences


def search(
    query: FeaturePyramid,
    gallery: Sequence[FeaturePyramid],
    grid: tuple[int, int],
    weights: Sequence[float],
    slots: int,
    device: str,
    *,
    distinct: bool = False,
    dtype: torch.dtype = torch.float16,
) -> Best:
    """Find the `slots` best matches of every pixel of the query, as `exact_search` does.

    Distances are exact. A place is missed only if half precision puts more than three worse places of the same image
    before it; the place in its stead is then nearly as near. Of places at the same distance any may be the match.

    Parameters
    ----------
    query, gallery, grid, weights, slots, distinct
        See `exact_search`.
    device : str
        Name of a device of PyTorch: "cuda", "cuda:1", "cpu".
    dtype : torch.dtype
        Type of the factors of the products: float16 or bfloat16; sums are float32 in both cases.

    Raises
    ------
    InputError
        The device is not available, shapes differ, or features are not finite.
    """
    target = _device(device)
    channels = [shape[2] for shape in query.shapes]
    q = _descriptors(query, grid, weights, target)  # (P, C)
    if not bool(torch.isfinite(q).all()):
        raise InputError("the query has features that are not finite")
    # A shift does not change distances, and near the origin half precision is finest. A scale does not change their
    # order, and products of vectors no longer than 1 cannot leave the range of float16.
    centre = q.mean(dim=0)
    scale = 1 / (q - centre).norm(dim=1).max().clamp(min=1e-20)
    small = ((q - centre) * scale).to(dtype)
    P = len(q)
    distance = torch.full((P, slots), torch.inf, device=target)
    image = torch.full((P, slots), -1, dtype=torch.int64, device=target)
    place = torch.full((P, slots), -1, dtype=torch.int64, device=target)
    per_level = torch.zeros((P, slots, len(channels)), device=target)
    few = min(P, max(_FEW, slots + 1))
    for number in range(len(gallery)):
        pyramid = gallery[number]
        if pyramid.shapes != query.shapes:
            raise InputError(f"gallery image {number} has levels {pyramid.shapes}, the query {query.shapes}")
        g = _descriptors(pyramid, grid, weights, target)
        if not bool(torch.isfinite(g).all()):
            raise InputError(f"gallery image {number} has features that are not finite")
        scaled = (g - centre) * scale
        half_norms = (scaled * scaled).sum(dim=1) / 2
        scaled = scaled.to(dtype)
        rows = max(1, _BLOCK_ELEMENTS // max(P, few * q.shape[1]))
        for start in range(0, P, rows):
            part = slice(start, start + rows)
            cost = half_norms - (small[part] @ scaled.T).float()  # (B, C) x (C, P') -> (B, P')
            places = cost.topk(few, dim=1, largest=False).indices  # (B, few)
            squared = (q[part, None] - g[places]) ** 2  # (B, few, C)
            split = torch.stack([level.sum(dim=2) for level in squared.split(channels, dim=2)], dim=2)  # (B, few, L)
            exact = split.sum(dim=2)
            if distinct:
                nearest = exact.argmin(dim=1, keepdim=True)
                exact, places = exact.gather(1, nearest), places.gather(1, nearest)
                split = split.gather(1, nearest[:, :, None].expand(-1, -1, len(channels)))
            every = torch.cat([distance[part], exact], dim=1)
            best = every.topk(slots, dim=1, largest=False).indices
            distance[part] = every.gather(1, best)
            image[part] = torch.cat([image[part], torch.full_like(places, number)], dim=1).gather(1, best)
            place[part] = torch.cat([place[part], places], dim=1).gather(1, best)
            levels = best[:, :, None].expand(-1, -1, len(channels))
            per_level[part] = torch.cat([per_level[part], split], dim=1).gather(1, levels)
    return Best(
        distance.cpu().numpy(),
        image.cpu().numpy().astype(np.int32),
        place.cpu().numpy().astype(np.int32),
        per_level.cpu().numpy(),
    )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter where PyTorch was built without CUDA
        raise InputError(f"device is {name!r}: not to be had here ({str(error).splitlines()[0]})") from error
    return device


def _descriptors(
    pyramid: FeaturePyramid, grid: tuple[int, int], weights: Sequence[float], device: torch.device
) -> torch.Tensor:
    """(P, C) float32, levels in their order."""
    maps = []
    for level, weight in zip(pyramid.levels, weights, strict=True):
        tensor = torch.from_numpy(np.array(level)).to(device).float() * weight  # a copy: one that may be written to
        for size in grid:  # the first axis is resampled and goes second, twice: (H, W, C) -> (h, w, C)
            matrix = torch.from_numpy(np.array(grid_matrix(tensor.shape[0], size))).to(device)
            tensor = torch.tensordot(matrix, tensor, dims=([1], [0])).transpose(0, 1)
        maps.append(tensor.reshape(grid[0] * grid[1], -1))
    return torch.cat(maps, dim=1)
