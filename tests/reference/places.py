"""What is usual at each place, place by place, in float64; smoothing by SciPy."""

import numpy as np
from scipy.ndimage import gaussian_filter


def statistics(distances, weights, counted=...):
    """(N, h, w) distances, (N,) weights -> (h, w) means and standard deviations; `counted`: (h, w) bool, or all."""
    distances, total = np.asarray(distances, np.float64), sum(weights)
    _, h, w = distances.shape
    mean, variance = np.zeros((h, w)), np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            here = distances[:, y, x]
            mean[y, x] = sum(weights * here) / total
            variance[y, x] = sum(weights * (here - mean[y, x]) ** 2) / total
    own = total / (total + 30)
    drawn = own * variance + (1 - own) * variance[counted].mean()
    return mean, np.sqrt(gaussian_filter(drawn, 1.0, mode="reflect"))


def scores(distance, mean, deviation):
    return np.maximum((distance - mean) / (deviation + np.median(deviation) / 2), 0)
