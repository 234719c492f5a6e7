"""The promised false-positive rate on photographs of good parts that were never fitted."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from anomalign import PRESETS, Bank, Detector
from anomalign.images.files import find_images

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as a benchmark sees its own folder
import rates

SHARED = Path(__file__).parents[3] / "shared" / "data"
ALL = replace(PRESETS["default"], gate=1.0)

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the real datasets are not here")


def exceeds(rate, tests, bound):
    """Whether so many alarms have a chance of less than 1 in 20 where the rate is at the bound."""
    return binom.sf(round(rate * len(tests)) - 1, len(tests), bound) < 0.05


def alarms(path, normals, tests, groups=None):
    """Share of false alarms at 5 %, or the least rate that the parts support; and the detector."""
    bank = Bank.create(path)
    bank.add(normals, groups=groups)
    detector = Detector(bank, ALL).at_rate(0.05)
    return np.mean([one.verdict == "anomalous" for one in detector.inspect_many(tests)]), detector


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("magnetic_tile", 20),
        pytest.param("magnetic_tile", 40, marks=pytest.mark.slow),
        pytest.param("casting_impeller", 40, marks=pytest.mark.slow),
        pytest.param("mvtec_ad/screw", 40, marks=pytest.mark.slow),
    ],
)
def test_parts_photographed_five_times_keep_the_rate_that_images_would_break(tmp_path, name, parts):
    """A sequence of parts, five pictures of each with small shifts, noise and changes of brightness."""
    images, part = rates.sequence(find_images([SHARED / name / "train" / "good"]), parts, 5)
    tests = find_images([SHARED / name / "test" / "good"])[: 3 * parts]
    by_image, detector = alarms(tmp_path / "each", images, tests, [str(place) for place in range(len(images))])
    assert by_image > 0.5 > 5 * detector.threshold.highest_fpr()
    assert exceeds(by_image, tests, detector.threshold.highest_fpr())  # a promise that counts images fails by far
    found, detector = alarms(tmp_path / "found", images, tests)
    assert detector.groups.origin == "blocks"
    assert parts / 3 <= detector.groups.count <= parts
    assert not exceeds(found, tests, detector.threshold.highest_fpr())
    named, detector = alarms(tmp_path / "named", images, tests, part)
    assert detector.groups.count == parts
    assert not exceeds(named, tests, detector.threshold.highest_fpr())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["casting_impeller", "mvtec_ad/screw"])
def test_independent_parts_lose_nothing(tmp_path, name):
    """No dependence is found, so the threshold is that of each image by itself, to the last digit."""
    bank = Bank.create(tmp_path / "bank")
    bank.add(find_images([SHARED / name / "train" / "good"]))
    as_found = Detector(bank)
    assert (as_found.groups.origin, as_found.groups.count) == ("none", len(bank))
    bank.group("*", [str(image.id) for image in bank.images])
    alone = Detector(bank)
    assert alone.groups.origin == "given"
    assert as_found.threshold == alone.threshold
    assert as_found.normal_scores.tobytes() == alone.normal_scores.tobytes()


def test_no_dependence_is_found_among_the_first_tiles(tmp_path):
    """As above with few files and stage 1 alone, so that it runs each time."""
    bank = Bank.create(tmp_path / "bank")
    bank.add(find_images([SHARED / "magnetic_tile" / "train" / "good"])[:100])
    settings = replace(PRESETS["default"], decided_by="retrieval")
    as_found = Detector(bank, settings)
    assert (as_found.groups.origin, as_found.groups.count) == ("none", 100)
    bank.group("*", [str(image.id) for image in bank.images])
    assert as_found.threshold == Detector(bank, settings).threshold
