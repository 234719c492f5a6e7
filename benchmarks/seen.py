"""A dataset as both stages see it, for benchmarks that compare settings or rules: groups and copies are left out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from anomalign import PRESETS, Bank, Framing, Settings
from anomalign.alignment import align
from anomalign.backbones import Backbone, Described, describe
from anomalign.detection.normal_scores import groups_of
from anomalign.evaluation.datasets.dataset import TestImage
from anomalign.retrieval import ImageSearch

DEFAULT = PRESETS["default"]
MOST = 50  # normal images found for every image: the largest gallery


class Seen:
    """Normal images and test images as one backbone sees them; alignments are kept for settings that share them."""

    def __init__(
        self, folder: str, backbone: Backbone, train: Sequence[Path], test: Sequence[TestImage], framing: Framing
    ) -> None:
        self.framing = framing
        self.bank = Bank.create(Path(folder) / "bank", backbone, framing)
        self.bank.add(train)
        described = list(describe([image.path for image in test], backbone, framing))
        self.tests = [(i, d) for i, d in zip(test, described, strict=True) if isinstance(d, Described)]
        self.anomalous = np.array([image.anomalous for image, _ in self.tests])
        self.queries = [*self.bank.gallery(range(len(self.bank))), *(d.pyramid for _, d in self.tests)]
        search = ImageSearch(self.bank, DEFAULT.descriptor)
        most, rows = min(MOST, len(self.bank) - 1), np.arange(len(self.bank))
        self.groups = groups_of(self.bank, search, DEFAULT)
        self.left_out = [np.union1d(self.groups.left_out(row), search.copies.of(row)) for row in rows.tolist()]
        of_normals = search.leave_out(rows, most, self.left_out)
        of_tests = search.search([d.pyramid for _, d in self.tests], most)
        self.nearest = np.concatenate([of_normals.index, of_tests.index])
        self.far = np.concatenate([of_normals.distance, of_tests.distance])
        self.aligned: dict[tuple, dict[int, list[np.ndarray]]] = {}

    def distances(self, settings: Settings) -> list[np.ndarray]:
        """Distances of stage 2 on the grid, of the normals and then of the tests; of copies of one picture none."""
        shapes, K, kappa = self.bank.identity.shapes, settings.gallery_size, settings.kappa
        grid = shapes[min(settings.grid_level, len(shapes)) - 1][:2]
        given = self.bank.identity.level_weights if settings.level_weights is None else settings.level_weights
        weights = given * len(shapes) if given and len(given) == 1 else given
        known = self.aligned.setdefault((grid, kappa, weights), {})
        if K not in known:
            # The nearest place in a larger gallery is the nearer of that in a smaller one and that in the rest.
            start = max((k for k in known if k < K and kappa == 1), default=0)
            known[K] = []
            for number, query in enumerate(self.queries):
                rows = [int(row) for row in self.nearest[number, start:K] if row >= 0]
                gallery = self.bank.gallery(rows)
                found = align(query, gallery, kappa, grid=grid, level_weights=weights).distance
                known[K].append(np.minimum(found, known[start][number]) if start else found)
        return known[K]

    def retrieval(self, settings: Settings) -> np.ndarray:
        """Scores of stage 1, of the normals and then of the tests."""
        return self.far[:, : settings.image_neighbours].astype(np.float64).mean(axis=1)
