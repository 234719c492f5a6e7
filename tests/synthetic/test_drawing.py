"""Synthetic defects change what they should, where they should, and nothing else."""

import numpy as np
import pytest

from anomalign.synthetic import KINDS, SIZES, draw_defect, part_masks
from tests.pictures import texture


def vivid(seed, height, width):
    """A texture of strong contrasts, in which blurs and dents are seen."""
    return np.clip((texture(seed, height, width).astype(int) - 128) * 6 + 128, 0, 255).astype(np.uint8)


PICTURE, OTHER = vivid(1, 200, 240), vivid(2, 180, 160)
EVERYWHERE = np.ones(PICTURE.shape[:2], bool)


def disc(seed, side=160):
    """A dark disc with texture on a light background with a little noise; and where it is."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    centre = random.uniform(0.4, 0.6, 2) * side
    inside = np.hypot(y - centre[0], x - centre[1]) < 0.25 * side
    picture = 200 + random.normal(0, 3, (side, side, 3))
    picture[inside] = 60 + texture(seed, side, side)[inside] / 8
    return picture.astype(np.uint8), inside


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_only_pixels_near_the_centre_change(kind, size):
    defect = draw_defect(PICTURE, EVERYWHERE, OTHER, kind, size)
    if defect is None:  # so small a change is hardly seen
        assert kind == "smear" or size < 0.03
        return
    changed = (defect.picture != PICTURE).any(axis=2)
    y, x = np.nonzero(changed)
    distance = np.hypot(y + 0.5 - defect.y * 200, x + 0.5 - defect.x * 240)
    assert distance.max() <= np.hypot(0.5, 0.5) * size * 200 + 3
    assert not (defect.mask & ~changed).any()


@pytest.mark.parametrize("kind", KINDS)
def test_without_contrast_nothing_changes(kind):
    defect = draw_defect(PICTURE, EVERYWHERE, OTHER, kind, 0.08, contrasts=(0, 0))
    np.testing.assert_array_equal(defect.picture, PICTURE)
    assert not defect.mask.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_can_be_seen(kind):
    for seed in range(5):
        defect = draw_defect(PICTURE, EVERYWHERE, OTHER, kind, 0.16, seed=seed)
        change = np.abs(defect.picture.astype(float) - PICTURE)[defect.mask]
        assert change.mean() >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same_and_another_seed_another(kind):
    first, again, other = (draw_defect(PICTURE, EVERYWHERE, OTHER, kind, 0.08, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.picture, again.picture)
    assert (first.picture != other.picture).any()


def test_a_blur_of_a_plain_surface_is_no_defect():
    surface = np.full((100, 100, 3), 90, np.uint8)
    assert draw_defect(surface, np.ones((100, 100), bool), surface, "smear", 0.16) is None


def test_a_grey_picture_stays_grey():
    grey = np.repeat(PICTURE[..., :1], 3, axis=2)
    for seed in range(6):
        picture = draw_defect(grey, EVERYWHERE, grey, "spot", 0.08, seed=seed).picture
        np.testing.assert_array_equal(picture[..., 0], picture[..., 2])


def test_defects_are_on_the_part():
    picture, _ = disc(0)
    (part,) = part_masks([picture])
    for seed in range(20):
        defect = draw_defect(picture, part, picture, "spot", 0.02, seed=seed)
        assert part[int(defect.y * 160), int(defect.x * 160)]


def test_a_part_on_a_plain_background_is_found():
    pictures, truths = zip(*(disc(seed) for seed in range(6)), strict=True)
    for mask, truth in zip(part_masks(pictures), truths, strict=True):
        assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_a_picture_full_of_texture_is_all_part():
    assert all(mask.all() for mask in part_masks([texture(seed, 90, 120) for seed in range(4)]))


def test_a_small_picture_takes_a_large_defect():
    tiny = texture(3, 20, 30)
    for kind in KINDS:
        defect = draw_defect(tiny, np.ones((20, 30), bool), texture(4, 10, 10), kind, 0.9)
        assert defect is None or defect.picture.shape == tiny.shape
