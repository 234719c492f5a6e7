"""What is said of few groups, and of images that count as fewer."""

import numpy as np
import pytest

from anomalign.calibration.basis import describe_basis, describe_few, describe_groups, describe_need, describe_threshold
from anomalign.calibration.groups import Groups
from anomalign.calibration.thresholds import threshold, usual_rate

IMAGES = 300


def parts(count: int) -> Groups:
    return Groups.of_numbers(np.arange(IMAGES) // (IMAGES // count), "given")


def usual_threshold(groups: Groups):
    return threshold(np.arange(float(IMAGES)), usual_rate(groups.count), groups.weights)


def test_few_groups_say_how_often_a_good_image_may_be_called_anomalous():
    groups = parts(12)
    few = "only 12 groups of normal images seen: one in 13 fresh good images may be called anomalous"
    assert describe_few(usual_threshold(groups)) == few
    assert describe_basis(groups, usual_threshold(groups)) == f"300 normal images in 12 groups; {few}"
    assert describe_need(usual_threshold(groups)) == (
        "300 normal images, which count as 12, support a false-positive rate of 7.7% at best: that is the target; "
        "87 more of other parts, times or batches would support 1%"
    )


def test_a_threshold_says_what_it_rests_on():
    alone = Groups.single(IMAGES)
    assert describe_threshold(usual_threshold(alone)) == (
        "the threshold rests on 300 normal images, and on a target false-positive rate of 1%"
    )
    assert describe_threshold(usual_threshold(parts(12))) == (
        "the threshold rests on 300 normal images, which count as 12, and on a target false-positive rate of 7.7%"
    )


def test_many_groups_say_nothing():
    alone = Groups.single(IMAGES)
    assert (describe_basis(alone, usual_threshold(alone)), describe_need(usual_threshold(alone))) == ("", "")
    assert describe_few(usual_threshold(parts(20))) == ""


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (
            Groups.single(300).in_blocks(np.arange(300), 8),
            "neighbouring files look alike: calibrated in blocks of 9, 300 normal images count as 34",
        ),
        (
            Groups.of_numbers(np.arange(300) // 2, "copies"),
            "some images are nearly copies of others: 300 normal images count as 150",
        ),
        (
            Groups.single(300).counted_as(51.4),
            "scores of neighbouring files rise and fall together: 300 normal images count as 51",
        ),
    ],
)
def test_what_was_found_is_said_in_one_line(groups, words):
    assert describe_groups(groups) == words
