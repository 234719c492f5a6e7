"""Runs over videos: tables with a row for each frame, work that is shared, Ctrl-C, and two runs into one folder."""

import csv
import json
import re
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytest.importorskip("av", reason="the extra `video` is not installed")

import av
from filelock import FileLock

from anomalign import Bank
from anomalign.cli.results import LOCK
from tests.cli.running import run, run_process
from tests.cli.test_videos import folder, images
from tests.videos import write_video

__all__ = ["folder"]
needs_pyarrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs pip install 'anomalign[remote]'")


def rows(place):
    import pyarrow.parquet

    return pyarrow.parquet.read_table(place).to_pylist()


def frames_of(stdout):
    return [line for line in map(json.loads, stdout.splitlines()) if "verdict" in line]


def shown(path):
    """Times of the frames of a video with heat, and whether each is shown as anomalous."""
    with av.open(str(path)) as film:
        return [(frame.time, frame.to_ndarray(format="rgb24")[-2, :, 0].mean() > 100) for frame in film.decode(video=0)]


@needs_pyarrow
def test_tables_have_a_row_for_each_frame_with_what_its_line_says(folder, tmp_path):
    files = ["--parquet", tmp_path / "table", "--csv", tmp_path / "t.csv", "--coco", tmp_path / "c.json"]
    done = run("inspect", folder / "street.bank", folder / "clip.mp4", "--json", *files)
    frames = frames_of(done.stdout)
    assert done.returncode == 1, done.stderr
    assert "table: 50 rows" in done.stderr
    keys = ("name", "verdict", "image_score", "p_value", "region_count")
    expected = [tuple(line[key] for key in keys) for line in frames]
    found = rows(tmp_path / "table")
    assert [tuple(row[key] for key in keys) for row in found] == expected
    assert [row["source"] for row in found] == [line["path"] for line in frames]  # the path was absolute
    with (tmp_path / "t.csv").open() as table:
        lines = list(csv.DictReader(table))
    assert list(dict.fromkeys(line["path"] for line in lines)) == [line["path"] for line in frames]
    assert len(lines) == sum(max(1, line["region_count"]) for line in frames)
    coco = json.loads((tmp_path / "c.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [line["path"] for line in frames]
    assert len(coco["annotations"]) == sum(line["region_count"] for line in frames) > 0


@needs_pyarrow
def test_a_run_that_goes_on_leaves_each_frame_one_row(folder, tmp_path):
    whole = write_video(tmp_path / "whole.mkv", images(60, 2)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    command = ["inspect", folder / "street.bank", "cut.mkv", "--parquet", "table"]
    first = run(*command, "--every", 10, cwd=tmp_path)
    again = run(*command, "--resume", cwd=tmp_path)
    assert (first.returncode, again.returncode) == (2, 2)
    found = rows(tmp_path / "table")
    frames = [row for row in found if row["status"] == "inspected"]
    everything = frames_of(run("inspect", folder / "street.bank", "cut.mkv", "--json", cwd=tmp_path).stdout)
    assert sorted(row["name"] for row in frames) == [line["path"] for line in everything]
    assert {row["name"]: row["image_score"] for row in frames} == {x["path"]: x["image_score"] for x in everything}
    (failed,) = (row for row in found if row["status"] == "failed")  # of the video, once
    assert failed["source"] == str(tmp_path / "cut.mkv")
    assert "the video ends here" in failed["error"]
    left_out = len(range(0, len(everything), 10))
    assert f"{left_out} frames left out: they have a row already" in again.stderr
    assert "0 frames" in run(*command, "--resume", cwd=tmp_path).stderr
    assert len(rows(tmp_path / "table")) == len(found)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--still", 6], ["--every", "0.1s", "--out"]])
def test_workers_give_what_one_process_gives(folder, tmp_path, options):
    broken = write_video(tmp_path / "whole.mkv", images(60, 2, bad=(7, 8, 30))).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(broken[: len(broken) // 2])
    still = images(1, 5)[0]
    bad = images(1, 5, bad=(0,))[0]
    write_video(tmp_path / "still.mp4", [still] * 20 + [bad] * 20 + [still] * 20)
    outputs = []
    for name, sharing in (("one", []), ("many", ["--workers", "2"])):
        out = [tmp_path / name] * ("--out" in options)
        videos = [tmp_path / "still.mp4", tmp_path / "cut.mkv", folder / "clip.mp4"]
        files = ["--csv", tmp_path / f"{name}.csv", "--records", tmp_path / f"{name}.jsonl"]
        done = run("inspect", folder / "street.bank", *videos, "--json", *files, *sharing, *options, *out)
        assert done.returncode == 2
        pages = [
            re.sub('nonce[-=]"?[^"\']+|Written [^<]+', "", path.read_text())
            for path in sorted((tmp_path / name).rglob("*.html"))
        ]
        films = [shown(path) for path in sorted((tmp_path / name).rglob("*.mp4"))]
        assert len(pages) == len(films) == 3 * len(out)
        outputs.append((done.stdout, (tmp_path / f"{name}.csv").read_text(), pages, films))
    assert outputs[0] == outputs[1]
    assert len(frames_of(outputs[0][0])) > 40


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'anomalign[ray]'")
def test_a_ray_cluster_gives_what_one_process_gives(folder):
    command = ["inspect", folder / "street.bank", folder / "clip.mp4", "--json", "--still", 6]
    # in a process of its own: Ray, once it was stopped in this one, loses workers of the next cluster
    assert run_process(*command, "--ray", "local", "--workers", "2").stdout == run(*command).stdout


@needs_pyarrow
@pytest.mark.slow
@pytest.mark.parametrize("sharing", [[], ["--workers", "2"]])
def test_ctrl_c_leaves_what_was_read_and_nothing_torn(folder, tmp_path, sharing):
    """Whatever was printed is in the timeline, in the video and in the table; at most one frame more is there."""
    long = write_video(tmp_path / "long.mp4", images(50, 3, bad=(2, 3)) * 80)
    files = ["--out", tmp_path / "out", "--parquet", tmp_path / "table", "--csv", tmp_path / "t.csv"]
    command = [sys.executable, "-m", "anomalign", "inspect", folder / "street.bank", long, "--json", *files, *sharing]
    log = tmp_path / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        lines = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGINT)
        lines += process.stdout.read().splitlines()
        assert process.wait(60) == 130, log.read_text()
    said = log.read_text()
    assert "Traceback" not in said
    assert "interrupted: frames behind the last one were not inspected" in said
    frames = frames_of("\n".join(line.strip() for line in lines))
    events = [line for line in map(json.loads, lines) if "event" in line]
    assert 18 <= len(frames) < 4000
    assert events  # the one that was open is told, too
    names = [line["path"] for line in frames]
    table = sorted(row["name"] for row in rows(tmp_path / "table"))
    assert (table[: len(names)], len(table) - len(names) in (0, 1)) == (names, True)
    with (tmp_path / "t.csv").open() as text:
        assert set(names) <= {line["path"] for line in csv.DictReader(text)}
    out = tmp_path / "out" / "videos"
    assert {path.name for path in out.glob("[!.]*")} == {"long.html", "long.mp4"}
    assert (out / "long.html").read_text(encoding="utf-8").count('<section class="card event">') == len(events)
    with av.open(str(out / "long.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) - len(frames) in (0, 1)


def test_a_second_run_at_the_same_time_is_refused(folder, tmp_path):
    command = ["inspect", folder / "street.bank", folder / "clip.mp4", "--out", tmp_path / "out"]
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / LOCK):
        done = run(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert "another run is writing its results there" in done.stderr
    assert run(*command).returncode == 1


def test_a_later_run_replaces_the_results_and_no_other_files(folder, tmp_path):
    out = tmp_path / "out"
    write_video(tmp_path / "other.mp4", images(4, 9))
    run("inspect", folder / "street.bank", tmp_path / "other.mp4", "--out", out)
    (out / "videos" / "mine.txt").write_text("mine")
    done = run("inspect", folder / "street.bank", folder / "clip.mp4", "--out", out, "--every", 10)
    assert "held the results of an earlier run; 2 files are replaced" in done.stderr
    assert {path.name for path in (out / "videos").glob("[!.]*")} == {"clip.html", "clip.mp4", "mine.txt"}


def test_a_video_is_never_replaced_by_its_result(folder, tmp_path):
    """The folder of the videos has the name of the one for results, and the result that of the video."""
    (tmp_path / "videos").mkdir()
    clip = write_video(tmp_path / "videos" / "clip.mp4", images(4, 9))
    content = clip.read_bytes()
    done = run("inspect", folder / "street.bank", clip, "--out", tmp_path)
    assert done.returncode == 2
    assert "holds files that are not known to be results" in done.stderr
    assert clip.read_bytes() == content
    done = run("inspect", folder / "street.bank", folder / "clip.mp4", "--every", 25, "--out", tmp_path / "out")
    again = run("inspect", folder / "street.bank", tmp_path / "out/videos/clip.mp4", "--out", tmp_path / "out")
    assert again.returncode == 2
    assert "clip.mp4: lies in" in again.stderr
    assert (tmp_path / "out/videos/clip.mp4").exists()


@pytest.mark.slow
def test_workers_fit_the_bank_that_one_process_fits(folder, tmp_path):
    command = ["--every", 2, "--backbone", folder / "tiny.onnx", "--no-check"]
    done = run("fit", tmp_path / "many.bank", folder / "normal.mp4", *command, "--workers", "2")
    assert done.returncode == 0, done.stderr
    many, one = Bank.open(tmp_path / "many.bank"), Bank.open(folder / "street.bank")
    assert [image.name for image in many.images] == [image.name for image in one.images]
    assert many.content == one.content
