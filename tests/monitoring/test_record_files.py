"""Files of records: whole lines only, whatever came before."""

import json
import re

import pytest

from anomalign import Failure, InputError
from anomalign.monitoring.record_files import RecordFile, read

RECORDS = [
    {"format": 1, "image": f"{number}.png", "verdict": "normal", "image_score": 0.1 + number} for number in range(3)
]


def read_all(path):
    """Records, and the messages of what is none."""
    return [entry.error if isinstance(entry, Failure) else entry for _, entry in read(path)]


def append(path, entry):
    file = RecordFile(path)
    file.write(entry)
    file.close()


def test_records_are_appended_whole_also_after_a_torn_one(tmp_path):
    path = tmp_path / "deep" / "records.jsonl"
    for entry in RECORDS[:2]:
        append(path, entry)
    assert read_all(path) == RECORDS[:2]
    with path.open("ab") as stream:
        stream.write(json.dumps(RECORDS[2]).encode()[:40])  # a kill in the middle
    append(path, RECORDS[2])
    first, second, torn, last = read_all(path)
    assert [first, second, last] == RECORDS
    assert "records.jsonl, line 3: not a record: the line is not JSON" in torn


def test_one_object_a_file_is_read_and_failures_are_passed_over(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(RECORDS[0], indent=1))
    assert read_all(tmp_path / "one.json") == [RECORDS[0]]
    failed = {"path": "x", "error": "broken"}
    (tmp_path / "lines.jsonl").write_text(f"{json.dumps(failed)}\n\n{json.dumps(RECORDS[1])}\n")
    assert list(read(tmp_path / "lines.jsonl")) == [(f"{tmp_path / 'lines.jsonl'}, line 3", RECORDS[1])]


@pytest.mark.parametrize("content", [b"[]", b"\xff", b'{"format": 99}', b"[" * 100_000, b"7", b'{"format": 1'])
def test_what_is_no_record_is_named(tmp_path, content):
    (tmp_path / "bad.json").write_bytes(content)
    try:
        (message,) = read_all(tmp_path / "bad.json")
    except InputError as error:
        message = str(error)
    assert re.search(r"bad\.json.*not", message)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: records cannot be read"):
        read_all(tmp_path / "none.json")
    with pytest.raises(InputError, match="records cannot be written"):
        RecordFile(tmp_path)
