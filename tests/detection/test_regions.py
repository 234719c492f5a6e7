"""Regions of heat, against scikit-image."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import measure

from anomalign import InputError
from anomalign.calibration.pixels import PixelCounts
from anomalign.detection.regions import MOST_REGIONS, Region, describe_regions, label_regions

SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 14))
MAPS = arrays(np.float32, SHAPES, elements=st.sampled_from([0, 1, 2, 3, 5, np.nan]))
PIXELS = PixelCounts.of(np.arange(5000, dtype=np.float32) / 1000)


def regions_of(scores, least=2.0, **place):
    return describe_regions(label_regions(scores, least), scores, PIXELS, **place)


@given(MAPS)
def test_they_are_those_of_scikit_image_worst_first(scores):
    expected = measure.regionprops(
        measure.label(scores >= 2, connectivity=2), intensity_image=np.nan_to_num(scores, nan=-1)
    )
    expected.sort(key=lambda one: (-one.intensity_max, -one.area))  # a stable sort: others stay in reading order
    found = regions_of(scores)
    assert len(found) == min(len(expected), MOST_REGIONS)
    for region, one in zip(found, expected, strict=False):
        assert (region.box, region.area_px) == (one.bbox, one.area)
        assert region.centre == pytest.approx(one.centroid, abs=0.0051)
        assert region.place_score == one.intensity_max == scores[region.peak]
        assert tuple(region.peak) in {tuple(place) for place in one.coords.tolist()}
        assert region.p_value == PIXELS.p_values(scores)[region.peak]
        assert (region.height, region.width) == (one.bbox[2] - one.bbox[0], one.bbox[3] - one.bbox[1])
        ys, xs = zip(*region.outline, strict=True)
        assert (min(ys), min(xs), max(ys), max(xs)) == region.box


@given(MAPS)
def test_labels_number_them_from_the_worst(scores):
    labels = label_regions(scores, 2.0)
    np.testing.assert_array_equal(labels > 0, scores >= 2)
    for number, region in enumerate(regions_of(scores), 1):
        mask = labels == number
        assert (mask.sum(), scores[mask].max()) == (region.area_px, region.place_score)


@given(MAPS, st.integers(0, 50), st.integers(0, 50))
def test_they_lie_where_the_part_of_the_image_lies(scores, top, left):
    whole = np.full((top + scores.shape[0], left + scores.shape[1]), np.nan, np.float32)
    whole[top:, left:] = scores
    assert regions_of(scores, top=top, left=left) == regions_of(whole)


def test_the_worst_twenty_are_listed():
    scores = np.zeros((20, 20), np.float32)
    scores[::2, ::2] = np.arange(100).reshape(10, 10)
    found = regions_of(scores, 1)
    assert [region.place_score for region in found] == list(range(99, 99 - MOST_REGIONS, -1))
    assert label_regions(scores, 1).max() == 99


def test_there_are_none_in_an_empty_part():
    assert regions_of(np.zeros((0, 0), np.float32)) == ()


@given(MAPS)
def test_they_are_json_and_come_back_equal(scores):
    for region in regions_of(scores):
        assert Region.from_dict(json.loads(json.dumps(region.to_dict()))) == region


def test_twenty_large_ones_take_a_few_kilobytes():
    y, x = np.mgrid[:1000, :1200]
    waves = (np.sin(y / 70) * np.sin(x / 60) + 0.2 * np.sin(y / 9) * np.sin(x / 11)).astype(np.float32)
    found = regions_of(waves, 0.4)
    assert len(found) == MOST_REGIONS
    assert len(json.dumps([region.to_dict() for region in found])) < 12_000


@pytest.mark.parametrize(
    "change",
    [{"box": ...}, {"box": [1, 2, 3]}, {"area_px": 1.5}, {"area_px": True}, {"peak": "12"}, {"p_value": "0.1"},
     {"centre": None}, {"outline": [[1]]}, {"outline": 5}],
)  # fmt: skip
def test_one_that_lacks_a_field_or_has_another_type_is_refused(change):
    (region,) = regions_of(np.full((2, 2), 3, np.float32))
    entry = {key: value for key, value in (region.to_dict() | change).items() if value is not ...}
    with pytest.raises(InputError, match="not a region"):
        Region.from_dict(entry)
