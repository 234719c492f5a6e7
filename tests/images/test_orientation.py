"""Orientations of pictures: against NumPy's, and each pixel's place of origin by looking."""

import numpy as np
import pytest
from PIL import Image

from anomalign import InputError
from anomalign.images.orientation import UPRIGHT, Turn, read_augment, turns_of
from tests.pictures import texture

EVERY = turns_of("flip,rotate")


def apply(turn, array):
    return np.asarray(turn.apply(Image.fromarray(array)))


def test_quarter_turns_and_flips_are_those_of_numpy():
    picture = texture(0, 40, 40)
    expected = {turned.tobytes() for k in range(4) for turned in (np.rot90(picture, k), np.rot90(picture[:, ::-1], k))}
    assert len(EVERY) == 8
    assert {apply(turn, picture).tobytes() for turn in EVERY} == expected
    for turn, turned in [
        (Turn(), picture),
        (Turn(True), picture[:, ::-1]),
        (Turn(True, 180), picture[::-1]),
        (Turn(degrees=90), np.rot90(picture)),
        (Turn(degrees=270), np.rot90(picture, -1)),
    ]:
        np.testing.assert_array_equal(apply(turn, picture), turned)


@pytest.mark.parametrize("shape", [(8, 8), (7, 12), (12, 7), (3, 16), (15, 1), (6, 9)])
@pytest.mark.parametrize("turn", EVERY, ids=str)
def test_every_pixel_comes_from_its_origin(turn, shape):
    """Each pixel is another one, so what the turned picture shows tells where it was; no proportion is excepted."""
    picture = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    turned = apply(turn, picture)
    assert turned.shape == shape
    for y in range(shape[0]):
        for x in range(shape[1]):
            row, column = turn.origin(y, x, *shape)
            assert turned[y, x] == picture[int(row), int(column)]
            assert (row, column) == (int(row), int(column))


@pytest.mark.parametrize("shape", [(60, 90), (81, 40), (50, 50)])
@pytest.mark.parametrize("degrees", [10, 350, 3.5, 100, 133])
@pytest.mark.parametrize("mirrored", [False, True])
def test_other_angles_show_the_origin_too_also_beyond_the_edges(shape, degrees, mirrored):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    turn = Turn(mirrored, degrees)
    for plane, axis in ((rows, 0), (columns, 1)):  # a picture whose grey is the row, or the column
        turned = apply(turn, plane.astype(np.uint8)).astype(float)
        origin = [[turn.origin(y, x, *shape)[axis] for x in range(shape[1])] for y in range(shape[0])]
        assert np.abs(turned - origin).max() <= 1.5  # Pillow cuts off fractions of a grey value


def test_colour_and_grey_stay_what_they_are():
    for turn in turns_of("flip,rotate,rotate:7"):
        assert turn.apply(Image.fromarray(texture(1, 30, 50))).mode == "RGB"
        assert turn.apply(Image.fromarray(texture(1, 30, 50)[:, :, 0])).mode == "L"


def test_kinds_have_one_writing_and_one_set_of_orientations():
    assert read_augment(" rotate:10, flip,rotate,rotate:5.0,flip") == "flip,rotate,rotate:5,rotate:10"
    assert read_augment("") == ""
    assert turns_of("") == (UPRIGHT,)
    assert turns_of("rotate:10") == (UPRIGHT, Turn(degrees=10), Turn(degrees=350))
    assert turns_of("rotate:180") == (UPRIGHT, Turn(degrees=180))
    assert set(turns_of("rotate:90,rotate:180")) == set(turns_of("rotate"))
    assert [len(turns_of(kinds)) for kinds in ("flip", "rotate", "flip,rotate", "rotate,rotate:10")] == [4, 4, 8, 12]
    for kinds in ("flip", "rotate", "flip,rotate", "flip,rotate,rotate:1,rotate:2"):
        assert turns_of(kinds)[0] == UPRIGHT
        assert len(set(turns_of(kinds))) == len(turns_of(kinds))


@pytest.mark.parametrize(
    "kinds", ["spin", "rotate:", "rotate:0", "rotate:-5", "rotate:181", "rotate:nan", "flip;rotate"]
)
def test_kinds_that_there_are_not(kinds):
    with pytest.raises(InputError, match="there is no augmentation .*take flip, rotate"):
        read_augment(kinds)


def test_orientations_in_words():
    words = [str(turn) for turn in turns_of("flip,rotate")]
    assert words[0] == ""
    assert set(words[1:]) == {
        "turned by 90° to the left", "turned by 90° to the right", "turned by 180°", "mirrored",
        "mirrored top to bottom",
        "mirrored and turned by 90° to the left", "mirrored and turned by 90° to the right",
    }  # fmt: skip
