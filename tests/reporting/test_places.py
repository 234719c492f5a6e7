from anomalign.images.framing import Framing
from anomalign.reporting.places import window, window_side


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
