import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign.errors import InputError
from anomalign.images.heat import heat_layer
from anomalign.reporting import overlay, write_map, write_overlay


def photograph(h: int = 40, w: int = 50, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def scores(h: int = 40, w: int = 50) -> np.ndarray:
    return np.random.default_rng(9).uniform(-1, 2, (h, w)).astype(np.float32)


def test_the_photograph_is_unchanged_up_to_the_low_end_and_is_not_written_to() -> None:
    image, heat = photograph(), scores()
    before = image.copy()
    result = overlay(image, heat)
    np.testing.assert_array_equal(result[heat <= 0], image[heat <= 0])
    np.testing.assert_array_equal(image, before)
    assert (result[heat > 0.1] != image[heat > 0.1]).any(axis=1).all()


def test_one_scale_for_all_images_of_a_run() -> None:
    """What heat adds to black depends on the score alone, whatever else is in the image."""
    black = np.zeros((1, 3, 3), np.uint8)
    mild = overlay(black, np.array([[0.2, 0.5, 0.6]], np.float32))
    wild = overlay(black, np.array([[0.5, 50, 0.6]], np.float32))
    np.testing.assert_array_equal(mild[0, 1], wild[0, 0])
    np.testing.assert_array_equal(mild[0, 2], wild[0, 2])


def test_heat_is_full_at_the_high_end_and_what_lies_under_it_stays_visible() -> None:
    flat = np.full((2, 4), [[1], [1e9]], np.float32)
    image = np.tile(np.array([[0], [85], [170], [255]], np.uint8), (2, 1, 3))
    result = overlay(image, flat).astype(int)
    np.testing.assert_array_equal(result[0], result[1])
    assert (np.diff(result[0], axis=0) >= 0.3 * 85).all()


def test_every_pixel_value_blends_without_wrapping_round() -> None:
    """Against blending in floating point, for every score step and grey."""
    image = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 255, axis=0).repeat(3, axis=2)
    heat = np.repeat(np.linspace(0, 1, 255, dtype=np.float32)[:, None], 256, axis=1)
    layer = Image.open(io.BytesIO(heat_layer(heat))).convert("RGBA")
    expected = np.asarray(Image.alpha_composite(Image.fromarray(image).convert("RGBA"), layer).convert("RGB"))
    assert np.abs(overlay(image, heat).astype(int) - expected).max() <= 3


def test_what_was_not_seen_is_greyed_without_heat_and_without_a_warning() -> None:
    image = np.full((4, 6, 3), (200, 40, 90), np.uint8)
    heat = np.full((4, 6), -0.5, np.float32)
    heat[:, :2] = np.nan
    result = overlay(image, heat)
    np.testing.assert_array_equal(result[:, 2:], image[:, 2:])
    towards_grey = np.abs(result[:, :2].astype(int) - 128) < np.abs(image[:, :2].astype(int) - 128)
    assert towards_grey.all()


def test_blocks_leave_no_seam() -> None:
    """An image of several blocks equals its rows laid over one by one."""
    image, heat = photograph(700, 1000), scores(700, 1000)
    result = overlay(image, heat)
    for row in (0, 261, 262, 263, 699):
        np.testing.assert_array_equal(result[row : row + 1], overlay(image[row : row + 1], heat[row : row + 1]))


def test_a_map_of_another_image_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(40, 51\)"):
        overlay(photograph(), scores(40, 51))


def test_a_map_reads_back_bit_for_bit(tmp_path: Path) -> None:
    heat = scores()
    heat[0, :5] = [np.nan, -0.0, 1e-45, np.inf, 3.4e38]
    write_map(tmp_path / "new" / "map.tiff", heat)
    with Image.open(tmp_path / "new" / "map.tiff") as image:
        assert (image.mode, image.n_frames) == ("F", 1)
        np.testing.assert_array_equal(np.asarray(image).view(np.uint32), heat.view(np.uint32))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["map.tiff"]


def test_a_map_of_another_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="float64"):
        write_map(tmp_path / "map.tiff", scores().astype(np.float64))
    assert not list(tmp_path.iterdir())


def test_an_overlay_on_disk_is_the_overlay(tmp_path: Path) -> None:
    write_overlay(tmp_path / "a" / "b.png", photograph(), scores())
    with Image.open(tmp_path / "a" / "b.png") as image:
        np.testing.assert_array_equal(np.asarray(image), overlay(photograph(), scores()))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "map.tiff"
    write_map(target, scores())
    before = target.read_bytes()

    def half_written(self: Image.Image, file: io.BytesIO, *_: object) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", half_written)
    with pytest.raises(KeyboardInterrupt):
        write_map(target, scores() + 1)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["map.tiff"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"file.*map\.tiff: cannot be written"):
        write_map(tmp_path / "file" / "map.tiff", scores())
