"""Decoded images in memory: bounded, and decoded once however many ask."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from anomalign.service.kept.decoded_images import DecodedImages

SIDE = 10
SIZE = 4 * SIDE**2


def image():
    return Image.new("RGB", (SIDE, SIDE))


def fail():
    raise AssertionError("decoded again")


def test_an_image_is_decoded_once():
    images = DecodedImages()
    first = images.get("a", image)
    assert images.get("a", fail) is first
    assert images.bytes_in_memory == SIZE


def test_images_not_used_for_longest_are_dropped():
    images = DecodedImages(keep_bytes=2 * SIZE)
    first, _ = images.get("a", image), images.get("b", image)
    images.get("a", fail)
    images.get("c", image)
    assert images.get("a", fail) is first
    with pytest.raises(AssertionError):
        images.get("b", fail)
    assert (len(images), images.bytes_in_memory) == (2, 2 * SIZE)


def test_an_image_larger_than_the_limit_is_kept_alone():
    images = DecodedImages(keep_bytes=SIZE - 1)
    images.get("a", image)
    last = images.get("b", image)
    assert len(images) == 1
    assert images.get("b", fail) is last


def test_an_image_that_many_ask_for_is_decoded_by_one():
    images, decoded, all_wait = DecodedImages(), [], threading.Event()

    def decode():
        all_wait.wait(10)
        decoded.append(image())
        return decoded[-1]

    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(images.get, "a", decode) for _ in range(4)]
        all_wait.set()
    assert [answer.result() for answer in answers] == decoded * 4
    assert images.bytes_in_memory == SIZE


def test_an_image_that_cannot_be_decoded_may_be_asked_for_again():
    images = DecodedImages()
    with pytest.raises(AssertionError):
        images.get("a", fail)
    assert images.get("a", image).size == (SIDE, SIDE)
