"""Pixel metrics against their definitions, on random and on adversarial maps."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from anomalign import InputError
from anomalign.evaluation.datasets import GroundTruth, Region
from anomalign.evaluation.pixels import PRO_LIMITS, SPRO_LIMITS, PixelMetrics
from tests.reference import metrics as reference

SIZES = [(17, 23), (8, 8), (40, 5), (1, 1)]


def scene(seed, sizes=SIZES, distinct=0, normals=2, scale=1.0, lift=0.5):
    """Maps of several sizes and masks with regions at the border and of one pixel; normal images first."""
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for number in range(normals + len(sizes)):
        H, W = sizes[number % len(sizes)] if number >= normals else (200, 300)
        mask = np.zeros((H, W), bool)
        if number >= normals:
            mask[: max(1, H // 3), : max(1, W // 4)] = True  # touches the border
            mask[H - 1, W - 1] = True  # one pixel, or more of the first region
        values = rng.gamma(3, size=(H, W)) + lift * rng.gamma(2, size=(H, W)) * mask
        if distinct:
            values = np.floor(values * distinct)
        maps.append((scale * values).astype(np.float32))
        masks.append(mask)
    return maps, masks


def pixel_metrics(maps, masks, **options):
    pixels = PixelMetrics(**options)
    for m, mask in zip(maps, masks, strict=True):
        pixels.add(m, GroundTruth(mask, None))
    return pixels


def assert_within_bounds(pixels, maps, masks):
    values, bounds = pixels.values().metrics, pixels.error_bounds()
    normal = np.concatenate([m[~mask] for m, mask in zip(maps, masks, strict=True)])
    anomalous = np.concatenate([m[mask] for m, mask in zip(maps, masks, strict=True)])
    labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    scores = np.concatenate([normal, anomalous]).astype(np.float64)
    precision, recall, _ = precision_recall_curve(labels, scores)
    exact = {
        "pixel_auroc": roc_auc_score(labels, scores),
        "pixel_ap": average_precision_score(labels, scores),
        "pixel_f1max": np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)),
    }
    for name, value in exact.items():
        assert abs(values[name] - value) <= bounds[name] + 1e-9, name
    return values, bounds


@pytest.mark.parametrize("distinct", [0, 1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_against_scikit_learn_and_the_definitions(seed, distinct):
    maps, masks = scene(seed, sizes=[(17, 23), (8, 8), (9, 5)], distinct=distinct, normals=0)
    pixels = pixel_metrics(maps, masks)
    values, bounds = assert_within_bounds(pixels, maps, masks)
    rows = reference.sweep(maps, masks)
    assert values["pixel_ap"] == pytest.approx(reference.average_precision(rows), abs=bounds["pixel_ap"] + 1e-9)
    assert values["pixel_f1max"] == pytest.approx(reference.f1_max(rows), abs=bounds["pixel_f1max"] + 1e-9)
    for limit in PRO_LIMITS:
        name = f"au_pro_{limit}"
        expected = reference.area([(x, overlap) for x, _, _, overlap in rows], limit)
        assert values[name] == pytest.approx(expected, abs=bounds[name] + 1e-9)
        assert values[name] <= 1


def test_scores_that_the_bins_keep_apart_give_the_exact_metrics():
    """Whole numbers up to 8,192 have a bin each, so no score is rounded."""
    maps, masks = scene(1, sizes=[(17, 23), (9, 5)], distinct=40, normals=0)
    values = pixel_metrics(maps, masks).values().metrics
    rows = reference.sweep(maps, masks)
    assert values["pixel_ap"] == pytest.approx(reference.average_precision(rows), abs=1e-12)
    assert values["pixel_f1max"] == pytest.approx(reference.f1_max(rows), abs=1e-12)
    assert values["pixel_auroc"] == pytest.approx(reference.area([(x, y) for x, y, _, _ in rows], 1.0), abs=1e-12)
    for limit in PRO_LIMITS:
        expected = reference.area([(x, overlap) for x, _, _, overlap in rows], limit)
        assert values[f"au_pro_{limit}"] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1e-3, 1.0, 1e6, 1e30]), st.sampled_from([0, 1, 5]))
def test_the_error_bound_holds_at_any_scale(seed, scale, distinct):
    maps, masks = scene(seed, sizes=[(11, 13), (3, 30)], distinct=distinct, normals=1, scale=scale)
    maps[0] = maps[0][:20, :20]
    masks[0] = masks[0][:20, :20]
    assert_within_bounds(pixel_metrics(maps, masks), maps, masks)


def test_the_error_bound_is_small_where_scores_differ():
    bounds = pixel_metrics(*scene(0, sizes=[(200, 200)] * 3)).error_bounds()
    assert max(bounds.values()) < 1e-3


def test_negative_scores_are_in_order():
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(30, 30)).astype(np.float32) * 10.0 ** float(e) for e in (-3, 0, 3)]
    maps[0][0, :3] = [0.0, -0.0, 1e-40]
    masks = [rng.random((30, 30)) < 0.3 for _ in maps]
    assert_within_bounds(pixel_metrics(maps, masks), maps, masks)


@pytest.mark.parametrize("distinct", [0, 300])
def test_au_pimo_against_its_definition(distinct):
    maps, masks = scene(4, sizes=[(30, 30), (12, 50)], distinct=distinct, normals=3, lift=4.0)
    expected = reference.au_pimo(maps, masks)
    assert 0.05 < expected < 1
    pixels = pixel_metrics(maps, masks)
    assert abs(pixels.values().metrics["au_pimo"] - expected) <= pixels.error_bounds()["au_pimo"] + 1e-9
    assert pixels.values().metrics["au_pimo"] == pytest.approx(expected, abs=2e-3 if not distinct else 1e-9)


def test_the_bound_of_au_pimo_holds_where_scores_are_too_close_for_the_bins():
    rng = np.random.default_rng(0)
    maps = [(1 + 1e-4 * rng.random((400, 400))).astype(np.float32) for _ in range(3)]
    masks = [np.zeros((400, 400), bool) for _ in maps]
    masks[2][10:40, 10:40] = True
    maps[2][masks[2]] += np.float32(5e-5)
    maps[0].flat[:2] = 2.0, 1.9  # so that the lowest rate can be measured
    maps[1].flat[0] = 1.8
    pixels = pixel_metrics(maps, masks)
    expected = reference.au_pimo(maps, masks)
    assert abs(pixels.values().metrics["au_pimo"] - expected) <= pixels.error_bounds()["au_pimo"] + 1e-9


def test_perfect_maps_give_one_and_constant_maps_the_value_of_chance():
    maps, masks = scene(0)
    perfect = pixel_metrics([mask.astype(np.float32) + 0.001 * m for m, mask in zip(maps, masks, strict=True)], masks)
    values = {k: v for k, v in perfect.values().metrics.items() if k not in ("seg_f1", "au_pimo")}
    assert all(v == pytest.approx(1.0, abs=1e-9) and v <= 1 for v in values.values())
    flat = pixel_metrics([np.ones_like(m) for m in maps], masks).values().metrics
    assert flat["pixel_auroc"] == pytest.approx(0.5)
    assert flat["au_pro_0.3"] == pytest.approx(0.15)


def test_the_order_of_the_images_does_not_change_the_result():
    maps, masks = scene(3)
    whole = pixel_metrics(maps, masks).values().metrics
    order = [1, 0, 4, 2, 5, 3]
    assert pixel_metrics([maps[i] for i in order], [masks[i] for i in order]).values().metrics == pytest.approx(whole)


def test_saturated_overlap_against_its_definition():
    rng = np.random.default_rng(1)
    maps = [np.floor(100 * rng.random((20, 30))).astype(np.float32) for _ in range(3)]
    regions = []
    masks = []
    pixels = PixelMetrics()
    for number, m in enumerate(maps):
        first, second = np.zeros(m.shape, bool), np.zeros(m.shape, bool)
        first[2:9, 3:9], second[5:15, 6:20] = True, True  # they overlap
        regions += [(number, first, 10), (number, second, 140)]
        masks.append(first | second)
        pixels.add(m, GroundTruth(masks[-1], (Region(first, 10), Region(second, 140))))
    values = pixels.values().metrics
    for limit in SPRO_LIMITS:
        assert values[f"spro_{limit}"] == pytest.approx(reference.spro(maps, masks, regions, limit), abs=1e-9)


def test_seg_f1_counts_pixels_above_the_given_threshold():
    maps, masks = scene(5)
    positive = np.concatenate([(m > 4).ravel() for m in maps])
    truth = np.concatenate([mask.ravel() for mask in masks])
    expected = 2 * (positive & truth).sum() / (positive.sum() + truth.sum())
    assert pixel_metrics(maps, masks, threshold=4.0).values().metrics["seg_f1"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("anomalous", "missing"), [(False, "nothing anomalous was scored"), (True, "nothing normal was scored")]
)
def test_a_missing_class_is_not_defined_and_says_so(anomalous, missing):
    pixels = pixel_metrics([np.ones((4, 4), np.float32)], [np.full((4, 4), anomalous)], threshold=0.5)
    values = pixels.values()
    for name in ("pixel_auroc", "pixel_ap", "pixel_f1max", "au_pro_0.3", "au_pro_0.05"):
        assert values.metrics[name] is None
        assert missing in values.not_defined[name]
    assert values.metrics["au_pimo"] is None
    assert pixels.error_bounds() == pixels.curves() == {}


def test_au_pimo_says_why_it_is_not_defined():
    maps, masks = scene(0)
    few = pixel_metrics([m[:50, :50] for m in maps], [m[:50, :50] for m in masks])
    assert "too few pixels" in few.values().not_defined["au_pimo"]
    late = pixel_metrics([*maps, maps[0]], [*masks, masks[0]])
    assert "after an anomalous one" in late.values().not_defined["au_pimo"]
    assert "no threshold" in late.values().not_defined["seg_f1"]


@pytest.mark.parametrize(
    ("scores", "mask", "words"),
    [
        (np.ones((3, 4)), np.zeros((4, 3), bool), "need the same shape"),
        (np.full((3, 4), np.nan), np.zeros((3, 4), bool), "not finite"),
        (np.full((3, 4), np.inf), np.zeros((3, 4), bool), "not finite"),
        (np.ones((0, 4)), np.zeros((0, 4), bool), "need the same shape"),
    ],
)
def test_maps_that_cannot_be_scored_are_refused(scores, mask, words):
    with pytest.raises(InputError, match=words):
        PixelMetrics().add(scores.astype(np.float32), GroundTruth(mask, None))


def test_memory_does_not_grow_with_the_number_of_images():
    pixels = PixelMetrics()
    maps, masks = scene(0, sizes=[(50, 50)])

    def add(times):
        for _ in range(times):
            for m, mask in zip(maps, masks, strict=True):
                pixels.add(m.copy(), GroundTruth(mask.copy(), None))

    add(3)
    tracemalloc.start()
    add(20)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < maps[0].nbytes  # of 60 maps


def test_curves_end_where_they_must():
    curves = pixel_metrics(*scene(0)).curves(50)
    for x, y in curves.values():
        assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
        assert (np.diff(x) >= 0).all()
        assert (np.diff(y) >= 0).all()
        assert len(x) <= 50
