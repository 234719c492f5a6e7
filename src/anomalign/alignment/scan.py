"""The loops of the exact search over all pairs of pixels, compiled. docs/alignment.md explains what they compute.

All literals are float32: one float64 would halve the speed.
"""

import numpy as np

from anomalign.numerics.jit import compiled, inlined

BOUND, MULTIPLY, SEED = 0, 1, 2


@compiled
def scan(mode, strip, i, rows, ready, fine_products, max_hits, products, layout, room, hits):
    """Compare a strip, rows Y0..Y1 of the query, with rows Ya..Yb of image i of a block.

    BOUND: a cost is the squared distance of the coarse channels alone, a lower bound. MULTIPLY: of all channels, the
    products of the fine ones being `fine_products`. SEED: only find the place of lowest coarse cost for each lane.

    `products`, `layout`, `room` and `hits` are tuples, see `arrays`. `ready`: whether the image's lanes are in `room`.

    Returns
    -------
    (hits, row)
        Number of costs within the limits, which are now in `hits`, and the row to go on with: the scan ends early
        before a row if there are `max_hits` hits.
    """
    coarse_products, bands, cell_steps, squared = products
    W, _, coarse, cells, weights = layout
    lane_rows, row, lane_steps, cost, lowest, nearest, within, eights = room
    limit, at, hit_cost = hits
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    lanes = (strip[1] - strip[0]) * W
    if not ready:
        _lanes(i, strip, W, coarse_products, bands, cell_steps, coarse, cells, weights, lane_rows)
    first_step = cell_steps.shape[1] - squared.shape[2]  # of the fine channels
    count = 0
    for place in range(rows[0] * W, rows[1] * W):
        if place % W == 0:
            if count >= max_hits:
                return count, place // W
            _row(place // W, lanes, coarse, cells, weights, lane_rows, row)
        row_hits = _costs(place % W, lanes, squared[0, i, place], cells, weights, row, limit, cost)
        if mode == SEED:
            place32 = np.int32(place)
            for b in range(lanes):
                c, low, old_place = cost[b], lowest[b], nearest[b]  # read once, or this is not a vector loop
                nearest[b] = place32 if c < low else old_place
                lowest[b] = c if c < low else low
            continue
        if mode == MULTIPLY:
            row_hits = zero
            g = place - rows[0] * W
            norm, step = squared[1, i, place], two * cell_steps[i, first_step + place]
            for b in range(lanes):
                c = cost[b] + norm - step * (lane_steps[b] * np.float32(fine_products[g, b]))
                cost[b] = c
                row_hits += one if c <= limit[b] else zero
        if row_hits == zero:
            continue
        for b in range(lanes):
            within[b] = np.uint8(cost[b] <= limit[b])
        for eight in range(len(eights)):
            if eights[eight] != 0:
                for b in range(8 * eight, 8 * eight + 8):  # no branch, as its outcome could not be predicted
                    at[count, 0], at[count, 1], hit_cost[count] = b, place, cost[b]
                    count += within[b]
    return count, rows[1]


@inlined
def _lanes(i, strip, W, products, bands, steps, coarse, cells, weights, rows):
    """Coarse products of image i for the lanes: interpolates rows of the query; its columns are interpolated before."""
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


@inlined
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


@inlined
def _costs(X, lanes, squared, cells, weights, row, limit, cost):
    """``|g|^2 - 2 <q, g>`` of the coarse channels, for all lanes and the place in column X of the row.

    Returns how many are within the limits.
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
