"""The region of interest on the pages: shown, and drawn for a new bank."""

import pytest

from anomalign import Bank, Detector, Framing, RegionOfInterest
from tests.pictures import texture
from tests.service.api.live_service import inspect_image, png, run_service
from tests.service.pages.test_looks import CONTRASTS, TARGETS, UNNAMED

REGION = RegionOfInterest(50, 90, 40, 60)


@pytest.fixture
def service_with_region(tmp_path, tiny_backbone):
    bank = Bank.create(tmp_path / "parts.bank", tiny_backbone, Framing(64, region=REGION))
    bank.add([texture(seed, 150, 200) for seed in range(12)])
    Detector(bank).calibrate()
    with run_service(bank.path, tmp_path / "data") as service:
        yield service


def open_bank(page):
    page.goto("/banks/parts")
    page.locator(".region-picture").wait_for()
    page.locator(".region-picture").scroll_into_view_if_needed()


def settled_box(page):
    """Where the picture is once nothing above it is loading any more."""
    box, earlier = page.locator(".region-picture").bounding_box(), None
    while box != earlier:
        page.wait_for_timeout(200)
        box, earlier = page.locator(".region-picture").bounding_box(), box
    return box


def draw(page, start, end):
    """Draw from one place of the picture to another, both as shares (y, x) of it."""
    box = settled_box(page)
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for y, x in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=3)
    page.mouse.up()


def frame(page):
    line = page.locator(".region-picture .frame-line")
    return [int(line.get_attribute(name)) for name in ("y", "x", "height", "width")]


def test_a_rectangle_that_is_drawn_gives_the_option_for_a_new_bank(page):
    open_bank(page)
    page.get_by_text("This bank compares whole images.").wait_for()
    command = page.locator(".region-command")
    assert not command.is_visible()
    draw(page, (0.75, 0.875), (0.25, 0.125))  # from the lower right to the upper left
    assert page.get_by_label("Region", exact=True).input_value() == "16,8,32,48"
    assert command.inner_text() == "anomalign fit NEW.bank NORMALS --region 16,8,32,48"
    assert frame(page) == [16, 8, 32, 48]
    draw(page, (0.5, 0.5), (2, 2))  # beyond the picture
    assert frame(page) == [32, 32, 32, 32]


def test_a_rectangle_can_be_typed(page):
    open_bank(page)
    numbers, command = page.get_by_label("Region", exact=True), page.locator(".region-command")
    numbers.fill("1, 2, 30, 40")
    assert command.inner_text().endswith("--region 1,2,30,40")
    for text in ("1,2,30", "1,2,64,40", "1,2,0,40", "a"):
        numbers.fill(text)
        assert numbers.get_attribute("aria-invalid") == "true"
        assert not command.is_visible()
        assert not page.locator(".region-picture .frame-line").is_visible()


def test_the_region_of_a_bank_is_shown(browse, service_with_region):
    with browse(service_with_region.url) as page:
        open_bank(page)
        page.get_by_text("In this bank rows 50 to 89, columns 90 to 149 of each image count (50,90,40,60).").wait_for()
        assert frame(page) == [50, 90, 40, 60]


def test_an_inspection_shows_the_region_and_its_surroundings(browse, service_with_region):
    with service_with_region.client() as client, browse(service_with_region.url) as page:
        image = texture(50, 150, 200).copy()
        image[60:70, 100:115] = 255
        record = inspect_image(client, png(image))
        matches = client.get(f"/api/inspections/{record['id']}/matches").json()
        page.goto(f"/inspections/{record['id']}")
        page.locator("#strip button").first.wait_for()
        viewer, picture = page.locator("#here").bounding_box(), page.locator("#here img").first.bounding_box()
        top, left, bottom, right = record["shown"]
        scale = viewer["width"] / (right - left)
        assert viewer["height"] / (bottom - top) == pytest.approx(scale, rel=0.01)
        assert picture["width"] == pytest.approx(200 * scale, rel=0.01)
        assert viewer["x"] - picture["x"] == pytest.approx(left * scale, abs=1)
        assert viewer["y"] - picture["y"] == pytest.approx(top * scale, abs=1)

        # Outlines of regions of heat are drawn in pixels of the image, over the whole picture.
        outlines = page.locator("#here .regions-layer svg")
        assert outlines.get_attribute("viewBox") == "0 0 200 150"
        assert outlines.bounding_box() == pytest.approx(picture, abs=0.1)
        points = outlines.locator("polygon.line").first.get_attribute("points").split()
        assert [[int(y), int(x)] for x, y in (point.split(",") for point in points)] == record["regions"][0]["outline"]

        # A place under the pointer is the place of the image that is drawn there.
        y, x = 80, 140
        page.mouse.click(viewer["x"] + (x + 0.5 - left) * scale, viewer["y"] + (y + 0.5 - top) * scale)
        page.locator("#unpin").wait_for()
        row, column = int((y + 0.5 - 50) * matches["h"] / 40), int((x + 0.5 - 90) * matches["w"] / 60)
        hair = page.locator("#here .hair > svg")
        expected_y = 100 * (50 + (row + 0.5) * 40 / matches["h"] - top) / (bottom - top)
        expected_x = 100 * (90 + (column + 0.5) * 60 / matches["w"] - left) / (right - left)
        assert float(hair.get_attribute("y").rstrip("%")) == pytest.approx(expected_y)
        assert float(hair.get_attribute("x").rstrip("%")) == pytest.approx(expected_x)


def test_the_region_is_zoomed_where_the_cross_hair_is(browse, service_with_region):
    with service_with_region.client() as client, browse(service_with_region.url) as page:
        image = texture(50, 150, 200).copy()
        image[60:70, 100:115] = 255
        record = inspect_image(client, png(image))
        page.goto(f"/inspections/{record['id']}")
        page.locator("#regions button").first.click()
        hair = page.locator("#here .hair > svg[x]")
        hair.wait_for(state="attached")
        before = [float(hair.get_attribute(name).rstrip("%")) / 100 for name in "xy"]
        spot = """([x, y]) => {
          const box = document.querySelector("#here").getBoundingClientRect();
          return [box.left + x * box.width, box.top + y * box.height];
        }"""
        place = page.evaluate(spot, before)
        page.keyboard.press("+")
        page.keyboard.press("+")
        assert page.locator("#zoom-reset").inner_text() == "156\u00a0%"
        assert [float(hair.get_attribute(name).rstrip("%")) / 100 for name in "xy"] == pytest.approx(before)
        assert page.evaluate(spot, before) == pytest.approx(place, abs=2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_card_can_be_read_and_used(browse, service_with_region, scheme):
    with browse(
        service_with_region.url, color_scheme=scheme, has_touch=True, viewport={"width": 768, "height": 1024}
    ) as page:
        open_bank(page)
        draw(page, (0.2, 0.2), (0.8, 0.8))
        assert [(ratio, text) for ratio, text in page.evaluate(CONTRASTS) if ratio < 4.5] == []
        assert [(height, text) for height, text in page.evaluate(TARGETS) if height < 40] == []
        assert page.evaluate(UNNAMED) == []
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
