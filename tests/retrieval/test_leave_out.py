"""Neighbours of a normal image without its group, against a bank that was built without the group."""

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Framing
from anomalign.retrieval import DESCRIPTORS, ImageSearch
from tests.pictures import texture

NORMALS = 30
GROUP = [1, 4, 9, 16, 25]


def build(path, backbone, seeds, augment=()):
    bank = Bank.create(path, backbone, Framing(64), *augment)
    bank.add([texture(seed) for seed in seeds])
    return bank


@pytest.fixture(scope="module", params=[(), ("flip,rotate",)], ids=["plain", "augmented"])
def banks(request, tmp_path_factory, tiny_backbone):
    """A bank, and the same without a group of images."""
    folder = tmp_path_factory.mktemp("banks")
    remaining = [seed for seed in range(NORMALS) if seed not in GROUP]
    return (
        build(folder / "all", tiny_backbone, range(NORMALS), request.param),
        build(folder / "others", tiny_backbone, remaining, request.param),
        remaining,
    )


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_neighbours_are_those_in_a_bank_without_the_group(banks, descriptor):
    """In another bank the images have other rows; orientations are the same."""
    bank, others, remaining = banks
    turns = len(bank.identity.turns)
    rows = np.array(GROUP)
    found = ImageSearch(bank, descriptor).leave_out(rows, 7, [rows] * len(rows))
    expected = ImageSearch(others, descriptor).search(bank.gallery(GROUP), 7)
    np.testing.assert_allclose(found.distance, expected.distance, rtol=1e-3)
    seeds = np.array(remaining)[expected.index // turns]
    np.testing.assert_array_equal(found.index // turns, seeds)
    np.testing.assert_array_equal(found.index % turns, expected.index % turns)


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_sets_that_differ_do_not_mix(banks, descriptor):
    """Sets of several sizes at once, some of them the same; each row as if asked for alone."""
    bank, _, _ = banks
    sets = [np.array(one) for one in ([0], [1, 2, 3], [2, 1, 3], [4, 9], [5], [0, 6, 7, 8, 20, 21])]
    rows = np.array([0, 1, 2, 4, 5, 6])
    search = ImageSearch(bank, descriptor)
    together = search.leave_out(rows, 5, sets)
    for place, (row, set_) in enumerate(zip(rows, sets, strict=True)):
        alone = search.leave_out(np.array([row]), 5, [set_])
        np.testing.assert_array_equal(together.index[place], alone.index[0])
        np.testing.assert_allclose(together.distance[place], alone.distance[0], rtol=1e-6)
        images = together.index[place] // len(bank.identity.turns)
        assert not set(images.tolist()) & set(set_.tolist())
        assert len(set(images.tolist())) == 5


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_no_set_is_a_set_of_the_image_itself(banks, descriptor):
    bank, _, _ = banks
    rows = np.arange(NORMALS)
    search = ImageSearch(bank, descriptor)
    plain, sets = search.leave_out(rows, 4), search.leave_out(rows, 4, [rows[row : row + 1] for row in rows])
    empty = search.leave_out(rows, 4, [rows[:0]] * NORMALS)  # the image itself always is left out
    for one in (sets, empty):
        assert (one.index.tobytes(), one.distance.tobytes()) == (plain.index.tobytes(), plain.distance.tobytes())


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_of_images_that_do_not_remain_there_is_no_neighbour(banks, descriptor):
    bank, _, _ = banks
    most = np.arange(2, NORMALS)
    found = ImageSearch(bank, descriptor).leave_out(np.array([5, 6]), 4, [most, np.arange(NORMALS)])
    turns = len(bank.identity.turns)
    assert sorted((found.index[0, :2] // turns).tolist()) == [0, 1]
    assert np.isfinite(found.distance[0, :2]).all()
    assert (found.index[0, 2:] == -1).all()
    assert (found.index[1] == -1).all()
    assert np.isinf(found.distance[1]).all()


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
@pytest.mark.parametrize("augment", [(), ("flip,rotate",)], ids=["plain", "augmented"])
def test_copies_of_an_image_are_left_out_with_its_set(tmp_path, tiny_backbone, descriptor, augment):
    """The same pixels in another file; of a turned copy in an augmented bank, too."""
    bank = build(tmp_path / "bank", tiny_backbone, range(10), augment)
    copy = Image.fromarray(texture(0)).rotate(90) if augment else Image.fromarray(texture(0))
    copy.save(tmp_path / "copy.bmp")
    bank.add(tmp_path / "copy.bmp")
    others = build(tmp_path / "others", tiny_backbone, [1, 2, 4, 5, 6, 7, 8, 9], augment)  # not 0, its copy, nor 3
    turns = len(bank.identity.turns)
    search = ImageSearch(bank, descriptor)
    found = search.leave_out(np.array([0, 10]), 3, [np.array([0, 3]), np.array([10, 3])])
    assert not set((found.index // turns).ravel().tolist()) & {0, 3, 10}
    expected = ImageSearch(others, descriptor).search(bank.gallery([0, 10]), 3)
    np.testing.assert_allclose(found.distance, expected.distance, rtol=1e-3)
