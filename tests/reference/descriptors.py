"""Image descriptors, slow and obvious: moments by NumPy in float64, whitening by scikit-learn's Ledoit-Wolf."""

import numpy as np
from sklearn.covariance import ledoit_wolf


def raw(pyramid, descriptor):
    if descriptor == "pooled":
        return pyramid.pooled.astype(np.float64)
    levels = [level.astype(np.float64) for level in pyramid.levels]
    means = [level.mean(axis=(0, 1)) for level in levels]
    deviations = [level.std(axis=(0, 1)) for level in levels]
    return np.concatenate(means if descriptor == "level_means" else means + deviations)


def embedded(queries, normals, descriptor):
    """Descriptors of queries and of normals, in a space where the distance that stage 1 means is Euclidean."""
    Q = np.array([raw(pyramid, descriptor) for pyramid in queries])
    X = np.array([raw(pyramid, descriptor) for pyramid in normals])
    if descriptor == "pooled":
        return Q, X
    covariance, _ = ledoit_wolf(X)
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    return Q @ root, X @ root
