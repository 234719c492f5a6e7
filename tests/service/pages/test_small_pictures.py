"""Small pictures of long images, and the numbers of regions."""

import itertools

import numpy as np
import pytest

from anomalign import Bank, Detector, Framing
from tests.pictures import texture
from tests.service.api.live_service import inspect_image, png, run_service
from tests.service.pages.test_inspection import open_inspection

SIZE = (64, 512)
MARKS = (300, 330, 356, 400)

BOXES = """() => [...document.querySelectorAll(".regions-layer .region-number")]
  .filter((tag) => tag.style.visibility === "visible")
  .map((tag) => tag.getBoundingClientRect().toJSON())"""


@pytest.fixture(scope="module")
def service(tmp_path_factory, tiny_backbone):
    folder = tmp_path_factory.mktemp("long")
    bank = Bank.create(folder / "parts.bank", tiny_backbone, Framing((64, 512)))
    plain = texture(5, *SIZE).astype(float)
    noise = np.random.default_rng(0).normal(0, 4, (12, *SIZE, 3))
    bank.add([np.clip(plain + one, 0, 255).astype(np.uint8) for one in noise])
    Detector(bank).calibrate()
    with run_service(bank.path, folder / "data") as service:
        yield service


@pytest.fixture(scope="module")
def record(service):
    image = texture(5, *SIZE).copy()
    for number, left in enumerate(MARKS):
        image[4 + 12 * number : 12 + 12 * number, left : left + 8] = 255, 0, 255
    with service.client() as client:
        return inspect_image(client, png(image))


@pytest.mark.parametrize("width", [1280, 820])
def test_numbers_of_regions_cover_no_other_and_are_inside_the_picture(browse, service, record, width):
    assert len(record["regions"]) >= 2
    with browse(service.url, viewport={"width": width, "height": 900}) as page:
        open_inspection(page, record)
        page.keyboard.press("w")
        page.wait_for_function(f"() => ({BOXES})().length >= 2")
        frame = page.locator("#here").bounding_box()
        tags = page.evaluate(BOXES)
        for tag in tags:
            assert frame["x"] - 1 <= tag["left"]
            assert tag["right"] <= frame["x"] + frame["width"] + 1
            assert frame["y"] - 1 <= tag["top"]
            assert tag["bottom"] <= frame["y"] + frame["height"] + 1
        for a, b in itertools.combinations(tags, 2):
            across = min(a["right"], b["right"]) - max(a["left"], b["left"])
            down = min(a["bottom"], b["bottom"]) - max(a["top"], b["top"])
            assert min(across, down) <= 0.5


def test_a_long_image_shows_its_worst_place_in_the_queue_and_among_its_neighbours(browse, service, record):
    y, x = record["regions"][0]["peak"]
    with browse(service.url) as page:
        page.goto("/")
        page.wait_for_selector(".thumb.long img")
        sources = page.locator(".thumb.long img").evaluate_all("images => images.map(image => image.src)")
        assert len(sources) == 2
        top, left, bottom, right = box_of(sources[0])
        assert (bottom - top, right - left) == (64, 80)
        assert top <= y < bottom
        assert left <= x < right
        assert "box" not in sources[1]
        open_inspection(page, record)
        for source in page.locator("#strip img").evaluate_all("images => images.map(image => image.src)"):
            assert box_of(source) == [top, left, bottom, right]


def box_of(address):
    return [int(side) for side in address.split("box=")[1].split("&")[0].split("%2C")]
