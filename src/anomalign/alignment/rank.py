"""Exact distances of the few places that pass the bounds, and the best of them; compiled. Literals are float32."""

import numpy as np

from anomalign.numerics.jit import compiled, inlined


@compiled
def rank(i, count, all_channels, strip, tolerance, query, features, layout, best, distinct, hits, per_level):
    """Compare the first hits of a scan of image i exactly, and store those that are among the best.

    The limits of all lanes of the strip are computed again, also where there are no hits.

    Parameters
    ----------
    i, count : int
        Image of the block; number of hits.
    all_channels : int
        Whether costs and limits are of all channels (1) or of the coarse ones alone (0).
    tolerance : float32
        Bound on what rounding of floats adds to a cost.
    query, features, layout, best, hits : tuples
        See `arrays`.
    per_level : (L,) float32 array
        A buffer.
    """
    fine_query, _, sketch, squared = query
    images, fine, gallery_sketch, _ = features
    limit, at, cost = hits
    p0 = strip[0] * layout[0]
    for b in range((strip[1] - strip[0]) * layout[0]):
        limit[b] = _limit(p0 + b, all_channels, squared, tolerance, best[0])
    for k in range(count):
        lane, place = np.int64(at[k, 0]), np.int64(at[k, 1])
        p, rest = p0 + lane, limit[lane] - cost[k]
        if rest < 0:
            continue
        if all_channels == 0 and not (
            _within(p, i, place, rest, sketch, gallery_sketch) and _within(p, i, place, rest, fine_query, fine)
        ):
            continue
        distance = _distance(p, i, place, query, features, layout, per_level)
        _offer(p, distance, images[i], place, best, distinct, per_level)
        limit[lane] = _limit(p, all_channels, squared, tolerance, best[0])


@inlined
def _within(p, i, place, rest, query, fine):
    """Whether the squared distance of fine channels, or of their sketch, is at most `rest`."""
    total = np.float32(0)
    for c in range(fine.shape[2]):
        difference = query[p, c] - fine[i, place, c]
        total += difference * difference
    return total <= rest


@inlined
def _distance(p, i, place, query, features, layout, per_level):
    """Squared distance from pixel p to a place of image i, from differences; `per_level` gets each level's part."""
    fine_query, coarse_query, _, _ = query
    _, fine, _, coarse_levels = features
    width, fine_channels, coarse, cells, weights = layout
    total = np.float32(0)
    L = len(fine_channels)
    start = 0
    for level in range(L):
        q, g = fine_query[p, start:], fine[i, place, start:]
        part = np.float32(0)
        for c in range(fine_channels[level]):
            difference = q[c] - g[c]
            part += difference * difference
        per_level[level] = part
        total += part
        start += fine_channels[level]
    start = 0
    Y = place // width
    X = place - Y * width
    one = np.float32(1)
    for j in range(len(coarse)):
        columns, channels, at = coarse[j, 1], coarse[j, 2], coarse[j, 3]
        v, u = weights[0, j, Y], weights[1, j, X]
        w00, w01, w10, w11 = (one - v) * (one - u), (one - v) * u, v * (one - u), v * u
        low_row, high_row = (
            at + cells[0, 0, j, Y] * columns * channels,
            at + cells[0, 1, j, Y] * columns * channels,
        )
        low, high = cells[1, 0, j, X] * channels, cells[1, 1, j, X] * channels
        g00, g01 = coarse_levels[i, low_row + low :], coarse_levels[i, low_row + high :]
        g10, g11 = coarse_levels[i, high_row + low :], coarse_levels[i, high_row + high :]
        q = coarse_query[p, start:]
        part = np.float32(0)
        for c in range(channels):
            difference = q[c] - (w00 * g00[c] + w01 * g01[c] + w10 * g10[c] + w11 * g11[c])
            part += difference * difference
        per_level[L + j] = part
        total += part
        start += channels
    return total


@inlined
def _offer(p, distance, image, place, best, distinct, per_level):
    """Put a match in place of a worse one in the slots: nearest first, then lower image, then lower place.

    `distinct`: at most one match for each image.
    """
    distances, images, places, parts = best
    place = np.int32(place)  # the type of the places it is compared with; another type would be compiled again
    slot = 0  # the worst, or that of the same image
    for k in range(distances.shape[1]):
        if images[p, k] == image:
            if places[p, k] == place:
                return
            if distinct:
                slot = k
                break
        if _before(
            distances[p, slot], images[p, slot], places[p, slot],
            distances[p, k], images[p, k], places[p, k],
        ):  # fmt: skip
            slot = k
    if _before(distance, image, place, distances[p, slot], images[p, slot], places[p, slot]):
        distances[p, slot] = distance
        images[p, slot] = image
        places[p, slot] = place
        for level in range(len(per_level)):
            parts[p, slot, level] = per_level[level]


@inlined
def _before(distance_a, image_a, place_a, distance_b, image_b, place_b):
    if distance_a != distance_b:
        return distance_a < distance_b
    if image_a != image_b:
        return image_a < image_b
    return place_a < place_b


@inlined
def _limit(p, all_channels, squared, tolerance, distance):
    """The cost above which a place cannot be among the best of pixel p.

    A cost is a lower bound of the squared distance, less the query's term ``squared[all_channels]``.
    """
    return _worst(p, distance) - squared[all_channels, p] + tolerance


@compiled
def search_window(
    i, rows, radius, tolerance, sketches, query, features, layout, best, distinct, limit, cost, per_level
):
    """Compare pixels in some rows with the places of image i that lie at most `radius` cells away, exactly.

    A squared distance along a few directions is a lower bound. Only places within it are compared in all channels. The
    same place comes first, then places further away, so that limits are low early.

    Parameters
    ----------
    i : int
        Image of the block.
    rows : (int, int)
        First row, and the row after the last.
    radius : int
    tolerance : float32
        Bound on what rounding of floats adds to a bound.
    sketches : (d, H, W) and (d, H, W) float32 arrays
        Coordinates along the directions, of the query and of the image; d is a multiple of 4.
    query, features, layout, best : tuples
        See `arrays`.
    limit, cost, per_level : (B,), (B,) and (L,) float32 arrays
        Buffers; B pixels of a row are compared together.
    """
    own, other = sketches
    directions, H, W = own.shape
    B = len(limit)
    images = features[0]
    for Y in range(rows[0], rows[1]):
        for X0 in range(0, W, B):
            lanes = min(B, W - X0)
            p0 = Y * W + X0
            for b in range(lanes):
                limit[b] = _worst(p0 + b, best[0]) + tolerance
            for step_down in range(2 * radius + 1):
                y = Y + _alternating(step_down)
                if y < 0 or y >= H:
                    continue
                for step_right in range(2 * radius + 1):
                    right = _alternating(step_right)
                    first, last = max(0, -right - X0), min(lanes, W - right - X0)
                    if first >= last:
                        continue
                    n, left = last - first, X0 + first
                    limits, within = limit[first:], 0
                    for b in range(n):
                        cost[b] = 0
                    for k in range(0, directions, 4):  # four at a time: fewer passes over the costs
                        q0, g0 = own[k, Y, left:], other[k, y, left + right :]
                        q1, g1 = own[k + 1, Y, left:], other[k + 1, y, left + right :]
                        q2, g2 = own[k + 2, Y, left:], other[k + 2, y, left + right :]
                        q3, g3 = own[k + 3, Y, left:], other[k + 3, y, left + right :]
                        for b in range(n):
                            d0, d1, d2, d3 = q0[b] - g0[b], q1[b] - g1[b], q2[b] - g2[b], q3[b] - g3[b]
                            cost[b] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
                        if k % 8 == 4 or k + 4 == directions:
                            within = 0
                            for b in range(n):
                                within += cost[b] <= limits[b]
                            if within == 0:
                                break
                    if within == 0:
                        continue
                    for b in range(n):
                        if cost[b] <= limits[b]:
                            p, place = p0 + first + b, np.int64(y * W + left + right + b)
                            distance = _distance(p, i, place, query, features, layout, per_level)
                            _offer(p, distance, images[i], place, best, distinct, per_level)
                            limits[b] = _worst(p, best[0]) + tolerance


@inlined
def _alternating(step):
    """0, 1, 2, 3, 4 ... -> 0, -1, 1, -2, 2 ..."""
    half = (step + 1) // 2
    return -half if step % 2 else half


@inlined
def _worst(p, distance):
    """The largest distance among the best of pixel p."""
    worst = distance[p, 0]
    for k in range(1, distance.shape[1]):
        worst = distance[p, k] if distance[p, k] > worst else worst
    return worst
