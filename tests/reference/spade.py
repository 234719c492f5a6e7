"""SPADE (Cohen and Hoshen, 2020), both stages, word for word, in loops. Everything is float64."""

import math

import numpy as np


def image_score(g, bank, k):
    """Stage 1: mean squared Euclidean distance from g (D,) to its k nearest rows of bank (N, D); and those rows."""
    distances = [sum((float(a) - float(b)) ** 2 for a, b in zip(g, row, strict=True)) for row in bank]
    order = sorted(range(len(bank)), key=lambda i: (distances[i], i))[:k]
    return sum(distances[i] for i in order) / k, order, [distances[i] for i in order]


def bilinear(level, H, W):
    """Upsample (h, w, C) to (H, W, C): half-pixel centres, align_corners=False, edges clamped."""
    h, w, C = level.shape
    out = np.zeros((H, W, C))
    for y in range(H):
        for x in range(W):
            v = min(max((y + 0.5) * h / H - 0.5, 0), h - 1)
            u = min(max((x + 0.5) * w / W - 0.5, 0), w - 1)
            y0, x0 = math.floor(v), math.floor(u)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            a, b = v - y0, u - x0
            top = (1 - b) * level[y0, x0].astype(float) + b * level[y0, x1].astype(float)
            bottom = (1 - b) * level[y1, x0].astype(float) + b * level[y1, x1].astype(float)
            out[y, x] = (1 - a) * top + a * bottom
    return out


def averaged(level, H, W):
    """Average (h, w, C) down to (H, W, C), whole cells only: h and w are multiples of H and W."""
    h, w, _ = level.shape
    assert (h % H, w % W) == (0, 0)
    out = np.zeros((H, W, level.shape[2]))
    for y in range(H):
        for x in range(W):
            cell = level[y * h // H : (y + 1) * h // H, x * w // W : (x + 1) * w // W].astype(float)
            out[y, x] = cell.mean(axis=(0, 1))
    return out


def descriptors(levels, H, W, weights):
    """(H, W, sum of C): concatenation over levels of s_l * up_l(F_l)."""
    maps = []
    for weight, level in zip(weights, levels, strict=True):
        resize = bilinear if level.shape[0] <= H and level.shape[1] <= W else averaged
        maps.append(weight * resize(level, H, W))
    return np.concatenate(maps, axis=2)


def pixel_distances(query, gallery, y, x, H, W, weights):
    """All squared distances from one query pixel, as (distance, image, y', x'), nearest first."""
    q = descriptors(query, H, W, weights)[y, x]
    found = []
    for image, levels in enumerate(gallery):
        g = descriptors(levels, H, W, weights)
        for yy in range(H):
            for xx in range(W):
                found.append((float(((q - g[yy, xx]) ** 2).sum()), image, yy, xx))
    return sorted(found)


def align(query, gallery, kappa=1, grid=None, weights=None):
    """Stage 2: (H, W) mean squared distance to the kappa nearest places among all pixels of all gallery images.

    Also the (H, W, K, H', W') distances themselves, so that a test can tell a wrong match from a tie.
    """
    H, W = grid or query[0].shape[:2]
    weights = weights or [1.0] * len(query)
    q = descriptors(query, H, W, weights)
    g = np.stack([descriptors(levels, H, W, weights) for levels in gallery])  # (K, H, W, C)
    score = np.zeros((H, W))
    every = np.zeros((H, W, *g.shape[:3]))
    for y in range(H):
        for x in range(W):
            every[y, x] = ((g - q[y, x]) ** 2).sum(axis=-1)
            score[y, x] = np.sort(every[y, x].ravel())[:kappa].mean()
    return score, every


def smoothed(score, size, sigma):
    """Score map upsampled bilinearly to size x size and smoothed with a Gaussian, mirrored at the edges."""
    up = bilinear(score[:, :, None], size, size)[:, :, 0]
    radius = int(4 * sigma + 0.5)
    kernel = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    kernel = [k / sum(kernel) for k in kernel]
    for axis in (0, 1):
        padded = np.pad(up, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], mode="symmetric")
        up = sum(k * np.take(padded, range(i, i + size), axis=axis) for i, k in enumerate(kernel))
    return up
