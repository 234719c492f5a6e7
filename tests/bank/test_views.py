"""A view's number tells its image and its orientation."""

from itertools import product

import numpy as np
import pytest

from anomalign.bank.views import Views


@pytest.mark.parametrize("turns", [1, 3, 8])
def test_views_are_numbered_image_by_image_in_each_orientation(turns):
    views = Views(turns)
    pairs = list(product(range(5), range(turns)))
    assert [views.number(image, turn) for image, turn in pairs] == list(range(5 * turns))
    assert [(views.image(view), views.turn(view)) for view in range(5 * turns)] == pairs
    assert [view for image in range(5) for view in views.all_of(image)] == list(range(5 * turns))


@pytest.mark.parametrize("turns", [1, 3, 8])
def test_arrays_are_numbered_as_single_images_are_and_no_view_is_no_image(turns):
    views = Views(turns)
    numbers = np.array([[0, 5, -1], [7, -1, -1]])
    there = numbers >= 0
    again = views.number(views.image(numbers), views.turn(numbers))
    assert (again == numbers).all()
    assert (views.image(numbers)[~there] == -1).all()
    assert views.image(numbers)[there].tolist() == [views.image(number) for number in numbers[there].tolist()]
    assert (views.number(np.arange(4), turns - 1) == [views.number(image, turns - 1) for image in range(4)]).all()
