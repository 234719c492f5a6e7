"""An inspection is data: it travels to other processes, equals its copy, and its summary is one dict everywhere."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import ExifTags, Image

from anomalign import Bank, Detector, Framing, InputError, Inspection, InspectionSummary, Settings
from anomalign.calibration.pixels import PixelCounts
from anomalign.detection.evidence import HEAT_BEGINS
from anomalign.detection.regions import describe_regions, label_regions
from tests.pictures import save, texture


def defective(seed):
    image = texture(seed).copy()
    image[16:48, 16:48] = 255
    return image


@pytest.fixture(scope="module")
def detector(tmp_path_factory, tiny_backbone):
    bank = Bank.create(tmp_path_factory.mktemp("data") / "parts.bank", tiny_backbone, Framing(64), augment="flip")
    bank.add([texture(seed) for seed in range(24)])
    return Detector(bank, Settings(gallery_size=4, gate=0.5), 0.1)


@pytest.fixture(scope="module")
def inspections(detector):
    """One that stage 1 cleared, and one that went through both stages."""
    both = [detector.inspect(texture(3)), detector.inspect(defective(50))]
    assert [inspection.has_aligned for inspection in both] == [False, True]
    return both


def test_it_equals_its_pickled_copy_and_nothing_else(inspections):
    for inspection in inspections:
        copy = pickle.loads(pickle.dumps(inspection))
        assert copy == inspection
        assert hash(copy) == hash(inspection)
        assert copy != replace(inspection, p_value=0.5)
    cleared, aligned = inspections
    assert cleared != aligned
    framed = aligned.aligned.frame_map.copy()
    framed[3, 4] += 1
    outcome = replace(aligned.aligned, frame_map=framed)
    assert replace(aligned, comparison=replace(aligned.comparison, aligned=outcome)) != aligned


def test_what_is_made_from_it_does_not_travel(inspections):
    _, aligned = inspections
    before = len(pickle.dumps(replace(aligned)))
    assert aligned.anomaly_map.nbytes > 0
    assert len(pickle.dumps(aligned)) == before


IN_ANOTHER_PROCESS = """
import pickle, sys
from anomalign import Bank, Detector, Settings
inspection = pickle.load(sys.stdin.buffer)
detector = Detector(Bank.open(sys.argv[1]), Settings(gallery_size=4, gate=0.5), 0.1)
pickle.dump(detector.align(inspection), sys.stdout.buffer)
"""


def test_stage_2_of_a_cleared_image_can_be_had_in_another_process(detector, inspections):
    cleared, _ = inspections
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(detector.bank.path)]
    answer = subprocess.run(command, input=pickle.dumps(cleared), capture_output=True, check=True)
    assert pickle.loads(answer.stdout) == detector.align(cleared)


def test_the_summary_is_json_and_comes_back_equal(inspections):
    for inspection in inspections:
        entry = json.loads(json.dumps(inspection.to_dict()))
        assert InspectionSummary.from_dict(entry) == inspection.summary()
        again = Inspection.from_dict(entry)
        assert again.summary() == inspection.summary()
        assert (again.course, again.neighbours) == (inspection.course, inspection.neighbours)
        with pytest.raises(InputError, match="only the summary"):
            again.anomaly_map  # noqa: B018


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": ...},
        {"verdict": "maybe"},
        {"stage": "foo"},
        {"image_score": "high"},
        {"image_score": None},
        {"threshold": [1]},
        {"height": -3.5},
        {"width": True},
        {"suspected": "false"},
        {"borderline": "false"},
        {"borderline": 0},
        {"borderline": None},
        {"regions": None},
        {"regions": [{"box": [1, 2, 3, 4]}]},
        {"region_count": "3"},
        {"neighbours": ""},
        {"neighbours": [5]},
        {"neighbours": [{"id": 1}]},
        {"neighbours": [{"id": "1", "name": "n", "sha256": "a", "distance": 0.5}]},
    ],
)
def test_a_summary_that_lacks_a_field_or_has_another_type_is_refused(inspections, change):
    entry = inspections[0].to_dict() | change
    entry = {key: value for key, value in entry.items() if value is not ...}
    with pytest.raises(InputError, match="not the summary of an inspection"):
        InspectionSummary.from_dict(entry)
    with pytest.raises(InputError, match="not the summary of an inspection"):
        InspectionSummary.from_dict(None)


def test_a_summary_of_an_earlier_version_lacks_borderline_and_is_read(inspections):
    for inspection in inspections:
        entry = inspection.to_dict()
        del entry["borderline"]
        assert InspectionSummary.from_dict(entry) == replace(inspection.summary(), borderline=False)
        assert InspectionSummary.from_dict(entry | {"borderline": True}).borderline


def test_a_summary_of_an_earlier_version_lacks_regions_and_is_read(inspections):
    entry = inspections[1].to_dict()
    del entry["regions"], entry["region_count"]
    assert InspectionSummary.from_dict(entry) == replace(inspections[1].summary(), regions=(), region_count=0)


def heated(scores, pixels):
    """Which pixels have heat, one by one: at most 1 in 1,000 pixels of normal images scores as high."""
    return pixels.p_values(scores) <= np.float32(HEAT_BEGINS)


def test_regions_are_those_of_the_score_map(detector, inspections):
    _, aligned = inspections
    labels = label_regions(aligned.score_map, aligned.pixels.score_at(HEAT_BEGINS))
    np.testing.assert_array_equal(labels > 0, heated(aligned.score_map, aligned.pixels))
    np.testing.assert_array_equal(aligned.region_labels(), labels)
    assert aligned.regions == describe_regions(labels, aligned.score_map, aligned.pixels)
    assert aligned.region_count == labels.max() == len(aligned.regions) > 0
    top, left, bottom, right = aligned.regions[0].box
    assert top < 48
    assert bottom > 16
    assert left < 48
    assert right > 16
    assert aligned.regions[0].place_score == aligned.score_map.max()


@pytest.mark.parametrize("size", [(64, 64), (50, 211), (211, 50), (97, 64), (33, 31), (400, 600)])
@pytest.mark.parametrize("resize_px", [None, 80])
def test_regions_of_any_size_and_framing_are_those_of_the_whole_map(inspections, size, resize_px):
    """Only a part of the map is made for them: it must hold all of them, and the rest of the map none."""
    aligned = inspections[1]
    comparison = aligned.comparison
    h, w = comparison.aligned.place_scores.shape
    for seed in range(5):
        scores = np.random.default_rng(seed).exponential(1, (h, w)).astype(np.float32) ** 3
        pixels = PixelCounts.of(np.random.default_rng(seed).exponential(1.5, 20_000).astype(np.float32) ** 3)
        changed = replace(
            comparison,
            framing=Framing(64, resize_px),
            aligned=replace(comparison.aligned, place_scores=scores),
            pixels=pixels,
        )
        one = replace(aligned, comparison=changed, height=size[0], width=size[1]).with_regions()
        labels = label_regions(one.score_map, pixels.score_at(HEAT_BEGINS))
        np.testing.assert_array_equal(one.region_labels(), labels)
        assert one.regions == describe_regions(labels, one.score_map, pixels)
        assert one.region_count == labels.max()


def test_a_normal_image_has_no_regions_unless_asked_for(detector):
    aligned = detector.align(detector.inspect(texture(3)))
    scores = np.full_like(aligned.aligned.place_scores, 1e9)
    changed = replace(aligned.comparison, aligned=replace(aligned.aligned, place_scores=scores))
    hot = replace(aligned, comparison=changed)
    assert hot.verdict == "normal"
    assert hot.with_regions() == hot
    assert (hot.regions, hot.region_count) == ((), 0)
    assert not hot.region_labels().any()
    asked = hot.with_regions(even_if_normal=True)
    assert [region.box for region in asked.regions] == [(0, 0, 64, 64)]
    assert (hot.region_labels(even_if_normal=True) == 1).all()


def test_regions_of_a_photograph_that_was_turned_by_its_exif_entry_are_where_a_person_sees_them(detector, tmp_path):
    image = Image.fromarray(texture(50, 64, 96))
    image.paste((255, 255, 255), (60, 8, 84, 32))
    upright, turned = tmp_path / "upright.png", tmp_path / "turned.png"
    image.save(upright)
    entries = Image.Exif()
    entries[ExifTags.Base.Orientation] = 6  # to be turned by 90 degrees to the right
    image.transpose(Image.Transpose.ROTATE_90).save(turned, exif=entries)
    one, other = detector.inspect(upright), detector.inspect(turned)
    assert (other.height, other.width) == (64, 96)
    assert other.regions == one.regions != ()
    y, x = one.regions[0].centre
    assert 8 <= y < 32
    assert 60 <= x < 84


def test_further_keys_of_a_summary_and_of_its_neighbours_are_ignored(inspections):
    entry = inspections[0].to_dict() | {"id": 7}
    entry["neighbours"] = [{**neighbour, "gone": False} for neighbour in entry["neighbours"]]
    assert InspectionSummary.from_dict(entry) == inspections[0].summary()


def test_a_score_that_is_nan_does_not_make_a_copy_unequal(inspections):
    inspection = replace(inspections[1], image_score=float("nan"))
    assert pickle.loads(pickle.dumps(inspection)) == inspection


def test_stage_2_needs_the_same_normal_images(detector, inspections, tmp_path, tiny_backbone):
    other = Bank.create(tmp_path / "other.bank", tiny_backbone, Framing(64))
    other.add([texture(seed) for seed in range(60, 63)])
    with pytest.raises(InputError, match="no image"):
        Detector(other, Settings(gate=0.5)).align(inspections[0])
    other.add([texture(seed) for seed in range(63, 90)])  # now the same identifiers, and other images
    with pytest.raises(InputError, match="other normal images"):
        Detector(other, Settings(gate=0.5)).align(inspections[0])


def test_stage_2_needs_the_same_orientations(detector, inspections, tmp_path, tiny_backbone):
    upright = Bank.create(tmp_path / "upright.bank", tiny_backbone, Framing(64))
    upright.add([texture(seed) for seed in range(24)])
    assert any(turn > 0 for _, turn in inspections[0].comparison.gallery)
    with pytest.raises(InputError, match="other normal images"):
        Detector(upright, Settings(gate=0.5)).align(inspections[0])


def test_judging_again_at_another_rate_equals_inspecting_at_that_rate(detector):
    for rate in (0.05, 0.3, 0.9):
        other = Detector(detector.bank, detector.settings, rate)
        for image in (texture(3), texture(70), texture(71), defective(50)):
            assert other.judge_again(detector.inspect(image)).summary() == other.inspect(image).summary()


def test_the_gallery_is_as_large_as_was_asked_also_where_more_neighbours_are_averaged(detector):
    narrow = Detector(detector.bank, Settings(gallery_size=1, image_neighbours=3, gate=1.0), 0.1)
    inspection = narrow.inspect(texture(80))
    assert len(inspection.neighbours) == 3
    assert inspection.retrieval_score == pytest.approx(np.mean([n.distance for n in inspection.neighbours]))
    assert [image.id for image in inspection.aligned.gallery] == [inspection.neighbours[0].id]
    assert set(inspection.alignment.image.ravel()) == {0}


def test_an_image_is_carried_where_it_is_asked_for_and_only_there(detector, tmp_path):
    paths = save(tmp_path / "pictures", 6)
    plain = list(detector.inspect_many(paths))
    carried = list(detector.inspect_many(paths, keep_images=True))
    assert [inspection.image for inspection in plain] == [None] * 6
    assert [replace(inspection, image=None, normal_picture=None) for inspection in carried] == plain
    np.testing.assert_array_equal(carried[2].image, texture(2))


def test_repr_says_in_two_lines_what_a_person_wants_to_know(detector, inspections):
    for thing in (detector.bank, detector, detector.rule, *inspections):
        assert len(repr(thing)) < 400
        assert len(repr(thing).splitlines()) <= 2
    assert "24 images" in repr(detector.bank)
    assert "gallery_size=4" in repr(detector)
    assert "normal" in repr(inspections[0])
    assert "anomalous" in repr(inspections[1])
    assert "borderline" not in repr(inspections[0])
    assert "normal (borderline)" in repr(replace(inspections[0], borderline=True))
