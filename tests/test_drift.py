"""Drift: the tests hold their level, see shifts of the bulk, and let defects pass."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from anomalign.drift import Observation, detect_drift, instant, read_records, windows
from anomalign.errors import CalibrationError, InputError

D, NORMALS, RUNS = 16, 100, 40


def nearest_of(bank, queries, k=3, itself=False):
    """Mean squared distance to the k nearest, and the nearest one."""
    squared = (queries**2).sum(axis=1)[:, None] - 2 * queries @ bank.T + (bank**2).sum(axis=1)
    if itself:
        np.fill_diagonal(squared, np.inf)
    return np.sort(squared, axis=1)[:, :k].mean(axis=1), squared.argmin(axis=1)


def observe(scores, nearest):
    pairs = zip(scores, nearest, strict=True)
    return [Observation("2025-01-01T00:00:00Z", "a.png", float(s), int(n), "bank") for s, n in pairs]


def simulate(change, window=100, runs=RUNS, dimensions=D, normals=NORMALS):
    """Drift of banks of Gaussian descriptors and inspections of others, changed."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(runs):
        bank = rng.normal(size=(normals, dimensions))
        queries = change(rng.normal(size=(window, dimensions)), rng)
        scores, nearest = nearest_of(bank, bank, itself=True)
        found.append(detect_drift(observe(*nearest_of(bank, queries)), scores, nearest, window))
    return found


def rate(found):
    return float(np.mean([drift.drifted for drift in found]))


@pytest.mark.parametrize(("dimensions", "normals", "window"), [(1, 50, 60), (16, 30, 60), (16, 80, 160), (64, 50, 40)])
def test_the_level_is_held_where_nothing_drifts(dimensions, normals, window):
    found = simulate(lambda queries, rng: queries, window, RUNS, dimensions, normals)
    assert rate(found) <= 0.01 + 2 / RUNS


@pytest.mark.parametrize("share", [0.03, 0.05])
def test_a_few_gross_outliers_are_no_drift(share):
    """All on one side, so that all have few nearest normals: the hardest case for the use test."""

    def defects(queries, rng):
        queries[: round(share * len(queries)), 0] += 40
        return queries

    assert rate(simulate(defects)) <= 0.01 + 2 / RUNS


def test_a_shift_of_the_bulk_is_drift():
    found = simulate(lambda queries, rng: queries + 3 / np.sqrt(D))
    assert rate(found) >= 0.9
    assert np.median([drift.farther for drift in found]) > 0.7
    assert np.median([drift.median_ratio for drift in found]) > 1.2
    assert "farther from the normal images" in found[0].summary


def test_images_that_are_nearer_than_normals_are_drift():
    found = simulate(lambda queries, rng: 0.75 * queries)
    assert rate(found) >= 0.9
    assert "nearer to the normal images" in found[0].summary


def test_the_same_picture_again_and_again_is_drift():
    found = simulate(lambda queries, rng: queries[:1] + 0.01 * rng.normal(size=queries.shape), runs=30)
    assert rate(found) == 1
    assert "one and the same normal image" in found[0].summary


def test_other_use_at_the_same_distances_is_drift():
    """Normals are spread over 100 images; the inspected ones use ten of them."""
    rng = np.random.default_rng(1)
    scores = rng.gamma(9.0, size=100)
    found = detect_drift(observe(rng.permutation(scores), rng.integers(0, 10, 100)), scores, rng.permutation(100))
    assert found.distance_p > 0.5
    assert found.use_p < 0.005
    assert found.drifted
    assert found.used == 10


def test_it_tells_the_same_each_time_and_does_not_look_at_scale():
    rng = np.random.default_rng(2)
    scores, nearest = rng.gamma(9.0, size=50), rng.integers(0, 50, 50)
    recent = observe(rng.gamma(9.5, size=40), rng.integers(0, 50, 40))
    once = detect_drift(recent, scores, nearest)
    assert detect_drift(recent, scores, nearest) == once
    scaled = [replace(o, retrieval_score=4 * o.retrieval_score) for o in recent]
    assert detect_drift(scaled, 4 * scores, nearest) == once


def test_only_the_latest_are_tested():
    rng = np.random.default_rng(3)
    scores, nearest = rng.gamma(9.0, size=50), rng.integers(0, 50, 50)
    recent = observe(rng.gamma(9.0, size=40), rng.integers(0, 50, 40))
    before = observe(np.full(60, 1e6), np.zeros(60))
    assert detect_drift(before + recent, scores, nearest, window=40) == detect_drift(recent, scores, nearest)
    assert detect_drift(before + recent, scores, nearest, window=100).drifted


def test_too_few_images_are_said_to_be_too_few():
    scores, nearest = np.arange(1.0, 51), np.roll(np.arange(50), 1)
    found = detect_drift(observe([25.0], [3]), scores, nearest)
    assert found.detectable > 1
    assert "Too few images to tell" in found.summary
    weak = detect_drift(observe([20.0, 30, 40, 10, 25, 26], [1, 2, 3, 4, 5, 6]), scores, nearest)
    assert 0.8 < weak.detectable < 1
    assert "only a large one" in weak.summary


def test_what_is_not_defined_is_none():
    far = detect_drift(observe(np.full(50, 1e3), np.zeros(50)), np.zeros(20), np.arange(20))
    assert far.median_ratio is None
    assert far.use_p is None
    assert far.drifted
    assert far.farther == 1


def test_arguments_that_cannot_be_used_are_refused():
    scores, nearest = np.arange(1.0, 21), np.arange(20)
    some = observe([1.0], [1])
    for level in (0, 1, float("nan")):
        with pytest.raises(InputError, match="level"):
            detect_drift(some, scores, nearest, level=level)
    with pytest.raises(InputError, match="window"):
        detect_drift(some, scores, nearest, window=0)
    with pytest.raises(InputError, match=r"\(20,\), \(19,\)"):
        detect_drift(some, scores, nearest[1:])
    with pytest.raises(InputError, match="no inspections"):
        detect_drift([], scores, nearest)
    with pytest.raises(InputError, match="2 different sets of normal images"):
        detect_drift([some[0], replace(some[0], bank_content="other")], scores, nearest)
    with pytest.raises(CalibrationError):
        detect_drift(some, scores[:1], nearest[:1])


def test_windows_are_consecutive_and_end_with_the_newest():
    observations = [replace(o, time=f"2025-01-{i + 1:02d}") for i, o in enumerate(observe(np.arange(7.0), np.zeros(7)))]
    first, second, third = windows(observations, 3)
    assert (first.count, first.median, first.first, first.last) == (1, 0, "2025-01-01", "2025-01-01")
    assert (second.count, second.median) == (3, 2)
    assert (third.median, third.last) == (5, "2025-01-07")
    np.testing.assert_allclose((third.low, third.high), (4.1, 5.9))
    assert windows([], 3) == []
    with pytest.raises(InputError, match="size"):
        windows(observations, 0)


def record(time="2025-03-01T10:00:00.123+00:00", image="a.png", score=2.5, nearest=7, content="abc", **more):
    neighbours = [{"id": nearest, "name": "n.png", "distance": 2.0}]
    return {
        "time": time, "image": image, "retrieval_score": score, "neighbours": neighbours,
        "bank": {"content": content}, "format": 1, "verdict": "normal", **more,
    }  # fmt: skip


def test_records_are_read_from_both_kinds_of_file_and_sorted_by_time(tmp_path):
    lines, single = tmp_path / "log.jsonl", tmp_path / "one.json"
    late, failed = record("2025-03-01T12:00:00Z", "late.png"), {"image": "torn.png", "error": "cut short"}
    lines.write_text("\n".join(["", json.dumps(late), json.dumps(failed), json.dumps(record("2025-03-01T09:00:00"))]))
    single.write_text(json.dumps(record("2025-03-01T12:30:00+02:00", "mid.png"), indent=2))  # earlier than it looks
    found, failures = read_records([lines, single])
    assert failures == []
    assert [o.name for o in found] == ["a.png", "mid.png", "late.png"]
    assert found[2] == Observation("2025-03-01T12:00:00Z", "late.png", 2.5, 7, "abc")
    assert read_records([]) == ([], [])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("{..", "not a record"),
        ("[1]", "not a record"),
        ("[" * 100_000, "not a record"),
        ("{}", "not a record"),
        (json.dumps({"format": 1}), "time"),
        (json.dumps(record(time="yesterday")), "'yesterday' is no time"),
        (json.dumps(record(time=5)), "time"),
        (json.dumps(record(time="0001-01-01T00:00:00+14:00")), "no time"),
        (json.dumps(record(time="9999-12-31T23:59:59-14:00")), "no time"),
        (json.dumps(record(image=None)), "image"),
        (json.dumps(record(score=float("nan"))), "retrieval_score"),
        (json.dumps(record(score=True)), "retrieval_score"),
        (json.dumps(record(score=-1)), "retrieval_score"),
        (json.dumps(record(score=10**400)), "not a record"),
        (json.dumps(record(nearest="7")), r"neighbours\[0\].id"),
        (json.dumps(record(nearest=2**63)), r"neighbours\[0\].id"),
        (json.dumps(record() | {"neighbours": []}), r"neighbours\[0\].id"),
        (json.dumps(record() | {"bank": "abc"}), "bank.content"),
    ],
)
def test_a_broken_line_is_named(tmp_path, broken, reason):
    file = tmp_path / "log.jsonl"
    file.write_text(json.dumps(record()) + "\n\n" + broken + "\n")
    (sound,), (failure,) = read_records([file])
    assert sound.name == "a.png"
    assert re.search(f"log.jsonl, line 3: .*{reason}", failure.error)


def test_files_that_are_none_and_bytes_that_are_no_text_are_named(tmp_path):
    with pytest.raises(InputError, match="none.jsonl"):
        read_records([tmp_path / "none.jsonl"])
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match="bytes.jsonl: not records"):
        read_records([tmp_path / "bytes.jsonl"])


def test_times_without_an_offset_are_utc():
    assert instant("2025-03-01T10:00:00") == instant("2025-03-01T10:00:00Z") == instant("2025-03-01T12:00:00+02:00")
