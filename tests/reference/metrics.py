"""Metrics of pixels by their definitions: every distinct score a threshold, one after the other."""

import math

import numpy as np
from scipy import ndimage


def sweep(maps, masks):
    """For each distinct score, highest first: false-positive rate, recall, precision, mean overlap with regions."""
    scores = sorted({float(s) for m in maps for s in m.ravel()}, reverse=True)
    regions = []
    for m, mask in zip(maps, masks, strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [m[labels == i] for i in range(1, count + 1)]
    normal = np.concatenate([m[~mask] for m, mask in zip(maps, masks, strict=True)])
    anomalous = np.concatenate([m[mask] for m, mask in zip(maps, masks, strict=True)])
    rows = []
    for t in scores:
        fp, tp = int((normal >= t).sum()), int((anomalous >= t).sum())
        overlap = sum((r >= t).mean() for r in regions) / len(regions)
        rows.append((fp / len(normal), tp / len(anomalous), tp / (tp + fp), overlap))
    return rows


def area(points, limit):
    """Area under (x, y) points from (0, 0), by trapezoids, up to x = limit, over the limit."""
    total, before_x, before_y = 0.0, 0.0, 0.0
    for x, y in points:
        if x > limit:
            y = before_y + (y - before_y) * (limit - before_x) / (x - before_x)
            x = limit
        total += (x - before_x) * (before_y + y) / 2
        before_x, before_y = x, y
        if x == limit:
            break
    return total / limit


def average_precision(rows):
    total, before = 0.0, 0.0
    for _, recall, precision, _ in rows:
        total += (recall - before) * precision
        before = recall
    return total


def f1_max(rows):
    return max(2 * p * r / (p + r) if p + r else 0.0 for _, r, p, _ in rows)


def au_pimo(maps, masks, lower=1e-5, upper=1e-4):
    """Mean over anomalous images of recall, integrated over log of the mean false-positive rate on normal images."""
    normal = [m for m, mask in zip(maps, masks, strict=True) if not mask.any()]
    scores = sorted({float(s) for m in maps for s in m.ravel()}, reverse=True)
    areas = []
    for m, mask in zip(maps, masks, strict=True):
        if not mask.any():
            continue
        total, before_x, before_y = 0.0, None, 0.0
        for t in scores:
            rate = float(np.mean([(m >= t).mean() for m in normal]))
            y = float((m[mask] >= t).mean())
            if rate > 0:
                x = math.log(rate)
                if before_x is not None and x > before_x:
                    a, b = max(before_x, math.log(lower)), min(x, math.log(upper))
                    if b > a:

                        def at(z, x0=before_x, y0=before_y, x1=x, y1=y):
                            return y0 + (y1 - y0) * (z - x0) / (x1 - x0)

                        total += (b - a) * (at(a) + at(b)) / 2
                before_x = x
            before_y = y
            if rate > upper:
                break
        areas.append(total / math.log(upper / lower))
    return float(np.mean(areas))


def spro(maps, masks, regions, limit):
    """Saturated overlap min(found / saturation, 1), mean over regions [(map number, region mask, saturation)]."""
    scores = sorted({float(s) for m in maps for s in m.ravel()}, reverse=True)
    normal = np.concatenate([m[~mask] for m, mask in zip(maps, masks, strict=True)])
    points = []
    for t in scores:
        overlap = np.mean([min((maps[i][r] >= t).sum() / s, 1) for i, r, s in regions])
        points.append((float((normal >= t).mean()), float(overlap)))
    return area(points, limit)
