"""A region of interest: what lies outside counts for nothing, in both stages, calibration, heat and metrics."""

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing, InputError, RegionOfInterest, Settings
from anomalign.alignment import map_score
from anomalign.detection.evidence import HEAT_BEGINS
from anomalign.detection.regions import describe_regions, label_regions
from anomalign.images.orientation import Turn
from anomalign.images.region import FILL
from anomalign.images.shown import Part
from tests.pictures import texture
from tests.reference import places as reference

TOP, LEFT, HEIGHT, WIDTH = 20, 30, 50, 64
IMAGES = [texture(seed, 100, 120) for seed in range(12)]
QUERY = texture(99, 100, 120)
EVERYTHING = Settings(gallery_size=4, gate=1.0)


def disc():
    y, x = np.mgrid[:100, :120]
    return (y - 45) ** 2 + (x - 60) ** 2 < 25**2


def crop(image):
    return np.ascontiguousarray(image[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH])


def other_outside(image, inside):
    """The image with other pixels outside."""
    noise = np.random.default_rng(7).integers(0, 255, image.shape, np.uint8)
    return np.where(inside[..., None], image, noise)


def rectangle():
    inside = np.zeros((100, 120), np.bool_)
    inside[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH] = True
    return inside


@pytest.fixture(scope="module")
def make(tmp_path_factory, tiny_backbone):
    def make(region, images=IMAGES, augment=""):
        bank = Bank.create(
            tmp_path_factory.mktemp("region") / "bank", tiny_backbone, Framing(64, None, region), augment
        )
        assert bank.add(images).added == len(images)
        return bank

    return make


@pytest.fixture(scope="module")
def in_rectangle(make):
    return Detector(make(RegionOfInterest(TOP, LEFT, HEIGHT, WIDTH)), EVERYTHING)


@pytest.fixture(scope="module")
def in_disc(make):
    return Detector(make(RegionOfInterest.of_mask(disc())), EVERYTHING)


@pytest.mark.parametrize("augment", ["", "flip"])
def test_a_bank_with_a_rectangle_equals_one_of_images_that_were_cropped_beforehand(make, augment):
    with_region = make(RegionOfInterest(TOP, LEFT, HEIGHT, WIDTH), augment=augment)
    of_crops = make(None, [crop(image) for image in IMAGES], augment)
    for kind in ("pooled", "moments"):
        np.testing.assert_array_equal(with_region.vectors(kind), of_crops.vectors(kind))
    for a, b in zip(
        with_region.views(range(24 if augment else 12)), of_crops.views(range(24 if augment else 12)), strict=True
    ):
        assert all(np.array_equal(one, other) for one, other in zip(a.levels, b.levels, strict=True))
    found, expected = (
        Detector(with_region, EVERYTHING).inspect(QUERY),
        Detector(of_crops, EVERYTHING).inspect(crop(QUERY)),
    )
    for name in ("verdict", "image_score", "threshold", "p_value", "retrieval_score"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("anomaly_map", "score_map", "pixel_p_values"):
        placed = getattr(found, name)
        np.testing.assert_array_equal(crop(placed), getattr(expected, name))
        np.testing.assert_array_equal(np.isnan(placed), ~rectangle())
    for y, x in ((0, 0), (25, 31), (49, 63)):
        a, b = found.match_at(TOP + y, LEFT + x), expected.match_at(y, x)
        assert (a.y - TOP, a.x - LEFT, a.turned_y - TOP, a.turned_x - LEFT) == (b.y, b.x, b.turned_y, b.turned_x)
        assert (a.distance, a.usual, a.turn) == (b.distance, b.usual, b.turn)


@pytest.mark.parametrize("kind", ["rectangle", "disc"])
def test_pixels_outside_change_nothing(request, make, kind):
    detector, inside = request.getfixturevalue(f"in_{kind}"), {"rectangle": rectangle(), "disc": disc()}[kind]
    region = detector.bank.identity.framing.region
    changed = Detector(make(region, [other_outside(image, inside) for image in IMAGES]), EVERYTHING)
    np.testing.assert_array_equal(detector.normal_scores, changed.normal_scores)
    before, after = detector.inspect(QUERY), changed.inspect(other_outside(QUERY, inside))
    assert before.image_score == after.image_score
    assert before.retrieval_score == after.retrieval_score
    np.testing.assert_array_equal(before.score_map, after.score_map)
    np.testing.assert_array_equal(before.anomaly_map, after.anomaly_map)
    np.testing.assert_array_equal(np.isnan(before.score_map), ~inside)


def test_places_outside_a_mask_are_neither_in_the_score_nor_in_the_calibration(in_disc):
    framing, calibration = in_disc.bank.identity.framing, in_disc.rule.calibration
    found = in_disc.inspect(QUERY).aligned
    h, w = found.place_scores.shape
    counted = framing.counted((h, w))
    assert 0 < counted.sum() < counted.size
    places = calibration.places
    unit = places.deviation + np.float32(0.5) * np.median(places.deviation[counted])
    expected = np.maximum((found.alignment.distance - places.mean) / unit, 0)
    np.testing.assert_allclose(found.place_scores, expected, rtol=1e-5)
    assert found.score == pytest.approx(np.sort(expected[counted])[-1:].mean())
    assert found.score == map_score(found.place_scores[counted], in_disc.settings.top_share)
    pixels = framing.counted((64, 64))
    assert calibration.pixels.counts.sum() == len(in_disc.bank) * pixels.sum()


def test_the_variance_of_places_is_drawn_towards_that_of_places_that_count(in_disc):
    measured, places = in_disc.measured, in_disc.rule.calibration.places
    mean, deviation = reference.statistics(measured.distances, measured.weights, places.counted)
    np.testing.assert_allclose(places.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(places.deviation, deviation, rtol=1e-4)
    assert not np.allclose(deviation, reference.statistics(measured.distances, measured.weights)[1], rtol=1e-4)


def test_a_place_outside_a_mask_has_the_match_of_the_nearest_that_counts(in_disc):
    inspection = in_disc.inspect(QUERY)
    alignment = inspection.alignment
    rows, columns = inspection.framing.nearest_counted(alignment.distance.shape)
    for name in ("distance", "image", "y", "x", "per_level"):
        array = getattr(alignment, name)
        np.testing.assert_array_equal(array, array[rows, columns])


def test_a_pixel_outside_a_mask_has_no_match(in_disc):
    inspection = in_disc.inspect(QUERY)
    inspection.match_at(45, 60)
    with pytest.raises(InputError, match="lies outside the part"):
        inspection.match_at(22, 37)  # within the rectangle of the mask


@pytest.mark.parametrize("kind", ["rectangle", "disc"])
def test_regions_of_heat_are_those_of_the_score_map_and_end_where_the_region_of_interest_ends(request, kind):
    detector, inside = request.getfixturevalue(f"in_{kind}"), {"rectangle": rectangle(), "disc": disc()}[kind]
    spoilt = QUERY.copy()
    spoilt[20:50, 30:100] = 255
    inspection = detector.inspect(spoilt)
    least = inspection.pixels.score_at(HEAT_BEGINS)
    labels = label_regions(inspection.score_map, least)
    assert inspection.verdict == "anomalous"
    assert inspection.regions == describe_regions(labels, inspection.score_map, inspection.pixels) != ()
    np.testing.assert_array_equal(inspection.region_labels(), labels)
    assert not (labels[~inside]).any()
    for region in inspection.regions:
        inspection.match_at(*region.peak)


def test_a_small_picture_of_a_normal_image_is_grey_where_nothing_counts(in_disc):
    inspection = replace(in_disc.inspect(QUERY), verdict="normal", image=np.full((100, 120, 3), 200, np.uint8))
    whole = Part(0, 0, 100, 120, (100, 120), inspection.framing)
    shown = inspection._with_heat(np.full((50, 60, 3), 200, np.uint8), whole, even_if_normal=False)
    np.testing.assert_array_equal((shown == 200).all(axis=2), disc()[1::2, 1::2])
    np.testing.assert_array_equal((inspection.overlay() == 200).all(axis=2), disc())


def wedge():
    y, x = np.mgrid[:100, :120]
    return (y > 20) & (x > 30) & (x - 30 + y - 20 < 50)


@pytest.mark.parametrize("mask", [disc(), wedge()], ids=["disc", "wedge"])
@pytest.mark.parametrize("augment", ["flip,rotate", "rotate:20"])
def test_the_mask_is_turned_with_the_image(make, mask, augment):
    """The bank holds what one of pictures holds that are grey outside the mask; only the mask of the image counts."""
    region = RegionOfInterest.of_mask(mask)
    grey = [np.where(mask[..., None], image, np.uint8(FILL)) for image in IMAGES]
    masked = make(region, [other_outside(image, mask) for image in IMAGES], augment)
    filled = make(replace(region, mask=None), grey, augment)
    for turn in range(len(masked.identity.turns)):
        np.testing.assert_array_equal(masked.vectors("moments", turn), filled.vectors("moments", turn))
    np.testing.assert_array_equal(masked.views([1])[0].levels[0], filled.views([1])[0].levels[0])
    inspection = Detector(masked, EVERYTHING).inspect(QUERY)
    np.testing.assert_array_equal(np.isnan(inspection.score_map), ~mask)


def test_a_turned_part_in_a_round_mask_is_found_in_its_orientation(make):
    region = RegionOfInterest.of_mask(disc())
    turned = IMAGES[3].copy()
    box = slice(region.top, region.top + region.height), slice(region.left, region.left + region.width)
    turned[box] = np.rot90(IMAGES[3][box])
    detectors = (Detector(make(region, augment=augment), EVERYTHING) for augment in ("", "rotate"))
    plain, augmented = (detector.inspect(turned) for detector in detectors)
    assert augmented.neighbours[0].name == "array 3"
    match = augmented.match_at(region.top + 20, region.left + 30)
    assert match.turn == Turn(degrees=90)
    least = [inspection.alignment.distance.max() for inspection in (plain, augmented)]
    assert least[1] < 1e-3 * least[0]


def test_a_mask_that_covers_half_of_no_place_is_refused(tmp_path, tiny_backbone):
    thin = np.eye(200, dtype=np.bool_)
    with pytest.raises(InputError, match="too thin"):
        Bank.create(tmp_path / "bank", tiny_backbone, Framing(64, region=RegionOfInterest.of_mask(thin)))


def test_images_of_another_size_are_reported(make, in_disc):
    bank = make(RegionOfInterest(TOP, LEFT, HEIGHT, WIDTH))
    report = bank.add([texture(50, 60, 120), texture(51, 70, 94)])
    assert report.added == 1
    (failure,) = report.failures
    assert "has 60 x 120 pixels" in failure.error
    (failure,) = in_disc.inspect_many([texture(50, 60, 120)])
    assert "mask of the region of interest has 100 x 120" in failure.error


@pytest.mark.parametrize("kind", ["rectangle", "disc"])
def test_synthetic_defects_are_drawn_inside_only(request, kind):
    detector, inside = request.getfixturevalue(f"in_{kind}"), {"rectangle": rectangle(), "disc": disc()}[kind]
    region = detector.bank.identity.framing.region
    plan = detector.plan_defects(images=4)
    box = inside[region.top :, region.left :][: region.height, : region.width]
    for place, picture in enumerate(plan.pictures):
        assert picture.pixels.shape[:2] == (region.height, region.width)
        for defect in plan.defects(place):
            assert not (defect.mask & ~box).any()
            changed = (defect.picture != picture.pixels).any(axis=2)
            assert not (changed & ~box).any()
    power = detector.check_plan(plan)
    assert power.side_px == min(region.height, region.width)


def test_nothing_drawn_changes_nothing_in_a_check(in_disc):
    """The features of the picture of the region are those of the image: an unchanged picture has its stored score."""
    plan = in_disc.plan_defects(images=3)
    power = in_disc.check_plan(plan)
    place_of = {image.sha256: n for n, image in enumerate(in_disc.bank.images)}
    for sha256, score in power.plain_scores.items():
        assert score == pytest.approx(in_disc.normal_scores[place_of[sha256]])


def test_inspections_stay_small_when_they_are_pickled(in_disc, in_rectangle):
    big, small = (len(pickle.dumps(one.inspect(QUERY))) for one in (in_disc, in_rectangle))
    assert big < small + 2000


def test_the_preview_of_a_small_region_in_a_large_image_shows_it(tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, Framing(64, region=RegionOfInterest(100, 200, 150, 200)))
    bank.add([texture(1, 1500, 2000)])
    assert Image.open(io.BytesIO(bank.preview(1))).size == (1280, 960)
