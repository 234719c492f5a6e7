"""Stage 2 scores of a bank's normal images, the slow way, from the distances that are stored in the bank."""

import numpy as np
import pytest

from tests.reference import places


def check_place_scores(bank, chosen, scores, left_out):
    """On a grid of 8 x 8, where the highest score of a place is that of the image. `left_out` takes a row."""
    stored = {one.image: one.distances[16:] for one in bank.load_aligned(chosen.alignment_key())}
    distances = np.array([np.frombuffer(stored[id], np.float32).reshape(8, 8) for id in scores.ids.tolist()])
    for row, score in enumerate(scores.alignment.tolist()):
        others = np.setdiff1d(np.arange(len(distances)), left_out(row))
        usual = places.statistics(distances[others], scores.groups.weights[others])
        assert score == pytest.approx(places.scores(distances[row], *usual).max(), rel=1e-4, abs=1e-5)
