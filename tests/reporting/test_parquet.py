"""Tables of inspections: what is written is what was inspected, files are whole, and no row is there twice."""

import dataclasses
import json

import pytest

REASON = "needs pyarrow: pip install 'anomalign[remote]'"
tables = pytest.importorskip("pyarrow.dataset", reason=REASON)
pyarrow = pytest.importorskip("pyarrow", reason=REASON)
files = pytest.importorskip("pyarrow.parquet", reason=REASON)

from anomalign import Bank, Detector, Failure, Framing, InputError, Settings  # noqa: E402
from anomalign.reporting import parquet  # noqa: E402
from anomalign.reporting.parquet import Circumstances, ParquetWriter, finished_sources, inspection_row  # noqa: E402
from tests.pictures import texture  # noqa: E402


@pytest.fixture(scope="module")
def detector(tmp_path_factory, tiny_backbone):
    bank = Bank.create(tmp_path_factory.mktemp("tables") / "bank", tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(6)])
    return Detector(bank, Settings(gallery_size=3))


@pytest.fixture(scope="module")
def circumstances(detector):
    return Circumstances.of(detector)


def read(folder):
    return tables.dataset(str(folder), format="parquet").to_table().to_pylist()


def test_a_row_says_what_the_inspection_says(tmp_path, detector, circumstances):
    odd = texture(100)
    odd = odd.copy()
    odd[20:30, 10:40] = 255
    inspection = dataclasses.replace(detector.inspect(odd), name="odd.png")
    assert inspection.regions
    with ParquetWriter(tmp_path / "tables") as writer:
        writer.write(inspection_row(inspection, circumstances))
    (row,) = read(tmp_path / "tables")
    values = inspection.to_dict()
    for name in set(values) - {"regions"}:
        assert row[name] == values[name], name
    for found, region in zip(row["regions"], inspection.regions, strict=True):
        assert (found["top"], found["left"], found["bottom"], found["right"]) == region.box
        assert (found["peak_y"], found["peak_x"]) == region.peak
        assert (found["centre_y"], found["centre_x"]) == region.centre
        assert (found["peak_p_value"], found["peak_place_score"]) == (region.p_value, region.place_score)
        assert tuple((corner["y"], corner["x"]) for corner in found["outline"]) == region.outline
    assert (row["status"], row["error"]) == ("inspected", None)
    assert json.loads(row["settings"]) == json.loads(json.dumps(dataclasses.asdict(detector.settings)))
    assert (row["bank_content"], row["bank_images"]) == (detector.bank.content, 6)
    assert row["target_fpr"] == detector.target_fpr


def test_an_image_that_failed_has_a_row_too(tmp_path, circumstances):
    with ParquetWriter(tmp_path) as writer:
        writer.write(inspection_row(Failure("s3://a/x.png", "s3://a/x.png: no such object"), circumstances))
    (row,) = read(tmp_path)
    assert (row["status"], row["verdict"], row["regions"]) == ("failed", None, None)
    assert row["error"] == "s3://a/x.png: no such object"
    assert row["source"] == "s3://a/x.png"
    assert row["bank_content"] == circumstances.bank_content


def test_a_file_has_all_columns_and_the_version_of_its_schema(tmp_path, circumstances):
    with ParquetWriter(tmp_path) as writer:
        writer.write(inspection_row(Failure("x", "x: broken"), circumstances))
    (path,) = tmp_path.glob("*.parquet")
    schema = files.read_schema(path)
    assert schema.metadata[b"anomalign.schema"] == b"1"
    assert schema.names == list(parquet.COLUMNS)


def test_a_file_is_written_when_it_has_enough_rows_or_is_old_enough(tmp_path, circumstances):
    rows = [inspection_row(Failure(f"{number}", "broken"), circumstances) for number in range(7)]
    with ParquetWriter(tmp_path / "many", rows_per_file=3) as writer:
        for row in rows:
            writer.write(row)
        assert len(list((tmp_path / "many").iterdir())) == 2
    assert len(list((tmp_path / "many").iterdir())) == 3
    assert writer.written == 7
    with ParquetWriter(tmp_path / "old", seconds_per_file=0) as writer:
        for row in rows:
            writer.write(row)
    assert len(list((tmp_path / "old").iterdir())) == 7
    assert {row["name"] for row in read(tmp_path / "old")} == set("0123456")


def test_rows_outlive_a_file_that_could_not_be_written(tmp_path, circumstances, monkeypatch):
    writer = ParquetWriter(tmp_path, rows_per_file=1)
    with monkeypatch.context() as broken:
        broken.setattr(parquet, "atomic_write", full_disk)
        with pytest.raises(InputError, match="cannot be written"):
            writer.write(inspection_row(Failure("a", "broken"), circumstances))
    writer.write(inspection_row(Failure("b", "broken"), circumstances))
    assert {row["name"] for row in read(tmp_path)} == {"a", "b"}


def full_disk(*_, **__):
    raise OSError(28, "No space left on device")


def test_finished_sources_are_those_of_all_whole_files(tmp_path, circumstances):
    folder = tmp_path / "tables"
    assert finished_sources(folder) == set()
    for part in ("ab", "cd"):
        with ParquetWriter(folder) as writer:
            for name in part:
                writer.write(inspection_row(Failure(name, "broken"), circumstances, source=name))
    (folder / ".0123.part").write_bytes(b"PAR1 torn by a kill")
    assert finished_sources(folder, circumstances) == set("abcd")


@pytest.mark.parametrize("name", ["bank_content", "settings", "target_fpr", "backbone_sha256"])
def test_one_table_is_not_continued_with_other_verdicts(tmp_path, circumstances, name):
    with ParquetWriter(tmp_path) as writer:
        writer.write(inspection_row(Failure("a", "broken"), circumstances))
    other = dataclasses.replace(circumstances, **{name: 0.5 if name == "target_fpr" else "other"})
    with pytest.raises(InputError, match=f"another {name}.*another folder"):
        finished_sources(tmp_path, other)
    assert len(finished_sources(tmp_path, dataclasses.replace(circumstances, bank_version=99))) == 1


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not a table at all, but long enough to be one"])
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.parquet: not a table"):
        finished_sources(tmp_path)


def test_a_foreign_table_is_named(tmp_path):
    files.write_table(pyarrow.table({"source": ["x"]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="schema none"):
        finished_sources(tmp_path)


def test_a_store_holds_the_same_table(bucket, circumstances):
    rows = [inspection_row(Failure(f"s3://a/{number}.png", "broken"), circumstances) for number in range(5)]
    with ParquetWriter(f"{bucket}/tables/", rows_per_file=2) as writer:
        for row in rows:
            writer.write(row)
    assert finished_sources(f"{bucket}/tables", circumstances) == {f"s3://a/{number}.png" for number in range(5)}
    assert finished_sources(f"{bucket}/none", circumstances) == set()


def test_no_secret_of_a_url_gets_into_a_row(circumstances):
    url = "https://me:s3cret@host/x.png?sig=s3cret"
    row = inspection_row(Failure(url, f"{url}: gone"), circumstances)
    assert "s3cret" not in repr(row)
    assert row["source"] == "https://***@host/x.png?***"
