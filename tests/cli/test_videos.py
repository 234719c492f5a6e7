"""Videos on the command line."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("av", reason="the extra `video` is not installed")

import av

from anomalign import Bank, Detector
from anomalign.errors import InputError
from anomalign.images.video import split_frame_name
from anomalign.images.video_frames import read_frame
from anomalign.reporting.heat_video import HeatVideo
from tests import tiny
from tests.cli.running import run
from tests.pictures import texture
from tests.videos import write_video

SIDE = 64


def images(count, seed, bad=()):
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        image = np.clip(texture(1, SIDE, SIDE) + rng.normal(0, 8, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
        if number in bad:
            image[16:40, 16:40] = 255, 0, 255
        found.append(image)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    write_video(root / "normal.mp4", images(60, 0))
    write_video(root / "clip.mp4", images(50, 1, bad=(10, 11, 12, 40)))
    network = tiny.write(root / "tiny.onnx")
    done = run("fit", root / "street.bank", root / "normal.mp4", "--every", 2, "--backbone", network, "--no-check")
    assert done.returncode == 0, done.stderr
    return root


def test_fit_takes_every_second_frame(folder):
    bank = Bank.open(folder / "street.bank")
    assert [image.name for image in bank.images][:2] == [
        f"{folder / 'normal.mp4'}@00:00:00.000",
        f"{folder / 'normal.mp4'}@00:00:00.080",
    ]
    assert len(bank) == 30
    again = run("fit", folder / "street.bank", folder / "normal.mp4", "--every", 2, "--no-check")
    assert "30 were there already" in again.stderr


def test_inspect_tells_events_frames_and_writes_timeline_and_video(folder):
    out = folder / "out"
    clip = folder / "clip.mp4"
    done = run("inspect", folder / "street.bank", clip, "--out", out, "--gap", 0.5)
    assert done.returncode == 1, done.stderr
    first, second = done.stdout.splitlines()
    assert f"{clip} 00:00:00.400 to 00:00:00.480  (3 frames; highest at 00:00:00.4" in first
    assert f"{clip} 00:00:01.600 to 00:00:01.600  (1 frame; highest at 00:00:01.600" in second
    assert "50 frames, 4 anomalous, in 2 events" in done.stderr
    page = (out / "videos" / "clip.html").read_text(encoding="utf-8")
    assert page.count('<section class="card event">') == 2
    assert page.count("data:image/jpeg;base64,") == 4  # each beside its closest match
    with av.open(str(out / "videos" / "clip.mp4")) as film:
        frames = list(film.decode(video=0))
    assert [float(frame.time) for frame in frames] == pytest.approx([number / 25 for number in range(50)], abs=1e-3)
    below = [frame.to_ndarray(format="rgb24")[-2, :, 0].mean() > 100 for frame in frames]  # red where anomalous
    assert [number for number, is_red in enumerate(below) if is_red] == [10, 11, 12, 40]
    refused = run("inspect", folder / "street.bank", out)  # results are never read as images
    assert refused.returncode == 2


def test_json_lines_are_those_of_the_frames_by_themselves(folder):
    clip = folder / "clip.mp4"
    done = run("inspect", folder / "street.bank", clip, "--json", "--every", 5, "--records", folder / "records.jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    frames = [line for line in lines if "verdict" in line]
    detector = Detector(folder / "street.bank")
    assert [line["seconds"] for line in frames] == pytest.approx([number / 5 for number in range(10)])
    for line in frames:
        alone = detector.inspect(line["path"])
        assert line["image_score"] == alone.image_score
        assert alone.sha256 == line["sha256"]
        assert np.array_equal(read_frame(*split_frame_name(line["path"])), read_frame(clip, line["seconds"]))
    assert [line["event"]["frames"] for line in lines if "event" in line] == [1, 1]
    assert run("replay", folder / "records.jsonl", "--bank", folder / "street.bank").returncode == 0


def test_a_broken_video_ends_with_what_was_read_and_the_run_goes_on(folder):
    whole = write_video(folder / "whole.mkv", images(100, 2)).read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    (folder / "text.mp4").write_text("no video")
    out = folder / "out of broken"
    videos = [folder / name for name in ("text.mp4", "cut.mkv", "clip.mp4")]
    done = run("inspect", folder / "street.bank", *videos, "--out", out)
    assert done.returncode == 2
    assert "text.mp4: not a video that can be read" in done.stderr
    assert "the video ends here, after" in done.stderr
    assert "4 anomalous" in done.stderr
    assert len(done.stdout.splitlines()) >= 1
    assert {path.name for path in (out / "videos").glob("[!.]*")} == {
        *("text.html", "cut.html", "cut.mp4", "clip.html", "clip.mp4")
    }
    assert "No frame could be read" in (out / "videos" / "text.html").read_text(encoding="utf-8")
    with av.open(str(out / "videos" / "cut.mp4")) as film:
        assert 20 < sum(1 for _ in film.decode(video=0)) < 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strip", 4], "--strip: for images only"),
        (["--parquet", "t", "--resume", "--still", 2], "--resume leaves out frames, which --still and the timeline"),
        (["--parquet", "t", "--resume", "--out", "o"], "--resume leaves out frames, which --still and the timeline"),
        (["--every", "0"], "--every is '0'; needs a number of frames"),
        (["picture.png"], "picture.png: given together with videos"),
        (["--out", "s3://bucket/x"], "--out of videos needs a local folder"),
    ],
)
def test_what_does_not_go_with_videos_is_refused(folder, options, message):
    done = run("inspect", folder / "street.bank", folder / "clip.mp4", *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_still_frames_are_not_computed_again(folder):
    still = images(1, 5)[0]
    write_video(folder / "still.mp4", [still] * 30)
    done = run("inspect", folder / "street.bank", folder / "still.mp4", "--json", "--still", 6)
    repeats = [json.loads(line)["repeat"] for line in done.stdout.splitlines() if "repeat" in json.loads(line)]
    assert repeats == [False] + [True] * 29


def test_without_the_extra_the_error_names_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for options in ([], ["--out", folder / "out without"]):
        done = run("inspect", folder / "street.bank", folder / "clip.mp4", *options)
        assert done.returncode == 2
        assert "pip install 'anomalign[video]'" in done.stderr


def test_a_video_with_heat_appears_whole_or_not_at_all(tmp_path):
    image = images(1, 5)[0]

    def write(name, error=None):
        with HeatVideo(tmp_path / name) as film:
            film.write(0.0, image, image, anomalous=False)
            if error:
                raise error
        return film

    assert write("whole.mp4").is_written
    with pytest.raises(KeyboardInterrupt):
        write("interrupted.mp4", KeyboardInterrupt())
    with pytest.raises(ValueError, match="other"):
        write("failed.mp4", ValueError("other"))
    with HeatVideo(tmp_path / "empty.mp4") as film:
        pass
    assert not film.is_written
    assert {path.name for path in tmp_path.iterdir()} == {"whole.mp4", "interrupted.mp4"}
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write("file/below.mp4")
