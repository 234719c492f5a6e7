"""The region of interest: what it cuts out, which places count, how it is written; against slow and obvious code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from anomalign import Framing, ImageError, InputError, RegionOfInterest
from anomalign.alignment import place_on_image
from anomalign.images.orientation import turns_of
from anomalign.images.region import FILL
from tests.pictures import texture

masks = arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))).filter(np.any)


def disc(height, width, radius):
    y, x = np.mgrid[:height, :width]
    return (y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2


@pytest.mark.parametrize("resize_px", [None, 73])
@pytest.mark.parametrize("turn", turns_of("flip,rotate:30"), ids=str)
def test_a_rectangle_is_seen_as_an_image_that_was_cropped_beforehand(resize_px, turn):
    image = texture(1, 90, 120)
    cropped = Image.fromarray(image[20:70, 31:101])
    seen = Framing(64, resize_px, RegionOfInterest(20, 31, 50, 70)).frame(Image.fromarray(image), turn)
    np.testing.assert_array_equal(seen, Framing(64, resize_px).frame(turn.apply(cropped)))


def test_pixels_outside_a_mask_are_one_grey():
    image, mask = texture(2, 60, 80), disc(60, 80, 20)
    region = RegionOfInterest.of_mask(mask)
    filled = np.where(mask[..., None], image, np.uint8(FILL))
    box = slice(region.top, region.top + region.height), slice(region.left, region.left + region.width)
    np.testing.assert_array_equal(region.cut(Image.fromarray(image), "a"), filled[box])
    grey = Image.fromarray(image[..., 0])
    np.testing.assert_array_equal(region.cut(grey, "a"), filled[box][..., 0])


@given(masks)
def test_a_mask_keeps_its_pixels_and_its_smallest_rectangle(mask):
    region = RegionOfInterest.of_mask(mask)
    rows, columns = np.nonzero(mask)
    assert (region.top, region.left) == (rows.min(), columns.min())
    assert (region.height, region.width) == (np.ptp(rows) + 1, np.ptp(columns) + 1)
    h, w = mask.shape
    np.testing.assert_array_equal(region.covers(np.arange(h), np.arange(w)), mask)
    assert RegionOfInterest.from_entry(region.to_entry()) == region


@given(masks, st.integers(1, 9), st.integers(1, 9))
def test_a_place_counts_if_half_of_its_pixels_do(mask, h, w):
    region = RegionOfInterest.of_mask(mask)
    part = mask[region.top :, region.left :][: region.height, : region.width]
    if region.height < h or region.width < w:
        return  # a place smaller than a pixel takes the pixel at its centre
    counted = Framing(32, region=region).counted((h, w))
    for row in range(h):
        for column in range(w):
            ys = [y for y in range(len(part)) if row <= (y + 0.5) * h / len(part) < row + 1]
            xs = [x for x in range(part.shape[1]) if column <= (x + 0.5) * w / part.shape[1] < column + 1]
            share = part[np.ix_(ys, xs)].mean()
            on_an_edge = any(
                ((2 * n + 1) * cells) % (2 * side) == 0
                for side, cells in ((len(part), h), (part.shape[1], w))
                for n in range(side)
            )
            if not on_an_edge:
                assert counted[row, column] == (share >= 0.5)


@given(masks, st.integers(1, 9), st.integers(1, 9))
def test_a_place_that_does_not_count_has_what_the_nearest_has_that_does(mask, h, w):
    framing = Framing(32, region=RegionOfInterest.of_mask(mask))
    counted = framing.counted((h, w))
    if not counted.any():
        with pytest.raises(InputError, match="too thin"):
            framing.check_grids([(h, w)])
        return
    framing.check_grids([(h, w)])
    rows, columns = framing.nearest_counted((h, w))
    assert counted[rows, columns].all()
    ys, xs = np.nonzero(counted)
    for y in range(h):
        for x in range(w):
            nearest = ((ys - y) ** 2 + (xs - x) ** 2).min()
            assert (rows[y, x] - y) ** 2 + (columns[y, x] - x) ** 2 == nearest


@given(masks)
def test_maps_have_no_value_outside_a_mask(mask):
    framing = Framing(32, region=RegionOfInterest.of_mask(mask))
    placed = place_on_image(np.ones((32, 32), np.float32), framing, *mask.shape)
    np.testing.assert_array_equal(~np.isnan(placed), mask)


def test_a_map_on_a_smaller_picture_is_that_of_the_image_taken_pixel_by_pixel():
    mask = disc(120, 160, 40)
    framing = Framing(32, region=RegionOfInterest.of_mask(mask))
    square = np.arange(1024, dtype=np.float32).reshape(32, 32)
    whole, small = (place_on_image(square, framing, 120, 160, shown) for shown in (None, (40, 32)))
    at = np.ix_(np.arange(40) * 3 + 1, np.arange(32) * 5 + 2)  # the middle pixels
    np.testing.assert_array_equal(np.isnan(small), np.isnan(whole[at]))
    np.testing.assert_allclose(small, whole[at], rtol=1e-4)


@pytest.mark.parametrize("turn", turns_of("flip,rotate"), ids=str)
def test_a_place_of_a_turned_region_is_traced_to_where_its_pixel_came_from(turn):
    image = np.arange(90 * 120, dtype=np.int64).reshape(90, 120)
    framing = Framing(32, region=RegionOfInterest(20, 30, 40, 40))
    turned = framing.turned(Image.fromarray(image.astype(np.float32)), turn, 90, 120)
    pixels = np.asarray(turned).astype(np.int64)
    for y, x in ((20, 30), (25, 69), (59, 41)):
        row, column = framing.origin(turn, y, x, 90, 120)
        assert pixels[y, x] == image[round(row), round(column)]
    assert pixels[0, 0] == 0
    assert pixels[89, 119] == image[89, 119]


def test_an_image_that_does_not_hold_the_region_is_refused_with_its_size():
    picture = Image.fromarray(texture(1, 50, 60))
    with pytest.raises(ImageError, match=r"a\.png: has 50 x 60 pixels .* 20,30,31,10 \(y,x,h,w\)"):
        Framing(32, region=RegionOfInterest(20, 30, 31, 10)).frame(picture, name="a.png")
    Framing(32, region=RegionOfInterest(20, 30, 30, 30)).frame(picture)
    with pytest.raises(ImageError, match=r"a\.png: has 50 x 60 pixels .* mask of the region of interest has 51 x 60"):
        Framing(32, region=RegionOfInterest.of_mask(disc(51, 60, 9))).frame(picture, name="a.png")


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1.5,2,3,4", "-1,2,3,4", "1,2,0,4"])
def test_what_is_no_rectangle_is_refused(text):
    with pytest.raises(InputError, match="region is"):
        RegionOfInterest.parse(text)
    with pytest.raises(InputError, match="region is"):
        RegionOfInterest(1, 2, 3, 4.0)


def test_a_mask_file_is_white_where_pixels_count(tmp_path):
    mask = disc(30, 40, 8)
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    assert RegionOfInterest.read_mask(tmp_path / "mask.png") == RegionOfInterest.of_mask(mask)
    Image.new("L", (40, 30)).save(tmp_path / "black.png")
    with pytest.raises(ImageError, match=r"black\.png: .* marks no pixel; what counts must be white"):
        RegionOfInterest.read_mask(tmp_path / "black.png")


def test_a_mask_may_have_as_many_pixels_as_an_image(tmp_path):
    mask = disc(30, 40, 8)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert RegionOfInterest.read_mask(tmp_path / "mask.png", max_pixels=1200) == RegionOfInterest.of_mask(mask)
    with pytest.raises(ImageError, match=r"mask\.png: 40x30 pixels, more than the limit"):
        RegionOfInterest.read_mask(tmp_path / "mask.png", max_pixels=1199)


@pytest.mark.parametrize("change", [{"box": [1, 2, 3]}, {"mask": "AAAA"}, {"sha256": "0"}, {"image_size": [4, 4]}])
def test_an_entry_that_was_changed_is_refused(change):
    entry = RegionOfInterest.of_mask(disc(30, 40, 8)).to_entry()
    with pytest.raises((ValueError, TypeError)):
        RegionOfInterest.from_entry({**entry, **change})


def test_a_framing_without_a_region_is_written_as_before():
    assert Framing(64, 72).to_entry() == {"size_px": 64, "resize_px": 72}
    region = RegionOfInterest.of_mask(disc(30, 40, 8))
    assert Framing.from_entry(Framing(64, region=region).to_entry()) == Framing(64, region=region)
