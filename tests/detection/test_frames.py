"""Banks whose frame is no square: everything is in pixels of the original images."""

import io

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing, fit_frame
from anomalign.images.tiles import Tiles
from tests.pictures import texture

H, W = 48, 160  # of the images
FRAMES = {
    "as large": Framing((96, 320)),
    "tiles": Framing((96, 320), tiles=Tiles(64, 16)),
    "other proportions": Framing((128, 320)),
}


def marked(y: int, x: int) -> np.ndarray:
    """A picture like the normal ones with a mark of 8 x 8 pixels."""
    image = texture(1, H, W).copy()
    image[y : y + 8, x : x + 8] = 255, 0, 255
    return image


@pytest.fixture(params=FRAMES)
def detector(request, tiny_backbone, tmp_path):
    bank = Bank.create(tmp_path / "bank", tiny_backbone, FRAMES[request.param])
    rng = np.random.default_rng(0)
    noise = [np.zeros((H, W, 3)), *rng.normal(0, 4, (30, H, W, 3))]
    bank.add([np.clip(texture(1, H, W) + one, 0, 255).astype(np.uint8) for one in noise])
    return Detector(bank)


def test_a_mark_is_found_where_it_is_and_moves_by_one_cell(detector):
    boxes = []
    for x in (40, 48, 120):
        inspection = detector.inspect(marked(16, x))
        assert inspection.verdict == "anomalous"
        assert inspection.anomaly_map.shape == (H, W)
        y_of_map, x_of_map = np.unravel_index(np.nanargmax(inspection.anomaly_map), (H, W))
        assert 16 <= y_of_map < 24
        assert x <= x_of_map < x + 8
        top, left, bottom, right = inspection.regions[0].box
        assert top <= 20 < bottom
        assert left <= x + 4 < right
        boxes.append((top, left))
        match = inspection.match_at(20, x + 4)
        assert 0 <= match.y < H
        assert 0 <= match.x < W
    (top, left), (moved_top, moved_left), _ = boxes
    assert moved_top == top
    assert abs(moved_left - left - 8) <= 1


def test_an_unchanged_place_is_matched_with_itself(detector):
    """In an image of the bank each place is nearest to itself, in both directions and at both ends."""
    inspection = detector.inspect(texture(1, H, W))
    aligned = detector.align(inspection)
    for y, x in [(3, 5), (44, 155), (10, 150), (40, 3)]:
        match = aligned.match_at(y, x)
        cell = H / aligned.aligned.place_scores.shape[0], W / aligned.aligned.place_scores.shape[1]
        assert abs(match.y - y) <= cell[0] / 2 + 0.5
        assert abs(match.x - x) <= cell[1] / 2 + 0.5
        assert match.distance < 1e-6


def test_tiles_give_the_same_inspection(tiny_backbone, tmp_path):
    images = [texture(seed, H, W) for seed in range(12)]
    found = []
    for name in ("as large", "tiles"):
        bank = Bank.create(tmp_path / name, tiny_backbone, FRAMES[name])
        bank.add(images)
        found.append(Detector(bank).inspect(marked(16, 100)))
    whole, tiled = found
    np.testing.assert_array_equal(tiled.anomaly_map, whole.anomaly_map)
    assert (tiled.image_score, tiled.p_value, tiled.verdict) == (whole.image_score, whole.p_value, whole.verdict)


def test_a_bank_keeps_its_frame_and_normal_images_as_sharp_as_they_were_compared(tiny_backbone, tmp_path):
    files = []
    for seed in range(4):
        files.append(tmp_path / f"{seed}.png")
        Image.fromarray(texture(seed, 100, 1000)).save(files[-1])
    framing = fit_frame(Framing(64, tiles=Tiles(128, 32)), files)
    Bank.create(tmp_path / "bank", tiny_backbone, framing).add(files)
    bank = Bank.open(tmp_path / "bank", tiny_backbone)
    assert bank.identity.framing == framing == Framing((64, 640), tiles=Tiles(128, 32))
    assert bank.identity.shapes[0][:2] == (16, 160)
    assert Image.open(io.BytesIO(bank.preview(bank.images[0].id))).size == (640, 64)


@pytest.mark.parametrize("kind", ["constant", "smooth"])
def test_the_map_of_a_tiled_image_has_no_steps_at_the_borders_of_tiles(kind, tmp_path):
    """With the bundled network, which sees beyond a cell; the normal images are tiled in the same way."""
    rows, columns = np.mgrid[:192, :448]
    scene = (
        np.full((192, 448), 120.0) if kind == "constant" else 120 + 50 * np.sin(rows / 30) + 40 * np.cos(columns / 41)
    )
    noise = np.random.default_rng(0).normal(0, 2, (8, 192, 448))
    images = [np.clip(scene + one, 0, 255).astype(np.uint8) for one in noise]
    tiles = Tiles(192, 64)
    bank = Bank.create(tmp_path / "bank", framing=Framing((192, 448), tiles=tiles))
    bank.add(images[1:])
    detector = Detector(bank)
    found = detector.align(detector.inspect(images[0])).anomaly_map
    steps = np.abs(np.diff(found, axis=1)).mean(axis=0)  # (447,) from a column to the next
    borders = [span.kept_to for span in tiles.spans(448, 16)[:-1]]
    assert len(borders) == 2
    at_borders = np.concatenate([np.arange(border - 4, border + 4) for border in borders])
    assert steps[at_borders].max() <= np.delete(steps, at_borders).max()
