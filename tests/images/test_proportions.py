"""The frame gets the proportions of the images, where they have any in common."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign import Framing, InputError, RegionOfInterest, fit_frame
from anomalign.images.proportions import largest_size
from anomalign.images.tiles import Tiles
from anomalign.images.video import Every
from anomalign.images.video_frames import list_frames
from tests.videos import noisy_images, write_video


def saved(folder: Path, sizes: list[tuple[int, int]]) -> list[Path]:
    """Images of these heights and widths."""
    files = [folder / f"{number:03}.png" for number in range(len(sizes))]
    for file, (height, width) in zip(files, sizes, strict=True):
        Image.new("L", (width, height)).save(file)
    return files


@pytest.mark.parametrize(
    ("sizes", "size_px"),
    [
        ([(320, 320)] * 3, 224),
        ([(1270, 500), (1250, 500), (1260, 500)], (576, 224)),
        ([(256, 4096)] * 2, (224, 3584)),
        ([(100, 104)] * 2, 224),  # nearer to 224 than to 256
        ([(100, 300), (300, 100), (200, 200)], 224),  # mixed
        ([(240, 320)] * 19 + [(320, 240)], (224, 288)),  # one in twenty is no mixture
    ],
)
def test_the_longer_side_follows_the_images(tmp_path, sizes, size_px):
    assert fit_frame(Framing(), saved(tmp_path, sizes)) == Framing(size_px)


@pytest.mark.parametrize(("sizes", "size_px"), [
    ([(320, 320)], 224), ([(1260, 500)] * 3, (352, 144)), ([(256, 4096)], (64, 1024)), ([(100, 30000)], (32, 9600)),
    ([(100, 300), (300, 100)], 224),
])  # fmt: skip
def test_a_frame_can_keep_the_pixels_of_the_square(tmp_path, sizes, size_px):
    frame = fit_frame(Framing(), saved(tmp_path, sizes), same_pixels=True)
    assert frame == Framing(size_px)
    if min(frame.shape) > 32:
        assert 0.75 < frame.shape[0] * frame.shape[1] / 224**2 < 1.35


def test_a_frame_that_keeps_the_pixels_fits_the_patches(tmp_path):
    assert fit_frame(Framing(), saved(tmp_path, [(1260, 500)]), 14, same_pixels=True) == Framing((350, 140))


def test_the_longer_side_is_one_that_the_network_can_take(tmp_path):
    assert fit_frame(Framing(224), saved(tmp_path, [(500, 1270)]), 14) == Framing((224, 574))


def test_a_turned_photograph_counts_as_it_is_shown(tmp_path):
    image = Image.new("RGB", (640, 320))
    image.getexif()[0x0112] = 6
    image.save(tmp_path / "phone.jpg", exif=image.getexif())
    assert fit_frame(Framing(64), [tmp_path / "phone.jpg"]) == Framing((128, 64))


def test_frames_of_a_video_have_its_proportions(tmp_path):
    video = write_video(tmp_path / "clip.mp4", noisy_images(6, height=40, width=120))
    frames = [Path(name) for name in list_frames(video, Every(2))]
    assert fit_frame(Framing(64), frames) == Framing((64, 192))
    assert largest_size(frames) == (40, 120)


def test_a_region_of_interest_counts_in_place_of_the_image(tmp_path):
    framing = Framing(64, region=RegionOfInterest(0, 0, 50, 100))
    assert fit_frame(framing, saved(tmp_path, [(100, 100)])).shape == (64, 128)


def test_files_that_are_no_images_leave_the_square(tmp_path):
    (tmp_path / "notes.png").write_text("no image")
    assert fit_frame(Framing(), [tmp_path / "notes.png"]) == Framing()


def test_a_large_frame_gets_tiles_unless_it_has_some(tmp_path):
    files = saved(tmp_path, [(512, 2048)])
    assert fit_frame(Framing(1024), files) == Framing((1024, 4096), tiles=Tiles(640, 64))
    assert fit_frame(Framing(1024, tiles=Tiles(512)), files).tiles == Tiles(512)


def test_the_centre_crop_stays_a_square(tmp_path):
    assert fit_frame(Framing(224, 256), saved(tmp_path, [(100, 300)])) == Framing(224, 256)
    with pytest.raises(InputError, match="a centre crop is a square"):
        Framing((224, 448), 256)


def test_scaling_keeps_the_proportions():
    assert Framing((224, 576)).scaled(448) == Framing((448, 1152))
    assert Framing(224, 256).scaled(448) == Framing(448, 512)


def test_an_entry_is_read_back():
    for framing in (Framing(), Framing((64, 96)), Framing((64, 96), tiles=Tiles(64, 16)), Framing(224, 256)):
        assert Framing.from_entry(framing.to_entry()) == framing
    assert Framing((64, 64)) == Framing(64)


@pytest.mark.parametrize("turned", [False, True])
def test_a_frame_shows_the_image_in_true_proportions(turned):
    image = np.zeros((100, 250), np.uint8)
    image[40:60, 150:200] = 255
    framed = Framing((200, 500)).frame(Image.fromarray(image))
    if turned:
        framed = Framing((500, 200)).frame(Image.fromarray(image.T)).transpose(1, 0, 2)
    assert framed.shape == (200, 500, 3)
    rows, columns = np.nonzero(framed[..., 0] > 127)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (80, 120, 300, 400)
