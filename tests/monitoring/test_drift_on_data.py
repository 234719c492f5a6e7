"""Drift on photographs: good images of another day are none. With much more light those of larger sets are a change."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from anomalign import PRESETS, Bank, Detector
from anomalign.images.decoding import read_image
from anomalign.images.files import find_images
from anomalign.monitoring.drift import detect_drift
from anomalign.monitoring.observations import Observation

SHARED = Path(__file__).parents[3] / "shared" / "data"
STAGE_1 = replace(PRESETS["default"], decided_by="retrieval")

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the real datasets are not here")


def brighter(path, by):
    pixels = read_image(path).astype(np.float64)
    return np.clip(np.rint((1 + by) * pixels), 0, 255).astype(np.uint8)


def drift_of(detector, images):
    """Drift of the images, in the order given."""
    found = [detector.inspect(image) for image in images]
    seen = [Observation("2026-01-01T00:00:00Z", "a", one.retrieval_score, one.neighbours[0].id, "b") for one in found]
    normals = detector.calibrate()
    return detect_drift(seen, normals.retrieval, normals.nearest, 1000, 0.01, detector.groups, normals.ids)


@pytest.mark.parametrize(
    ("name", "kind", "when_brighter"),
    [
        ("mvtec_ad/hazelnut_reduced", "none", "none"),
        pytest.param("mvtec_ad/screw", "shift", "drift", marks=pytest.mark.slow),
        ("mvtec_ad/transistor_reduced", "none", "none"),
        ("aitex_fabric03", "none", "none"),
        pytest.param("casting_impeller", "none", "drift", marks=pytest.mark.slow),
        pytest.param("kolektorsdd", "none", "drift", marks=pytest.mark.slow),
        pytest.param("magnetic_tile", "none", "shift", marks=pytest.mark.slow),
    ],
)
def test_good_images_of_another_day_are_no_drift(tmp_path, name, kind, when_brighter):
    bank = Bank.create(tmp_path / "bank")
    bank.add(find_images([SHARED / name / "train" / "good"]))
    detector, good = Detector(bank, STAGE_1), find_images([SHARED / name / "test" / "good"])
    assert drift_of(detector, good).kind == kind
    assert drift_of(detector, [brighter(path, 0.3) for path in good]).kind == when_brighter
