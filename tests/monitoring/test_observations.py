"""Past inspections, read from their records."""

import json
import re

import numpy as np
import pytest

from anomalign.errors import InputError
from anomalign.monitoring.observations import Observation, instant, read_records, windows


def test_windows_are_consecutive_and_end_with_the_newest():
    observations = [Observation(f"2025-01-{i + 1:02d}", "a.png", float(i), 0, "bank") for i in range(7)]
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
        (json.dumps(record(time="yesterday")), "'yesterday' is not a time"),
        (json.dumps(record(time=5)), "time"),
        (json.dumps(record(time="0001-01-01T00:00:00+14:00")), "not a time"),
        (json.dumps(record(time="9999-12-31T23:59:59-14:00")), "not a time"),
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
