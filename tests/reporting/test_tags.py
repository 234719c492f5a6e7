"""Numbers of boxes in a picture never cover each other."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from anomalign.reporting.tags import Box, place_tags

WIDTH, HEIGHT = 1000.0, 400.0


@st.composite
def boxes(draw):
    numbers = st.floats(0, 1, allow_nan=False)
    made = []
    for number in range(1, draw(st.integers(1, 20)) + 1):
        x, y, width, height = (draw(numbers) for _ in range(4))
        made.append(Box(number, x * WIDTH, y * HEIGHT, width * (1 - x) * WIDTH, height * (1 - y) * HEIGHT))
    return made


def covers(a, b):
    return max(a.x, b.x) < min(a.x + a.width, b.x + b.width) and max(a.y, b.y) < min(a.y + a.height, b.y + b.height)


@given(boxes(), st.sampled_from([0.5, 1.0]))
def test_tags_lie_in_the_picture_and_cover_no_other(boxes, scale):
    tags = place_tags(boxes, WIDTH, HEIGHT, scale)
    assert [tag.number for tag in tags] == sorted(tag.number for tag in tags)
    assert tags[0].number == 1
    for tag in tags:
        assert min(tag.x, tag.y) >= 0
        assert tag.x + tag.width <= WIDTH
        assert tag.y + tag.height <= HEIGHT
    assert not any(covers(a, b) for a, b in itertools.combinations(tags, 2))


def test_a_tag_stands_above_its_box_where_there_is_room_and_two_digits_are_wider():
    first, second = place_tags([Box(1, 100, 200, 50, 50), Box(12, 600, 200, 50, 50)], WIDTH, HEIGHT)
    assert (first.x, first.y + first.height, first.width) == (100, 200, 44)
    assert (second.x, second.width) == (600, 66)


def test_in_a_narrow_strip_close_boxes_keep_their_numbers():
    strip = [Box(number, 500 + 3 * number, 5, 10, 50) for number in range(1, 5)]
    assert len(place_tags(strip, WIDTH, 62.5, 0.5)) == 4
