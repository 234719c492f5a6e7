"""Frames of videos, against the list of all frames that FFmpeg decodes in order."""

import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="the extra `video` is not installed")

from anomalign.errors import ImageError, InputError
from anomalign.images.files import list_images
from anomalign.images.sources import Failure, load_source
from anomalign.images.video import EACH, Every, Video, clock, is_video, split_frame_name
from anomalign.images.video_frames import list_frames, read_frame
from anomalign.images.video_stream import read_frames
from tests.videos import noisy_images, write_video

COUNT = 60
KINDS = [
    ("mp4", "libx264"),
    ("mkv", "libx264"),
    ("avi", "mpeg4"),
    ("avi", "libx264"),  # frames in another order than they are shown in, and no times
    ("ts", "libx264"),
    ("webm", "libvpx-vp9"),
]


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def video(request, tmp_path_factory):
    ending, codec = request.param
    return write_video(tmp_path_factory.mktemp("video") / f"clip.{ending}", noisy_images(COUNT), codec=codec)


def frames_and_failures(path, every=EACH):
    found = list(read_frames(path, every))
    return [one for one in found if not isinstance(one, Failure)], [one for one in found if isinstance(one, Failure)]


def test_all_frames_are_read_in_order(video):
    frames, failures = frames_and_failures(video)
    assert not failures
    assert [frame.seconds for frame in frames] == pytest.approx([number / 25 for number in range(COUNT)], abs=1e-3)
    assert [frame.name for frame in frames[:3]] == [f"{video}@00:00:00.{ms}" for ms in ("000", "040", "080")]
    means = np.array([frame.image.mean() for frame in frames])
    assert np.all(np.abs(means - means[0] - np.arange(COUNT)) < 4)  # each image is brighter by one


def test_any_frame_can_be_sought_and_is_the_same_to_the_pixel(video):
    frames, _ = frames_and_failures(video)
    for number in np.random.default_rng(0).permutation(COUNT):
        path, seconds = split_frame_name(frames[number].name)
        np.testing.assert_array_equal(read_frame(path, seconds), frames[number].image)


def test_threads_may_seek_at_once(video):
    frames, _ = frames_and_failures(video)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda frame: read_frame(*split_frame_name(frame.name)), frames * 2))
    assert all(np.array_equal(image, frame.image) for image, frame in zip(found, frames * 2, strict=True))


def test_the_list_of_frames_names_what_is_read(video):
    for every in (EACH, Every.parse("7"), Every.parse("0.5s")):
        assert list_frames(video, every) == [frame.name for frame in frames_and_failures(video, every)[0]]


def test_every_tenth_frame_and_each_half_second(video):
    assert [frame.seconds for frame in frames_and_failures(video, Every.parse("10"))[0]] == pytest.approx(
        [0, 0.4, 0.8, 1.2, 1.6, 2.0], abs=1e-3
    )
    assert [frame.seconds for frame in frames_and_failures(video, Every.parse("0.5s"))[0]] == pytest.approx(
        [0, 0.52, 1.0, 1.52, 2.0], abs=1e-3
    )


@pytest.mark.parametrize("text", ["0", "-3", "", "x", "0s", "1.5", "1 s s", "9" * 5000, "9" * 400 + "s", "\u0663s"])
def test_every_refuses_what_is_no_number_of_frames_or_seconds(text):
    with pytest.raises(InputError, match="needs a number of frames"):
        Every.parse(text)


def test_variable_frame_rates_keep_their_times(tmp_path):
    times = [0.0, 0.1, 0.15, 1.15, 1.2, 3.7]
    path = write_video(tmp_path / "phone.mp4", noisy_images(len(times)), times)
    frames, failures = frames_and_failures(path)
    assert not failures
    assert [frame.seconds for frame in frames] == pytest.approx(times, abs=1e-3)
    between = read_frame(path, 1.0)  # shows what a player shows
    np.testing.assert_array_equal(between, frames[2].image)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_video_of_a_phone_is_turned_as_a_player_shows_it(tmp_path, turn):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:16, :16] = 255  # bright at the top left of what the sensor saw
    path = write_video(tmp_path / "phone.mp4", [image] * 3)
    # The matrix of the track header, as phones write it: a clockwise turn by 90, 180 or 270 degrees.
    matrices = {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}
    a, b, c, d = (value << 16 for value in matrices[turn])
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    (frame, *_), failures = frames_and_failures(path)
    assert not failures
    expected = np.rot90(image, -turn)
    assert frame.image.shape == expected.shape
    assert np.abs(frame.image.astype(int) - expected).mean() < 3
    with Video(path, 10**6) as video:
        info = video.info()
    assert (info.height, info.width) == expected.shape[:2]


def test_a_video_that_was_cut_ends_with_what_can_be_read_and_says_where(tmp_path):
    path = write_video(tmp_path / "clip.mkv", noisy_images(COUNT))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    frames, failures = frames_and_failures(path)
    assert 20 < len(frames) < 40
    (failure,) = failures
    assert failure.error == (
        f"{frames[-1].name}: the video ends here, after {len(frames)} frames; by its header it goes on to "
        f"{clock(COUNT / 25)}"
    )


@pytest.mark.parametrize(("ending", "codec"), KINDS)
def test_frames_behind_a_damaged_part_are_read(tmp_path, ending, codec):
    path = write_video(tmp_path / f"clip.{ending}", noisy_images(COUNT), codec=codec)
    sound, _ = frames_and_failures(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 900] = np.random.default_rng(0).bytes(900)
    path.write_bytes(content)
    frames, failures = frames_and_failures(path)
    np.testing.assert_array_equal(frames[0].image, sound[0].image)
    assert np.abs(frames[-1].image.astype(int) - sound[-1].image).mean() < 20  # the last is there, within two steps
    assert len(frames) > COUNT * 0.85
    if ending == "mp4":  # whose index says where each frame begins, so that FFmpeg notices all damage
        assert failures
        assert all("damaged" in failure.error or "cannot be decoded" in failure.error for failure in failures)
        np.testing.assert_array_equal(frames[-1].image, sound[-1].image)


@pytest.mark.parametrize(
    "content", [b"", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n", bytes(5000)]
)
def test_what_is_no_video_is_one_failure(tmp_path, content):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    (failure,) = read_frames(path)
    assert failure.name == str(path)
    assert "not a video that can be read" in failure.error
    with pytest.raises(ImageError, match="not a video that can be read"):
        read_frame(path, 0.0)


def test_a_video_without_pictures_a_missing_one_and_a_large_one(tmp_path):
    (missing,) = read_frames(tmp_path / "none.mp4")
    assert "no such file" in missing.error
    path = write_video(tmp_path / "clip.mp4", noisy_images(3))
    (large,) = read_frames(path, EACH, 64 * 48 - 1)
    assert "64 x 48 px; the limit is" in large.error


def test_a_time_behind_the_end_is_refused(tmp_path):
    path = write_video(tmp_path / "clip.mp4", noisy_images(10))
    with pytest.raises(ImageError, match=r"the video ends at 00:00:00\.360"):
        read_frame(path, 5.0)


def test_the_name_of_a_frame_is_a_source(tmp_path):
    path = write_video(tmp_path / "clip.mp4", noisy_images(10))
    name = f"{path}@00:00:00.200"
    np.testing.assert_array_equal(load_source(name, name), read_frame(path, 0.2))
    assert [str(one) for one in list_images([name]).images] == [name]
    with pytest.raises(ImageError, match="a video, where one image is expected"):
        load_source(path, str(path))


def test_a_file_that_is_replaced_is_read_anew(tmp_path):
    images = noisy_images(40)
    path = write_video(tmp_path / "clip.mp4", images[:10])
    before = read_frame(path, 0.0)
    write_video(path, images[30:])
    assert read_frame(path, 0.0).mean() > before.mean() + 20


@pytest.mark.parametrize("name", ["clip.mp4", "a.png@00:00:01.000", "clip.mp4@1", "clip.mp4@00:61:00.000"])
def test_other_names_are_not_taken_for_frames(name):
    assert split_frame_name(name) is None


def test_kinds_and_clock():
    assert is_video("A.MP4")
    assert not is_video("a.png")
    assert clock(3723.4567) == "01:02:03.457"
    assert split_frame_name("x/clip.mp4@01:02:03.457") == (Path("x/clip.mp4"), 3723.457)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_reads_with_files_of_its_own(tmp_path):
    path = write_video(tmp_path / "clip.mp4", noisy_images(20))
    first = read_frame(path, 0.0)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(read_frame(path, 0.0), first) else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(read_frame(path, 0.0), first)
