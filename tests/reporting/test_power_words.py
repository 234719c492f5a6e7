"""Sentences on what is found, by tables that are made up."""

from dataclasses import replace

import pytest

from anomalign.calibration.thresholds import Threshold
from anomalign.detection.power import DetectionPower, Outcome, Share
from anomalign.reporting.power_words import (
    describe_kind,
    describe_more_normals,
    describe_other_rates,
    describe_quickly,
    describe_rest,
    describe_use,
)

SIZES = (0.01, 0.02, 0.04)


def power(*found, side_px=300.0, normals=400):
    """Of ten scratches of each size, so many found."""
    outcomes = tuple(
        Outcome(f"{number}", "scratch", size, 0.3, 0.5, 0.5, 1.0, number < count)
        for size, count in zip(SIZES, found, strict=True)
        for number in range(10)
    )
    threshold = Threshold(0.0, 0.01, normals, normals, 3.0)
    return DetectionPower(outcomes, ("scratch", "dent"), SIZES, Share(0, 10), {}, threshold, side_px, 2)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ((0, 4, 9), "scratches of 12 px upward are found; of 6 px, 6 of 10 are missed"),
        ((8, 10, 10), "scratches are found, down to 3 px"),
        ((0, 1, 7), "of scratches of 12 px, 7 of 10 are found; of smaller ones, fewer"),
        ((0, 0, 1), "hardly any scratches are found, up to 12 px: 1 of 10"),
        ((9, 2, 10), "scratches of 12 px upward are found; of 6 px, 8 of 10 are missed"),
    ],
)
def test_from_which_size_upward_a_kind_is_found(found, sentence):
    assert describe_kind(power(*found), "scratch") == sentence


def test_a_kind_that_could_not_be_drawn():
    assert describe_kind(power(0, 4, 9), "dent") == "no dents could be drawn that are seen on these images"


def test_sizes_in_millimetres():
    assert "of 1.2 mm upward" in describe_kind(power(0, 4, 9), "scratch", 0.1)


def test_the_line_of_fit():
    assert describe_quickly(power(0, 4, 9)) == (
        "at 1 % false alarms this bank finds, of synthetic defects, 0 of 10 of 3 px (1%) and 4 of 10 of 6 px (2%) and "
        "9 of 10 of 12 px (4%)"
    )


def test_what_the_numbers_rest_on():
    words = " ".join(describe_rest(power(0, 4, 9, normals=5)))
    assert "30 defects were drawn into 10 normal images" in words
    assert "previews" in words
    assert "Only 5 normal images" in words


def test_what_more_normal_images_would_bring():
    words = describe_more_normals(power(0, 3, 6), power(3, 3, 9))
    assert "With half of the normal images 30 of 100 defects are found, with all 50" in words
    assert "about 20 more" in words
    assert "would not find more" in describe_more_normals(power(0, 3, 6), power(0, 3, 6))


def test_what_other_rates_would_find():
    at_five = replace(power(1, 5, 9), threshold=Threshold(0.0, 0.05, 400, 400, 20.0))
    assert "of 100 defects: at 5 % 50." in describe_other_rates([at_five])
    assert describe_other_rates([]) == ""


@pytest.mark.parametrize(
    ("setting", "use"),
    [
        ("size=320", "make a new bank with size=320"),
        ("gallery_size=30", "inspect with gallery_size=30"),
        ("decided_by=alignment", "in Python, use Settings(decided_by='alignment')"),
        ("kappa=3", "in Python, use Settings(kappa=3)"),
    ],
)
def test_how_to_use_a_setting(setting, use):
    assert describe_use(setting) == use
