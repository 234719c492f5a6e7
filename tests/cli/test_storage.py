"""Commands with URLs in place of paths, on a real S3 server: results equal those of local files."""

import json
import os
from pathlib import Path

import pytest

from anomalign import Bank, Framing
from anomalign.cli.output import name_below
from anomalign.storage import objects
from anomalign.storage.listing import list_objects
from tests.cli.running import run
from tests.pictures import save

OURS = ("--no-check",)


@pytest.fixture
def pictures(tmp_path, bucket):
    """Ten pictures in a local folder and below a URL."""
    paths = save(tmp_path / "in", 10)
    for path in paths:
        objects.upload(path, f"{bucket}/in/{path.name}")
    return paths


@pytest.fixture
def bank(tmp_path, tiny_backbone, pictures):
    made = Bank.create(tmp_path / "screws.bank", tiny_backbone, Framing(64))
    made.add(pictures[:6])
    return made.path


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def without_names(entries):
    return [{k: v for k, v in entry.items() if k not in ("path", "name")} for entry in entries]


def test_images_at_a_url_are_inspected_as_local_ones(tmp_path, bank, bucket):
    local = lines(run("inspect", bank, tmp_path / "in", "--json"))
    remote = lines(run("inspect", bank, f"{bucket}/in/", "--json"))
    assert without_names(remote) == without_names(local)
    assert [entry["name"] for entry in remote] == [f"{bucket}/in/{Path(e['name']).name}" for e in local]
    for place in (f"{bucket}/in", f"{bucket}/i*/*.png", f"{bucket}/**/0*", f"file://{tmp_path}/in"):
        assert without_names(lines(run("inspect", bank, place, "--json"))) == without_names(local), place
    one = lines(run("inspect", bank, f"{bucket}/in/003.png", "--json"))
    assert without_names(one) == without_names(local[3:4])


def test_a_key_with_the_signs_of_a_glob_is_found_by_its_name(bank, bucket):
    objects.write(f"{bucket}/odd/a[1]*.png", objects.read(f"{bucket}/in/001.png"))
    (found,) = lines(run("inspect", bank, f"{bucket}/odd/a[1]*.png", "--json"))
    assert found["name"] == f"{bucket}/odd/a[1]*.png"


def test_places_that_overlap_are_inspected_once(bank, bucket):
    result = run("inspect", bank, f"{bucket}/in/003.png", f"{bucket}/in/", f"{bucket}/*/00[0-4].png", "--json")
    names = [entry["name"] for entry in lines(result)]
    assert len(names) == len(set(names)) == 10


def test_what_cannot_be_used_is_a_failure_with_its_key(bank, bucket):
    objects.write(f"{bucket}/in/004.png", b"\x89PNG\r\n\x1a\n torn")
    result = run("inspect", bank, f"{bucket}/in/", f"{bucket}/none/", f"{bucket}/gone.png", "--json")
    failed = {entry["path"]: entry["error"] for entry in lines(result) if "error" in entry}
    assert set(failed) == {f"{bucket}/in/004.png", f"{bucket}/none/", f"{bucket}/gone.png"}
    assert "no images below this URL" in failed[f"{bucket}/none/"]
    assert (result.returncode, len(lines(result))) == (2, 12)


def test_a_remote_folder_means_what_a_local_one_means(bank, bucket):
    for name in (".hidden.png", "@eaDir/x.png", ".git/x.png", "notes.txt", "left.part", "res/.anomalign-results"):
        objects.write(f"{bucket}/in/{name}", b"no picture")
    objects.write(f"{bucket}/in/res/x.png", objects.read(f"{bucket}/in/001.png"))
    objects.write(f"{bucket}/in/without_ending", objects.read(f"{bucket}/in/001.png"))
    result = run("inspect", bank, f"{bucket}/in/", "--json")
    assert len(lines(result)) == 11
    for kind in ("file in a hidden folder", "file in a system folder", "hidden file", ".txt file", ".part file"):
        assert f"1 {kind}" in result.stderr
    assert "1 file in a results folder" in result.stderr


def test_fit_from_a_url_gives_the_bank_of_local_files(tmp_path, tiny_backbone, bank, bucket):
    for name, source in (("a", f"{bucket}/in/"), ("b", tmp_path / "in")):
        made = run("fit", tmp_path / name, source, "--backbone", tiny_backbone.path, *OURS)
        assert made.returncode == 0, made.stderr
    a, b = Bank.open(tmp_path / "a", tiny_backbone), Bank.open(tmp_path / "b", tiny_backbone)
    assert a.content == b.content
    assert [image.name for image in a.images] == [f"{bucket}/in/{Path(image.name).name}" for image in b.images]
    assert run("check", tmp_path / "a", "--images", 2, "--json").returncode == 0  # it reads the files again


def test_results_go_to_a_url_and_are_those_of_a_local_folder(tmp_path, bank, bucket):
    options = ("--masks", "--json")
    local = run("inspect", bank, tmp_path / "in", "--out", tmp_path / "out", *options)
    remote = run(
        "inspect", bank, f"{bucket}/in/", "--out", f"{bucket}/out", "--masks", "--json", "--csv", f"{bucket}/t.csv"
    )
    assert remote.returncode == local.returncode, remote.stderr
    for one, other in zip(lines(local), lines(remote), strict=True):
        for kind in ("overlay", "map", "mask"):
            assert objects.read(other[kind]) == Path(one[kind]).read_bytes()
    assert b"<html" in objects.read(f"{bucket}/out/report.html")
    assert objects.read(f"{bucket}/t.csv").count(b"\n") > 10
    again = run("inspect", bank, f"{bucket}/in/", "--out", f"{bucket}/out")
    assert (again.returncode, "earlier run" in again.stderr) == (2, True)
    assert len(list(list_objects(f"{bucket}/out/"))) == 3 * 11 + 1
    read_again = run("inspect", bank, f"{bucket}/", "--json")
    assert len(lines(read_again)) == 10  # results are no images
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("anomalign-*/overlays"))


@pytest.mark.parametrize("key", ["../../x.png", "a/../../x.png", "a//x.png", ".."])
def test_a_key_that_would_leave_the_folder_of_results_stays_in_it(tmp_path, key):
    name = name_below("s3://b/up", f"s3://b/up/{key}")
    assert (tmp_path / "overlays" / f"{name}.png").resolve().is_relative_to(tmp_path / "overlays")
    assert name != name_below("s3://b/up", f"s3://b/up/{key.replace('..', '_').replace('//', '/_/')}")


def test_what_cannot_work_with_urls_is_refused_by_name(tmp_path, bank, bucket):
    for options, word in (
        ((f"{bucket}/in/", "--strip", "4"), "--strip"),
        ((tmp_path / "in", "--records", f"{bucket}/r.jsonl"), "local file"),
        ((f"{bucket}/in/", tmp_path / "in", "--out", tmp_path / "o"), "not both"),
        ((tmp_path / "in", "--out", "https://host/x"), "can only be read"),
        ((tmp_path / "in", "--resume"), "--parquet"),
    ):
        result = run("inspect", bank, *options)
        assert (result.returncode, word in result.stderr) == (2, True), result.stderr
    assert "unknown kind" in run("inspect", bank, "ftp://host/x").stderr
    assert not Path("s3:").exists()


def test_a_table_is_resumed_without_a_row_twice_or_none(tmp_path, bank, bucket):
    parquet = pytest.importorskip("pyarrow.dataset")
    table = f"{bucket}/table"
    first = run("inspect", bank, f"{bucket}/in/00[0-3].png", "--parquet", table, "--out", tmp_path / "out")
    assert first.returncode == 0
    rest = run("inspect", bank, f"{bucket}/in/", "--parquet", table, "--resume", "--json", "--out", tmp_path / "out")
    assert (len(lines(rest)), "4 images left out" in rest.stderr) == (6, True)
    files = [found.url.removeprefix("s3://") for found in list_objects(table)]
    rows = parquet.dataset(files, filesystem=objects.filesystem(bucket)[0]).to_table().to_pylist()
    assert sorted(row["source"] for row in rows) == [f"{bucket}/in/{number:03}.png" for number in range(10)]
    assert len(list((tmp_path / "out" / "overlays").rglob("*.png"))) == 10
    other = run("inspect", bank, f"{bucket}/in/", "--parquet", table, "--resume", "--gate", "1")
    assert (other.returncode, "another settings" in other.stderr) == (2, True)


def test_no_secret_of_a_url_is_shown_logged_or_recorded(tmp_path, bank, bucket):
    secret = "s3cr3t"
    bad = [f"https://me:{secret}@127.0.0.1:9/x.png", f"http://127.0.0.1:9/y.png?sig={secret}", f"s3://me:{secret}@b/x"]
    made = ("--json", "--out", tmp_path / "out", "--csv", tmp_path / "t.csv", "--coco", tmp_path / "c.json")
    results = [run("inspect", bank, *bad, *made, "--parquet", tmp_path / "table", "--records", tmp_path / "r.jsonl")]
    results.append(run("inspect", bad[2], tmp_path / "in"))
    results.append(run("inspect", bank, tmp_path / "in", "--out", bad[2]))
    results.append(run("inspect", bank, tmp_path / "in", "--parquet", bad[2]))
    results.append(run("fit", tmp_path / "new", *bad))
    results.append(run("bank", "info", bad[0]))
    assert len(lines(results[0])) == 3, results[0].stderr
    for result in results:
        assert result.returncode == 2
        assert secret not in result.stdout + result.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file() and "in" not in path.parts]
    assert len(written) > 5
    for path in written:
        assert secret.encode() not in path.read_bytes(), path


def test_a_bank_goes_to_a_store_and_back_by_commands(tmp_path, tiny_backbone, bank, bucket, monkeypatch):
    monkeypatch.setenv("ANOMALIGN_BANKS", str(tmp_path / "cache"))
    url = f"{bucket}/banks/screws.bank"
    assert run("inspect", bank, tmp_path / "in").returncode in (0, 1)  # calibrates
    pushed = run("bank", "push", bank, url)
    assert (pushed.returncode, "6 images; 1 of 1 segments" in pushed.stdout) == (0, True), pushed.stderr
    local, remote = (lines(run("inspect", place, f"{bucket}/in/", "--json")) for place in (bank, url))
    assert remote == local
    assert lines(run("bank", "info", url, "--json")) == lines(run("bank", "info", bank, "--json"))
    assert run("bank", "verify", url).stdout == f"{url}: 6 images, no damage\n"
    assert run("bank", "pull", url, tmp_path / "copy").returncode == 0
    again = run("bank", "pull", url, tmp_path / "copy")
    assert (again.returncode, "--replace" in again.stderr) == (2, True)
    assert run("bank", "pull", url, tmp_path / "copy", "--replace").returncode == 0
    assert Bank.open(tmp_path / "copy", tiny_backbone).content == Bank.open(bank, tiny_backbone).content
    assert run("bank", "calibrate", url).stdout.startswith(f"{url}: threshold ")  # its scores are stored
    refused = run("bank", "calibrate", url, "--preset", "paper")  # scores of these settings are not
    assert (refused.returncode, f"anomalign bank push BANK {url}" in refused.stderr) == (2, True)
    picture = tmp_path / "e.png"
    assert run("explain", url, f"{bucket}/in/009.png", "--out", picture).returncode == 0
    assert picture.is_file()
    for change in (("fit", url, tmp_path / "in"), ("bank", "add", url, tmp_path / "in"), ("bank", "remove", url, "1")):
        result = run(*change)
        assert (result.returncode, "push" in result.stderr) == (2, True), result.stderr
