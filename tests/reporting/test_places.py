import numpy as np

from anomalign.images.framing import Framing
from anomalign.reporting.places import most_anomalous, window, window_side


def hills(shape: tuple[int, int], *tops: tuple[int, int, float]) -> np.ndarray:
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    return np.max([h * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 50) for y, x, h in tops], axis=0).astype(np.float32)


def test_the_highest_tops_come_first_and_lower_ones_are_left_out() -> None:
    heat = hills((100, 120), (20, 20, 5), (80, 30, 9), (50, 100, 7), (90, 110, 3))
    assert most_anomalous(heat, 1, side=12) == [(80, 30), (50, 100), (20, 20)]


def test_the_flank_of_a_high_hill_is_no_place_of_its_own() -> None:
    assert most_anomalous(hills((100, 120), (50, 60, 100)), 0.001, side=5) == [(50, 60)]


def test_places_at_or_under_the_score_do_not_count() -> None:
    assert most_anomalous(np.full((30, 30), 4, np.float32), 4, side=5) == []


def test_windows_do_not_overlap_even_where_the_edge_moves_them() -> None:
    heat = hills((100, 100), (1, 50, 9), (18, 50, 8), (40, 50, 7))
    places = most_anomalous(heat, 1, side=16)
    tops = [window(y, x, 100, 100, 16).top for y, x in places]
    assert places[0] == (1, 50)
    assert min(abs(a - b) for i, a in enumerate(tops) for b in tops[:i]) >= 16


def test_what_was_not_seen_is_no_place() -> None:
    heat = hills((60, 60), (30, 10, 9), (30, 50, 5))
    heat[:, :30] = np.nan
    assert most_anomalous(heat, 1, side=8)[0] == (30, 50)


def test_a_window_is_centred_on_its_pixel_and_stays_in_the_image() -> None:
    middle = window(40, 30, 100, 80, 9)
    assert (middle.top, middle.left, middle.side) == (36, 26, 9)
    corner = window(99, 0, 100, 80, 9)
    assert (corner.top, corner.left) == (91, 0)


def test_windows_fit_images_of_any_size() -> None:
    for height, width in ((3, 4), (10, 1000), (3072, 4096)):
        side = window_side((height, width), Framing(), (height, width))
        assert 0 < side <= min(height, width)
        assert window(height - 1, width - 1, height, width, side).top >= 0
