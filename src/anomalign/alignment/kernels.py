"""The inner loops of the exact search, compiled. What they compute and why: docs/alignment.md.

Pixels of the query that are searched together (whole rows of the grid, B of them) are the *lanes*: the last axis of
every buffer, so that one instruction serves many of them. All literals are float32: one float64 would halve the speed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from anomalign.compiled import compiled, compiled_entry

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _inlined(function: _Function) -> _Function:
    # For what is called often: to hand over the many arrays of a named tuple takes longer than a short loop.
    return compiled(function, forceinline=True)


# Few arrays with many uses each, in place of one a use: every array that is handed on costs time to compile.


class Layout(NamedTuple):
    """Where things are. J of the levels are coarser than the grid; the others, brought to the grid, are the fine ones.

    Channels of a descriptor: fine levels first, then coarse ones.
    """

    width: int  # of the grid
    fine_channels: NDArray[np.int64]  # (fine levels,)
    coarse: NDArray[np.int64]  # (J, 5) height, width, channels; where it begins in Group.coarse and in Scratch.rows
    cells: NDArray[np.int64]  # (2, 2, J, H or W) rows, columns: the two cells that bilinear interpolation reads
    weights: NDArray[np.float32]  # (2, J, H or W) rows, columns: the weight of the second


class Query(NamedTuple):
    """The P pixels whose matches are sought."""

    descriptors: NDArray[np.float32]  # (P, C)
    squared: NDArray[np.float32]  # (2, P) squared norms less slack: of the coarse channels, of all
    norm: NDArray[np.float32]  # (P,)
    steps: NDArray[np.float32]  # (P,) of the fine channels' codes
    sketch: NDArray[np.float32]  # (P, S) the fine channels along a few directions


class Group(NamedTuple):
    """G gallery images."""

    image: NDArray[np.int32]  # (G,) their numbers
    fine: NDArray[np.float32]  # (G, P', fine channels)
    sketch: NDArray[np.float32]  # (G, P', S) the fine channels along the query's directions
    coarse: NDArray[np.float32]  # (G, features) coarse levels as they are, one after the other
    products: NDArray[np.float32]  # (G, products) of a coarse level, -2 <g, q> / g's step: row of q, cell of g, column
    bands: NDArray[np.int64]  # (J, 3) where a level begins in `products`; the first row of q and the number of rows
    steps: NDArray[np.float32]  # (G, cells of all coarse levels + P') of the codes; the last of the fine channels
    squared: NDArray[np.float32]  # (2, G, P') squared norms less slack: of the coarse channels, of the fine ones
    largest: NDArray[np.float32]  # (G,) largest norm


class Best(NamedTuple):
    """The best matches so far, in `slots` places each, in no order."""

    distance: NDArray[np.float32]  # (P, slots)
    image: NDArray[np.int32]  # (P, slots)
    place: NDArray[np.int32]  # (P, slots)
    per_level: NDArray[np.float32]  # (P, slots, L)


class Scratch(NamedTuple):
    """Buffers of one thread."""

    rows: NDArray[np.float32]  # (cells of all coarse levels, B) products for the lanes
    row: NDArray[np.float32]  # (J, largest width, B) the same on one row of the gallery image's grid
    steps: NDArray[np.float32]  # (B,) of the lanes' fine codes
    cost: NDArray[np.float32]  # (B,)
    limit: NDArray[np.float32]  # (B,)
    lowest: NDArray[np.float32]  # (B,) the lowest cost in an image ...
    nearest: NDArray[np.int32]  # (B,) ... and its place
    within: NDArray[np.uint8]  # (B,) whether the cost is within the limit; zeros beyond, up to a multiple of eight
    eights: NDArray[np.uint64]  # (B / 8,) the same memory
    lanes: NDArray[np.int32]  # (B + 1,) those whose pixels are to be compared with a place
    per_level: NDArray[np.float32]  # (L,)


@compiled
def distance(p, i, place, query, group, layout, per_level):
    """Squared distance from pixel p to a place of image i, summed over differences; its split goes to `per_level`."""
    total = np.float32(0)
    L = len(layout.fine_channels)
    start = 0
    for level in range(L):
        q, g = query.descriptors[p, start:], group.fine[i, place, start:]
        part = np.float32(0)
        for c in range(layout.fine_channels[level]):
            difference = q[c] - g[c]
            part += difference * difference
        per_level[level] = part
        total += part
        start += layout.fine_channels[level]
    Y = place // layout.width
    X = place - Y * layout.width
    one = np.float32(1)
    for j in range(len(layout.coarse)):
        width, channels, at = layout.coarse[j, 1], layout.coarse[j, 2], layout.coarse[j, 3]
        v, u = layout.weights[0, j, Y], layout.weights[1, j, X]
        w00, w01, w10, w11 = (one - v) * (one - u), (one - v) * u, v * (one - u), v * u
        low_row, high_row = (
            at + layout.cells[0, 0, j, Y] * width * channels,
            at + layout.cells[0, 1, j, Y] * width * channels,
        )
        low, high = layout.cells[1, 0, j, X] * channels, layout.cells[1, 1, j, X] * channels
        g00, g01 = group.coarse[i, low_row + low :], group.coarse[i, low_row + high :]
        g10, g11 = group.coarse[i, high_row + low :], group.coarse[i, high_row + high :]
        q = query.descriptors[p, start:]
        part = np.float32(0)
        for c in range(channels):
            difference = q[c] - (w00 * g00[c] + w01 * g01[c] + w10 * g10[c] + w11 * g11[c])
            part += difference * difference
        per_level[L + j] = part
        total += part
        start += channels
    return total


@compiled
def offer(p, found, image, place, best, distinct, per_level):
    """Take a match into the slots if it is better than one there; nearest first, then lower image, then lower place.

    `distinct`: at most one match an image.
    """
    place = np.int32(place)  # of the type of those it is compared with: another is compiled again
    slot = -1
    for k in range(best.distance.shape[1]):
        if best.image[p, k] == image:
            if best.place[p, k] == place:
                return
            if distinct:
                slot = k
    if slot < 0:  # the worst
        slot = 0
        for k in range(1, best.distance.shape[1]):
            if _before(
                best.distance[p, slot], best.image[p, slot], best.place[p, slot],
                best.distance[p, k], best.image[p, k], best.place[p, k],
            ):  # fmt: skip
                slot = k
    if _before(found, image, place, best.distance[p, slot], best.image[p, slot], best.place[p, slot]):
        best.distance[p, slot] = found
        best.image[p, slot] = image
        best.place[p, slot] = place
        for level in range(len(per_level)):
            best.per_level[p, slot, level] = per_level[level]


@_inlined
def _before(distance_a, image_a, place_a, distance_b, image_b, place_b):
    if distance_a != distance_b:
        return distance_a < distance_b
    if image_a != image_b:
        return image_a < image_b
    return place_a < place_b


@compiled
def _set_limit(b, p, known, query, largest, tolerance, distance, limit):
    """Set the cost of a lane above which a place cannot be among the best of pixel p.

    A cost is a squared distance, at the least, less the part of ``squared[known]`` that belongs to the query. Norms and
    interpolated products are sums of floats, whose rounding errors grow with the norms: the tolerance makes up for them.
    """
    worst = distance[p, 0]
    for k in range(1, distance.shape[1]):
        worst = distance[p, k] if distance[p, k] > worst else worst
    norms = query.norm[p] + largest
    limit[b] = worst - query.squared[known, p] + tolerance * norms * norms


@compiled
def _lanes(i, strip, W, products, bands, steps, coarse, cells, weights, rows):
    """Coarse products of image i for the lanes: the vertical half of the interpolation (the other half is done)."""
    for j in range(len(coarse)):
        count = coarse[j, 0] * coarse[j, 1]
        for Y in range(strip[0], strip[1]):
            v = weights[0, j, Y]
            u = np.float32(1) - v
            low = bands[j, 0] + (cells[0, 0, j, Y] - bands[j, 1]) * count * W
            high = bands[j, 0] + (cells[0, 1, j, Y] - bands[j, 1]) * count * W
            for cell in range(count):
                step = steps[i, coarse[j, 4] + cell]
                s, t = u * step, v * step
                a, b = products[i, low + cell * W :], products[i, high + cell * W :]
                out = rows[coarse[j, 4] + cell, (Y - strip[0]) * W :]
                for X in range(W):
                    out[X] = s * a[X] + t * b[X]


@compiled
def _row(Y, lanes, coarse, cells, weights, rows, row):
    """Coarse products of the lanes with one row of the gallery image's grid, its columns not yet interpolated."""
    for j in range(len(coarse)):
        v = weights[0, j, Y]
        u = np.float32(1) - v
        low = coarse[j, 4] + cells[0, 0, j, Y] * coarse[j, 1]
        high = coarse[j, 4] + cells[0, 1, j, Y] * coarse[j, 1]
        for x in range(coarse[j, 1]):
            for b in range(lanes):
                row[j, x, b] = u * rows[low + x, b] + v * rows[high + x, b]


@_inlined
def _costs(X, lanes, squared, cells, weights, row, limit, cost):
    """``|g|^2 - 2 <q, g>`` of the coarse channels, for all lanes and the place in column X of the row.

    Returns how many are within the limit.
    """
    J = weights.shape[1]
    zero, one = np.float32(0), np.float32(1)
    hits = zero
    if J != 2:
        for b in range(lanes):
            cost[b] = squared
        for j in range(J):
            v = weights[1, j, X]
            u = one - v
            k, m = cells[1, 0, j, X], cells[1, 1, j, X]
            for b in range(lanes):
                cost[b] += u * row[j, k, b] + v * row[j, m, b]
        for b in range(lanes):
            hits += one if cost[b] <= limit[b] else zero
    else:  # all in one loop: the paper's pyramid has two
        v, w = weights[1, 0, X], weights[1, 1, X]
        u, t = one - v, one - w
        k, m, n, r = cells[1, 0, 0, X], cells[1, 1, 0, X], cells[1, 0, 1, X], cells[1, 1, 1, X]
        for b in range(lanes):
            c = squared + u * row[0, k, b] + v * row[0, m, b] + t * row[1, n, b] + w * row[1, r, b]
            cost[b] = c
            hits += one if c <= limit[b] else zero
    return hits


@compiled_entry
def round_rows(values, centre, dither, largest, sizes, codes, step, along):
    """Round descriptors to eight bits.

    Parameters
    ----------
    values : (n, C) float32 array
    centre, dither : (C,) float32 arrays
    largest : float32
        Size of the largest code, before the dither.
    sizes : (C,) float32 array
        A buffer.
    codes : (n, C) uint8 array
        Gets ``floor((values - centre) / step + dither) + 128``.
    step : (n,) float32 array
        Gets the largest of the values less the centre, over `largest`.
    along : (n,) float32 array
        Gets the products of the values with the centre.
    """
    zero, offset = np.float32(0), np.float32(128)
    for row in range(values.shape[0]):
        product, left = zero, values.shape[1]
        for c in range(left):
            sizes[c] = abs(values[row, c] - centre[c])
            product += values[row, c] * centre[c]
        while left > 1:  # the largest, by halves: a running maximum is no vector loop
            half = (left + 1) // 2
            for c in range(left - half):
                a, b = sizes[c], sizes[c + half]
                sizes[c] = a if a > b else b
            left = half
        peak = sizes[0] if left else zero
        step[row], along[row] = peak / largest, product
        per = largest / peak if peak > np.float32(1e-30) else zero
        for c in range(values.shape[1]):
            codes[row, c] = np.uint8(np.int32((values[row, c] - centre[c]) * per + dither[c] + offset))


BOUND, MULTIPLY, SEED = 0, 1, 2


@compiled_entry
def search(mode, strip, images, rows, ready, fine_products, patience, share, tolerance, seeds, query, group, layout,
           best, distinct, scratch):  # fmt: skip
    """Search images first..last of a group for the best matches of a strip: rows Y0..Y1 of the query.

    BOUND: the squared distance of the coarse channels alone is a lower bound. Only where it is within the limit are
    fine channels looked at. MULTIPLY: `fine_products` holds the products of fine channels for rows Ya..Yb of the one
    image, and the whole distance is known at once. SEED: only find the place of lowest coarse cost for each lane.

    `ready`: the first image's lanes are in `scratch`. `seeds` (images, lanes): places in the first images to be tried
    before all others, so that there is a limit from the start.

    Returns
    -------
    (image, row)
        (last, 0) when done. BOUND is given up when so many places pass the bound that a matrix product is cheaper: then
        that image, and the row at which it is to be taken up with MULTIPLY.
    """
    W = layout.width
    p0, lanes = strip[0] * W, (strip[1] - strip[0]) * W
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    # Arrays by their own names: to take one out of a tuple, or a row out of an array, in a loop costs a count of
    # references, which all threads share.
    cost, limit, row, lowest, nearest = scratch.cost, scratch.limit, scratch.row, scratch.lowest, scratch.nearest
    within, eights = scratch.within, scratch.eights
    cells, weights, coarse, chosen = layout.cells, layout.weights, layout.coarse, scratch.lanes
    squared, fine, q = group.squared, group.fine, query.descriptors
    sketch, group_sketch = query.sketch, group.sketch
    steps, lane_steps = group.steps, scratch.steps
    first_step = steps.shape[1] - squared.shape[2]  # of the fine channels
    known = 1 if mode == MULTIPLY else 0
    slots = best.distance.shape[1]  # each needs a place of its own
    tries = -(-slots // len(seeds)) * len(seeds) if len(seeds) else 0
    for b in range(lanes):
        lane_steps[b] = query.steps[p0 + b]
    for b in range(lanes, len(within)):  # the last user of the buffers may have had more lanes
        within[b] = 0
    for i in range(images[0], images[1]):
        if not ready:
            _lanes(i, strip, W, group.products, group.bands, steps, coarse, cells, weights, scratch.rows)
        ready = False
        for b in range(lanes):
            _set_limit(b, p0 + b, known, query, group.largest[i], tolerance, best.distance, limit)
        passed = zero
        for place in range(rows[0] * W - tries, rows[1] * W):
            found = 0
            if place < 0:
                for b in range(lanes):
                    chosen[b] = b
                found = lanes
            else:
                if place % W == 0:
                    _row(place // W, lanes, coarse, cells, weights, scratch.rows, row)
                hits = _costs(place % W, lanes, squared[0, i, place], cells, weights, row, limit, cost)
                if mode == SEED:
                    here = np.int32(place)
                    for b in range(lanes):
                        c, low, known_place = cost[b], lowest[b], nearest[b]  # read once, or it is no vector loop
                        nearest[b] = here if c < low else known_place
                        lowest[b] = c if c < low else low
                    continue
                if mode == MULTIPLY:
                    hits = zero
                    g = place - rows[0] * W
                    norm = squared[1, i, place]
                    step = two * steps[i, first_step + place]
                    for b in range(lanes):
                        c = cost[b] + norm - step * (lane_steps[b] * np.float32(fine_products[g, b]))
                        cost[b] = c
                        hits += one if c <= limit[b] else zero
                if hits == zero:
                    continue
                passed += hits
                if mode == BOUND and passed > patience + share * (place * lanes):
                    return i, place // W
                for b in range(lanes):
                    within[b] = np.uint8(cost[b] <= limit[b])
                count = 0
                for eight in range(len(eights)):
                    if eights[eight] != 0:
                        for b in range(8 * eight, 8 * eight + 8):  # no branch: which it is cannot be foreseen
                            chosen[count] = b
                            count += within[b]
                for k in range(count):
                    b = np.int64(chosen[k])
                    if mode == MULTIPLY or (
                        _within(p0 + b, i, place, limit[b] - cost[b], sketch, group_sketch)
                        and _within(p0 + b, i, place, limit[b] - cost[b], q, fine)
                    ):
                        chosen[found] = b
                        found += 1
            for k in range(found):
                lane, g, there = (
                    np.int64(chosen[k]),
                    i,
                    place,
                )  # of one type everywhere: each other one is compiled again
                if place < 0:
                    g, further = (-1 - place) % len(seeds), (-1 - place) // len(seeds)
                    there = (seeds[g, lane] + further) % fine.shape[1]
                d = distance(p0 + lane, g, there, query, group, layout, scratch.per_level)
                offer(p0 + lane, d, group.image[g], there, best, distinct, scratch.per_level)
                _set_limit(lane, p0 + lane, known, query, group.largest[i], tolerance, best.distance, limit)
    return images[1], 0


@_inlined
def _within(p, i, place, rest, query, fine):
    """Whether the squared distance of fine channels, or of what is known of them, fits into what is left of the limit."""
    total = np.float32(0)
    for c in range(fine.shape[2]):
        difference = query[p, c] - fine[i, place, c]
        total += difference * difference
    return total <= rest
