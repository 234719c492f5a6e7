"""The arrays of the exact search, grouped by what they describe, with the same types in every search.

Pixels of the query that are searched together (whole rows of the grid, B of them) are the *lanes*: the last axis of
every buffer, so that one instruction processes many of them. There are few arrays with several uses each, as compiling
takes longer for every array that is passed to compiled code.

Compiled code gets them as plain tuples: `anomalign.numerics.jit` says why.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ArrayLayout(NamedTuple):
    """Positions of levels in the arrays. J levels are coarser than the grid; the fine ones are brought to the grid.

    Channels of a descriptor: fine levels first, then coarse ones.
    """

    width: int  # of the grid
    fine_channels: NDArray[np.int64]  # (fine levels,)
    coarse: NDArray[np.int64]  # (J, 5) height, width, channels; where it begins in Features.coarse and in Room.rows
    cells: NDArray[np.int64]  # (2, 2, J, H or W) rows, columns: the two cells that bilinear interpolation reads
    weights: NDArray[np.float32]  # (2, J, H or W) rows, columns: the weight of the second


class Query(NamedTuple):
    """The P pixels of the query."""

    fine: NDArray[np.float32]  # (P, fine channels)
    coarse: NDArray[np.float32]  # (P, coarse channels)
    sketch: NDArray[np.float32]  # (P, S) the fine channels along a few directions
    squared: NDArray[np.float32]  # (2, P) squared norms less slack: of the coarse channels, of all


class Features(NamedTuple):
    """G gallery images as they are."""

    image: NDArray[np.int32]  # (G,) their numbers
    fine: NDArray[np.float32]  # (G, P', fine channels)
    sketch: NDArray[np.float32]  # (G, P', S) the fine channels along the query's directions
    coarse: NDArray[np.float32]  # (G, features) coarse levels, one after the other


class Products(NamedTuple):
    """Products of the same images with the query."""

    coarse: NDArray[np.float32]  # (G, products) of a coarse level, -2 <g, q> / g's step: row of q, cell of g, column
    bands: NDArray[np.int64]  # (J, 3) where a level begins in `coarse`; the first row of q and the number of rows
    steps: NDArray[np.float32]  # (G, cells of all coarse levels + P') of the codes; the last of the fine channels
    squared: NDArray[np.float32]  # (2, G, P') squared norms less slack: of the coarse channels, of the fine ones


class Best(NamedTuple):
    """The best matches so far, in `slots` places each, in no order."""

    distance: NDArray[np.float32]  # (P, slots)
    image: NDArray[np.int32]  # (P, slots)
    place: NDArray[np.int32]  # (P, slots)
    per_level: NDArray[np.float32]  # (P, slots, L)


class Room(NamedTuple):
    """Buffers of one thread for a scan; their B is that of the longest strip, rounded up to a multiple of 16."""

    rows: NDArray[np.float32]  # (cells of all coarse levels, B) products for the lanes
    row: NDArray[np.float32]  # (J, largest width, B) the same on one row of the gallery image's grid
    steps: NDArray[np.float32]  # (B,) of the lanes' fine codes
    cost: NDArray[np.float32]  # (B,)
    lowest: NDArray[np.float32]  # (B,) the lowest cost in an image ...
    nearest: NDArray[np.int32]  # (B,) ... and its place
    within: NDArray[np.uint8]  # (B,) whether the cost is within the limit; zeros beyond the lanes
    eights: NDArray[np.uint64]  # (B / 8,) the same memory


class Hits(NamedTuple):
    """Results of a scan."""

    limit: NDArray[np.float32]  # (B,) the cost of a lane above which a place cannot be among the best
    at: NDArray[np.int32]  # (n, 2) lanes, and places whose cost is within the limit
    cost: NDArray[np.float32]  # (n,)
