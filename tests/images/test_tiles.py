"""Tiles cover a frame, and each place is kept from the tile in which it lies most central."""

import numpy as np
import pytest

from anomalign import InputError
from anomalign.images.tiles import Tiles


@pytest.mark.parametrize("length", [448, 464, 832, 848, 2048, 8192])
@pytest.mark.parametrize("overlap", [0, 16, 50, 64, 224])
def test_a_place_is_kept_from_the_tile_in_which_it_lies_most_central(length, overlap):
    step = 16
    spans = Tiles(448, overlap).spans(length, step)
    assert all(value % step == 0 for span in spans for value in span)
    assert all(span.stop - span.start == min(448, length) for span in spans)
    owner = np.full(length, -1)
    for number, span in enumerate(spans):
        assert (owner[span.kept_from : span.kept_to] == -1).all()
        owner[span.kept_from : span.kept_to] = number
    places = np.arange(length)
    # How far a place lies from the nearest end of each tile; the ends of the frame are no cuts.
    inside = np.full((len(spans), length), -np.inf)
    for number, span in enumerate(spans):
        to_start = length if span.start == 0 else places - span.start + 1
        to_stop = length if span.stop == length else span.stop - places
        inside[number] = np.minimum(to_start, to_stop)
    assert (inside[owner, places] > inside.max(axis=0) - 2 * step).all()  # borders lie at multiples of the step
    assert (inside[owner, places] >= min(overlap // 2, length) - step).all()


def test_a_frame_that_is_smaller_than_a_tile_is_one_tile():
    assert Tiles(448).spans(320, 32) == [(0, 320, 0, 320)]


@pytest.mark.parametrize(("side", "overlap", "what"), [(40, 0, "tile is 40"), (448, 300, "half of the tile, 224")])
def test_tiles_that_cannot_be_are_refused(side, overlap, what):
    with pytest.raises(InputError, match=what):
        Tiles(side, overlap)


def test_sides_that_do_not_fit_the_network_are_named_with_sides_that_do():
    with pytest.raises(InputError, match=r"frame is 1000 px.* multiple of 16 px .*: 992 or 1008"):
        Tiles(448).spans(1000, 16)


def test_tiles_are_chosen_where_a_frame_is_larger_than_a_megapixel():
    assert Tiles.chosen(224, 3584, 1) is None
    assert Tiles.chosen(2048, 8192, 1) == Tiles(640, 64)
    assert Tiles.chosen(518, 518, 14) is None
    assert Tiles.chosen(896, 896, 14) == Tiles(448, 64)
