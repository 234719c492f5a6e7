"""A whole evaluation, on a small tree with a tiny backbone."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing, InputError, RegionOfInterest, Settings
from anomalign.evaluation import auroc, average_precision
from anomalign.evaluation.datasets import GroundTruth, open_dataset
from anomalign.evaluation.measurement import visible_part
from anomalign.evaluation.pixels import PixelMetrics
from anomalign.evaluation.run import Protocol, evaluate_category
from anomalign.evaluation.table import mean, rows
from tests.evaluation import trees
from tests.pictures import texture

SMALL = Settings(gallery_size=3)


def spoilt(path: Path, seed: int) -> np.ndarray:
    """Write a texture with a square of noise in it; its mask."""
    height, width = trees.SIZE
    image = texture(seed, height, width).copy()
    image[8:22, 10:30] = np.random.default_rng(seed).integers(0, 255, (14, 20, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return trees.mask(
        path.parents[2] / "ground_truth" / path.parent.name / f"{path.stem}_mask.png", box=(8, 10, 22, 30)
    )


@pytest.fixture
def nut(tmp_path):
    folder = tmp_path / "nut"
    trees.numbered(folder / "train" / "good", 12)
    trees.numbered(folder / "test" / "good", 3)
    for number in range(3):
        spoilt(folder / "test" / "dent" / f"{number:03}.png", 50 + number)
    return folder


@pytest.fixture
def protocol(tiny_backbone):
    return Protocol(tiny_backbone, Framing(64), SMALL, target_fpr=0.2)


def category_of(folder):
    return open_dataset(folder).categories[0]


def test_metrics_are_those_of_the_maps_and_scores(nut, protocol):
    inspections = []
    result = evaluate_category(category_of(nut), protocol, observe=lambda *arguments: inspections.append(arguments))
    assert (result.normals, result.good, result.anomalous, result.failures) == (12, 3, 3, ())
    assert [image.anomalous for image, _, _ in inspections] == [False] * 3 + [True] * 3  # normal ones first
    expected = PixelMetrics()
    for image, inspection, truth in inspections:
        assert inspection.anomaly_map.shape == trees.SIZE == truth.anomalous.shape
        expected.add(inspection.anomaly_map, truth)
        assert truth.anomalous.any() == image.anomalous
    values = result.values.metrics
    for name, value in expected.values().metrics.items():
        if name != "seg_f1":
            assert values[name] == value
    scores = [[i.image_score for t, i, _ in inspections if t.anomalous == label] for label in (False, True)]
    assert values["image_auroc"] == auroc(*scores)
    pairs = [(t.anomalous, i.verdict == "anomalous") for t, i, _ in inspections]  # label and prediction
    f1 = 2 * sum(a and b for a, b in pairs) / (sum(a for a, _ in pairs) + sum(b for _, b in pairs))
    assert values["class_f1"] == pytest.approx(f1)
    assert result.whole_image is None
    assert set(result.curves) == {"image_roc", "pixel_roc", "pro"}
    assert min(result.times.values()) > 0
    assert result.bank_bytes > 12 * 64


def test_gates_are_counted_over_the_test_images(nut, protocol):
    result = evaluate_category(category_of(nut), protocol)
    assert [outcome.gate for outcome in result.gates] == [1.0, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1]
    for outcome in result.gates:
        assert (outcome.good, outcome.defects, outcome.target_fpr) == (result.good, result.anomalous, 0.2)
    positives = [image for image in result.images if image.verdict == "anomalous"]
    default = next(outcome for outcome in result.gates if outcome.gate == protocol.settings.gate)
    assert default.found == sum(image.anomalous for image in positives)
    assert default.false_alarms == sum(not image.anomalous for image in positives)
    assert result.to_json()["gates"][0]["gate"] == 1.0


def test_the_threshold_of_pixels_comes_from_normal_images_alone(nut, protocol):
    """Other labels and other masks leave it, and every verdict, as they are."""
    category = category_of(nut)
    before = evaluate_category(category, protocol)
    relabelled = replace(category, test=tuple(replace(image, masks=()) for image in category.test))
    after = evaluate_category(relabelled, protocol)
    assert [i.verdict for i in before.images] == [i.verdict for i in after.images]
    assert before.threshold == after.threshold
    assert after.values.metrics["pixel_auroc"] is None
    assert "nothing anomalous" in after.values.not_defined["seg_f1"]


def test_seg_f1_is_counted_at_the_threshold_of_the_normal_maps(nut, protocol, tmp_path):
    """The highest score in a normal image's own leave-one-out map, of the rank that the rate asks for."""
    category, inspections, protocol = category_of(nut), [], replace(protocol, target_fpr=0.9)
    result = evaluate_category(category, protocol, observe=lambda *arguments: inspections.append(arguments))
    bank = Bank.create(tmp_path / "b", protocol.backbone, protocol.framing)
    bank.add(category.train)
    highest = sorted(Detector(bank, protocol.settings, protocol.target_fpr).calibrate().peaks)
    limit = highest[math.ceil((len(highest) + 1) * (1 - protocol.target_fpr)) - 1]
    positive = np.concatenate([(i.anomaly_map > limit).ravel() for _, i, _ in inspections])
    truth = np.concatenate([t.anomalous.ravel() for _, _, t in inspections])
    assert 0 < positive.sum() < positive.size
    expected = 2 * (positive & truth).sum() / (positive.sum() + truth.sum())
    assert result.values.metrics["seg_f1"] == pytest.approx(expected)


@pytest.mark.parametrize("framing", [Framing(64), Framing(64, 80)])
def test_region_iou_is_counted_pixel_by_pixel(nut, protocol, framing):
    """A pixel is in a region if the verdict is anomalous and at most 1 in 1,000 normal pixels scores as high."""
    for file in (nut / "test" / "dent").iterdir():
        image = np.array(Image.open(file))
        image[8:22, 10:30] = (255, 0, 255)
        Image.fromarray(image).save(file)
    inspections, protocol = [], replace(protocol, framing=framing, target_fpr=0.5)
    result = evaluate_category(category_of(nut), protocol, observe=lambda *arguments: inspections.append(arguments))
    shared = either = 0
    for _, inspection, truth in inspections:
        p_values = inspection.pixel_p_values
        for place in zip(*np.nonzero(~np.isnan(p_values)), strict=True):
            found = inspection.verdict == "anomalous" and p_values[place] <= np.float32(1e-3)
            shared += found and truth.anomalous[place]
            either += found or truth.anomalous[place]
    assert 0 < shared < either
    assert result.values.metrics["region_iou"] == shared / either


def test_without_masks_the_region_iou_is_not_defined(nut, protocol):
    category = category_of(nut)
    without = replace(category, test=tuple(replace(image, masks=()) for image in category.test))
    result = evaluate_category(without, protocol)
    assert result.values.metrics["region_iou"] is None
    assert "no anomalous pixel" in result.values.not_defined["region_iou"]


def test_a_centre_crop_is_measured_both_ways(nut, protocol):
    cropped = replace(protocol, framing=Framing(64, 80))
    inspections = []
    result = evaluate_category(category_of(nut), cropped, observe=lambda *arguments: inspections.append(arguments))
    within, whole = PixelMetrics(), PixelMetrics()
    for _, inspection, truth in inspections:
        top, left, bottom, right = (round(x) for x in Framing(64, 80).box(*trees.SIZE))
        box = slice(top, bottom), slice(left, right)
        within.add(inspection.anomaly_map[box], GroundTruth(truth.anomalous[box]))
        whole.add(np.nan_to_num(inspection.anomaly_map, nan=0.0), truth)
    assert result.values.metrics["pixel_auroc"] == within.values().metrics["pixel_auroc"]
    assert result.whole_image.metrics["pixel_auroc"] == whole.values().metrics["pixel_auroc"]
    entry = result.to_json()
    assert entry["pixels"] == "centre crop"
    assert entry["whole_image"]["pixel_auroc"] == result.whole_image.metrics["pixel_auroc"]
    names = [row.name for row in rows("mvtec_ad", [result])]
    assert names == ["nut, pixels of the centre crop", "nut, pixels of the whole image"]


@pytest.mark.parametrize("shape", ["rectangle", "disc"])
def test_a_region_of_interest_is_measured_both_ways(nut, protocol, shape):
    y, x = np.mgrid[: trees.SIZE[0], : trees.SIZE[1]]
    inside = (y - 18) ** 2 + (x - 24) ** 2 < 14**2
    region = RegionOfInterest.of_mask(inside)
    if shape == "rectangle":
        region, inside = RegionOfInterest(5, 6, 30, 40), (y >= 5) & (y < 35) & (x >= 6) & (x < 46)
    inspections = []
    result = evaluate_category(
        category_of(nut),
        replace(protocol, framing=Framing(64, region=region)),
        observe=lambda *arguments: inspections.append(arguments),
    )
    normal, anomalous, whole = [], [], PixelMetrics()
    for _, inspection, truth in inspections:
        np.testing.assert_array_equal(np.isnan(inspection.anomaly_map), ~inside)
        normal += inspection.anomaly_map[inside & ~truth.anomalous].tolist()
        anomalous += inspection.anomaly_map[inside & truth.anomalous].tolist()
        whole.add(np.nan_to_num(inspection.anomaly_map, nan=0.0), truth)
    values, bounds = result.values.metrics, result.error_bounds
    assert values["pixel_auroc"] == pytest.approx(auroc(normal, anomalous), abs=bounds["pixel_auroc"] + 1e-9)
    assert values["pixel_ap"] == pytest.approx(average_precision(normal, anomalous), abs=bounds["pixel_ap"] + 1e-9)
    assert values["au_pro_0.3"] is not None
    assert result.whole_image.metrics["pixel_auroc"] == whole.values().metrics["pixel_auroc"]
    assert result.to_json()["pixels"] == "region of interest"
    names = [row.name for row in rows("mvtec_ad", [result])]
    assert names == ["nut, pixels of the region of interest", "nut, pixels of the whole image"]


def test_a_defect_outside_the_crop_is_no_normal_image_for_aupimo():
    """Its pixels within the crop are normal, but the image is not one of those that set false-positive rates."""
    rng = np.random.default_rng(0)
    pixels, outside = PixelMetrics(), np.full((400, 500), np.nan, np.float32)
    outside[:, 50:] = rng.gamma(2, size=(400, 450))
    truth = GroundTruth(np.zeros(outside.shape, bool))
    truth.anomalous[:, :20] = True
    pixels.add(rng.gamma(2, size=(400, 450)).astype(np.float32), GroundTruth(np.zeros((400, 450), bool)))
    marked = np.zeros((400, 450), bool)
    marked[:9, :9] = True
    pixels.add(rng.gamma(2, size=(400, 450)).astype(np.float32), GroundTruth(marked))
    before = pixels.values().metrics["au_pimo"]
    pixels.add(*visible_part(outside, truth), normal=False)
    assert pixels.values().metrics["au_pimo"] == before is not None


def test_a_defect_outside_the_crop_leaves_aupimo_defined(tmp_path, protocol):
    """Labelled anomalous, nothing marked within the crop, scored before an image with a mark in it."""
    folder = tmp_path / "nut"
    trees.numbered(folder / "train" / "good", 6, size=(500, 700))
    trees.numbered(folder / "test" / "good", 1, size=(500, 700))
    for number, box in enumerate([(200, 200, 240, 240), (0, 0, 9, 9), (200, 200, 220, 220)]):
        trees.picture(folder / "test" / "dent" / f"{number}.png", (500, 700), 70 + number)
        trees.mask(folder / "ground_truth" / "dent" / f"{number}_mask.png", box=box, size=(500, 700))
    result = evaluate_category(category_of(folder), replace(protocol, framing=Framing(64, 80)))
    assert "after an anomalous" not in str(result.values.not_defined)
    assert "after an anomalous" not in str(result.whole_image.not_defined)


def test_an_image_outside_the_centre_crop_is_a_failure(nut, protocol):
    trees.picture(nut / "test" / "good" / "thin.png", (1, 40))
    result = evaluate_category(category_of(nut), replace(protocol, framing=Framing(64, 80)))
    (failure,) = result.failures
    assert "thin.png: no pixel of the image lies within the centre crop" in failure.error
    assert result.good == 4
    assert result.values.metrics["pixel_auroc"] is not None


def test_what_an_observer_cannot_do_with_an_image_is_a_failure(nut, protocol):
    def observe(image, inspection, truth):
        if image.path.stem == "001":
            raise InputError("disk full")

    result = evaluate_category(category_of(nut), protocol, observe=observe)
    assert len(result.failures) == 2
    assert all("001.png: disk full" in failure.error for failure in result.failures)


def test_an_invalid_rate_is_refused_before_any_work(protocol):
    with pytest.raises(InputError, match="rate|fpr"):
        replace(protocol, target_fpr=2.0)


def test_files_that_cannot_be_used_are_named_and_the_rest_is_measured(nut, protocol):
    category = category_of(nut)
    (nut / "train" / "good" / "003.png").write_bytes(b"")
    (nut / "test" / "good" / "001.png").write_bytes(b"garbage")
    (nut / "ground_truth" / "dent" / "001_mask.png").write_bytes(b"garbage")
    result = evaluate_category(category, protocol)
    assert (result.normals, result.good, result.anomalous) == (11, 2, 3)
    assert sorted(Path(failure.name).name for failure in result.failures) == ["001.png", "001.png", "003.png"]
    assert "001_mask.png" in " ".join(failure.error for failure in result.failures)
    assert result.values.metrics["pixel_auroc"] is not None


def test_too_few_normal_images_are_an_error(nut, protocol):
    category = category_of(nut)
    with pytest.raises(InputError, match="nut: fewer than three normal images"):
        evaluate_category(replace(category, train=category.train[:1]), protocol)


def test_one_class_alone_is_not_defined_and_says_so(nut, protocol):
    category = category_of(nut)
    good = evaluate_category(replace(category, test=tuple(i for i in category.test if not i.anomalous)), protocol)
    for name in ("image_auroc", "image_ap", "image_f1max", "class_f1", "pixel_auroc", "au_pro_0.3"):
        assert good.to_json()[name] is None
        assert "nothing anomalous was scored" in good.values.not_defined[name]
    assert mean([good])["image_auroc"] is None
    assert mean([good, evaluate_category(category, protocol)])["image_auroc"] is None


def test_published_numbers_stand_beside_their_category_only(nut, protocol):
    result = evaluate_category(category_of(nut), protocol)
    assert not any(row.published for row in rows("mvtec_ad", [result]))
    screw = replace(result, name="screw")
    (row,) = (row for row in rows("mvtec_ad", [screw, result]) if row.published)
    assert row.values == {"pixel_auroc": pytest.approx(0.989)}
    assert not any(row.published for row in rows("folder", [screw]))
    from anomalign.evaluation.published import SPADE_PIXEL_AUROC

    assert round(sum(SPADE_PIXEL_AUROC.values()) / 15, 1) == 96.0  # the paper's own mean
    every = [replace(result, name=name) for name in SPADE_PIXEL_AUROC]
    assert [row.name for row in rows("mvtec_ad", every)][-2:] == ["SPADE (2020), mean", "PatchCore (2022), mean"]


def test_private_images_are_inspected_only_where_asked_for(nut, protocol):
    secret = tuple(sorted((nut / "test" / "dent").iterdir()))
    category = replace(category_of(nut), private=(("test_private", secret),))
    calls = []
    evaluate_category(category, protocol)
    evaluate_category(category, protocol, observe_private=lambda *arguments: calls.append(arguments))
    assert [(split, Path(i.name).name) for split, i, _ in calls] == [("test_private", p.name) for p in secret]
    assert len({threshold for _, _, threshold in calls}) == 1


def test_saturated_overlap_of_loco_is_the_mean_over_its_kinds(tmp_path, protocol):
    """Each kind with all normal images: another kind's false positives do not count."""
    trees.mvtec_loco(tmp_path)
    category = category_of(tmp_path / "box")
    protocol = replace(protocol, target_fpr=None)
    whole = evaluate_category(category, protocol).values.metrics
    alone = []
    for kind in ("logical_anomalies", "structural_anomalies"):
        chosen = tuple(image for image in category.test if image.kind in ("good", kind))
        alone.append(evaluate_category(replace(category, test=chosen), protocol).values.metrics)
    for limit in (0.01, 0.05, 0.1, 0.3, 1.0):
        assert whole[f"spro_{limit}"] == pytest.approx(sum(values[f"spro_{limit}"] for values in alone) / 2)
    assert "spro_0.05" not in evaluate_category(replace(category, test=category.test[:2]), protocol).values.metrics
    (tmp_path / "box" / "ground_truth" / "structural_anomalies" / "000" / "000.png").write_bytes(b"garbage")
    spoilt_values = evaluate_category(category, protocol).values
    assert spoilt_values.metrics["spro_0.05"] is None
    assert "structural_anomalies" in spoilt_values.not_defined["spro_0.05"]
