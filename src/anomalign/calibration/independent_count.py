"""How many independent scores a sequence of scores is worth, in which neighbours may be alike."""

import numpy as np
from numpy.typing import NDArray

_LEVEL = 0.005  # chance to find independent scores alike; two stages are looked at
_DRAWS = 1999
_USUAL = 2.0  # standard deviations of a design effect, roughly, where scores are independent
_LARGEST_SHARE, _LONGEST = 4, 32  # blocks of at most one score in so many, and of at most so many


def independent_count(scores: NDArray[np.float64]) -> float:
    """Effective sample size of N scores in the order of the files; N where they look independent.

    Means of blocks vary more than those of as many independent scores if neighbours are alike: by the design effect
    (Kish, 1965), here the largest over blocks of 2, 4, 8, ... scores. A permutation test tells whether that is chance.
    """
    N = len(scores)
    lengths = [2**step for step in range(1, N.bit_length()) if 2**step <= min(N // _LARGEST_SHARE, _LONGEST)]
    if not lengths or np.ptp(scores) == 0:
        return float(N)
    standard = (scores - scores.mean()) / scores.std()
    observed = _design_effects(standard[None], lengths)[0]
    if ((observed - 1) / np.sqrt(4 * np.array(lengths) / (3 * N))).max() < _USUAL:
        return float(N)  # no draw is needed to see that
    rng = np.random.default_rng(0)
    drawn = _design_effects(rng.permuted(np.tile(standard, (_DRAWS, 1)), axis=1), lengths)
    scale = drawn.std(axis=0)
    as_high = np.count_nonzero(((drawn - 1) / scale).max(axis=1) >= ((observed - 1) / scale).max())
    if (1 + as_high) / (1 + _DRAWS) > _LEVEL:
        return float(N)
    return N / float(observed.max())


def _design_effects(standard: NDArray[np.float64], lengths: list[int]) -> NDArray[np.float64]:
    """(R, N) sequences -> (R, L): variance of the means of overlapping blocks, times their length."""
    sums = np.cumsum(np.pad(standard, ((0, 0), (1, 0))), axis=1)
    effects = [((sums[:, L:] - sums[:, :-L]) ** 2).mean(axis=1) / L for L in lengths]
    return np.asarray(np.stack(effects, axis=1), np.float64)
