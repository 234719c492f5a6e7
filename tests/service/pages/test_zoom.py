"""Zoom and pan of both pictures of an inspection."""

import pytest

from tests.pictures import texture
from tests.service.api.live_service import defect, inspect_image, png, run_service
from tests.service.pages.test_inspection import at, mark, open_inspection

BOXES = """() => {
  const box = (element) => element.getBoundingClientRect();
  return ["#here", "#there"].map((name) => {
    const [element, frame] = [document.querySelector(name), document.querySelector(name).parentElement].map(box);
    const x = (frame.x + frame.width / 2 - element.x) / element.width;
    const y = (frame.y + frame.height / 2 - element.y) / element.height;
    return [element.width / frame.width, x, y];
  });
}"""

# Pixels for each of the original in the picture of the part that is seen.
DENSITY = """() => {
  const image = document.querySelector("#here .layers img[src*=box]");
  if (!image?.naturalWidth) return 0;
  const [, left, , right] = new URL(image.src).searchParams.get("box").split(",").map(Number);
  return image.naturalWidth / (right - left);
}"""


@pytest.fixture(scope="module")
def service(kept_service):
    """One for all tests here that do not change it."""
    return kept_service


@pytest.fixture(scope="module")
def client(kept_client):
    return kept_client


@pytest.fixture(scope="module")
def record(client):
    return inspect_image(client, defect(52))


def views(page):
    """For each picture: its width in widths of its frame, and the place in the middle of the frame."""
    return page.evaluate(BOXES)


def test_the_wheel_zooms_both_pictures_and_keeps_the_place_under_the_pointer(page, record):
    open_inspection(page, record)
    assert views(page) == [pytest.approx([1, 0.5, 0.5], abs=0.01)] * 2
    point = at(page, 0.4, 0.3)
    page.mouse.move(*point)
    for _ in range(4):
        page.mouse.wheel(0, -100)
    page.wait_for_function("() => document.querySelector('#zoom-reset').textContent === '244\u00a0%'")
    assert [view[0] for view in views(page)] == pytest.approx([1.25**4] * 2, rel=0.01)
    assert at(page, 0.4, 0.3) == pytest.approx(point, abs=2)
    for _ in range(9):
        page.mouse.wheel(0, 100)
    page.wait_for_function("() => document.querySelector('#zoom-reset').textContent === '100\u00a0%'")
    assert views(page) == [pytest.approx([1, 0.5, 0.5], abs=0.01)] * 2


def test_a_drag_moves_both_pictures_and_pins_nothing(page, record):
    open_inspection(page, record)
    page.mouse.move(*at(page, 0.5, 0.5))
    page.mouse.wheel(0, -200)
    page.wait_for_function("() => !document.querySelector('#zoom-out').disabled")
    x, y = at(page, 0.5, 0.5)
    page.mouse.down()
    page.mouse.move(x + 40, y + 30, steps=4)
    page.mouse.up()
    assert at(page, 0.5, 0.5) == pytest.approx((x + 40, y + 30), abs=2)
    assert page.locator("#here .hair.pinned").count() == 0
    page.mouse.move(x + 2000, y)  # never beyond the edge of the picture
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 900, y, steps=4)
    page.mouse.up()
    assert at(page, 0, 0)[0] == pytest.approx(page.locator(".frame").first.bounding_box()["x"] + 1, abs=2)


def test_a_double_click_zooms_in_and_the_next_one_out(page, record):
    open_inspection(page, record)
    point = at(page, 0.6, 0.6)
    page.mouse.dblclick(*point)
    assert views(page)[0][0] == pytest.approx(3, rel=0.01)
    assert at(page, 0.6, 0.6) == pytest.approx(point, abs=2)
    page.mouse.dblclick(*point)
    assert views(page) == [pytest.approx([1, 0.5, 0.5], abs=0.01)] * 2


def test_two_fingers_zoom(browse, service, record):
    with browse(service.url, viewport={"width": 820, "height": 1100}, has_touch=True) as page:
        open_inspection(page, record)
        touch = page.context.new_cdp_session(page)
        x, y = at(page, 0.5, 0.5)
        for kind, apart in [("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", None)]:
            points = [] if apart is None else [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_function("() => document.querySelector('#zoom-reset').textContent === '200\u00a0%'")
        here, there = views(page)
        assert here == pytest.approx([2, 0.5, 0.5], abs=0.02)
        assert there[0] == pytest.approx(2, abs=0.02)
        assert page.locator("#here .hair.pinned").count() == 0


def test_regions_and_cross_hair_stay_at_their_places(page, record):
    open_inspection(page, record)
    places = """() => {
      const whole = document.querySelector("#here").getBoundingClientRect();
      return [...document.querySelectorAll(".regions-layer polygon.line")].map((outline) => {
        const box = outline.getBoundingClientRect();
        return [(box.left - whole.left) / whole.width, (box.bottom - whole.top) / whole.height];
      });
    }"""
    before, mark_before = page.evaluate(places), mark(page, "here")
    assert before
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert [place for outline in page.evaluate(places) for place in outline] == pytest.approx(
        [place for outline in before for place in outline], abs=0.01
    )
    assert mark(page, "here") == mark_before


def test_a_place_that_is_chosen_comes_into_view(page, record):
    open_inspection(page, record)
    page.mouse.dblclick(*at(page, 0.02, 0.02))
    page.locator("#regions button").first.click()
    y, x = (place + 0.5 for place in record["regions"][0]["peak"])
    left, top = at(page, y / 64, x / 64)
    frame = page.locator(".frame").first.bounding_box()
    assert frame["x"] < left < frame["x"] + frame["width"]
    assert frame["y"] < top < frame["y"] + frame["height"]


def zoom_in_at(page, fy, fx):
    """Returns what is seen of the inspected image."""
    page.mouse.dblclick(*at(page, fy, fx))
    return views(page)[0]


def test_what_is_seen_is_kept_from_image_to_image(page, client):
    first, second = (inspect_image(client, defect(seed)) for seed in (52, 54))
    page.goto("/")
    open_inspection(page, first)
    zoomed = zoom_in_at(page, 0.2, 0.8)
    assert zoomed[0] == pytest.approx(3, rel=0.01)
    open_inspection(page, second)
    assert views(page)[0] == pytest.approx(zoomed, abs=0.01)
    assert page.locator("#zoom-reset").inner_text() == "300\u00a0%"
    page.keyboard.press("w")
    whole = [pytest.approx([1, 0.5, 0.5], abs=0.01)] * 2
    assert views(page) == whole
    open_inspection(page, first)
    assert views(page) == whole


def test_an_image_of_another_size_is_shown_whole(page, client, record):
    open_inspection(page, record)
    zoom_in_at(page, 0.2, 0.8)
    wide = inspect_image(client, png(texture(52, 48, 96)))
    open_inspection(page, wide)
    assert page.locator("#zoom-reset").inner_text() == "100\u00a0%"
    assert page.locator("#zoom-reset").is_disabled()


def test_a_decision_goes_on_to_the_same_place_of_the_next_image(browse, bank, tmp_path):
    with run_service(bank, tmp_path / "data") as service, browse(service.url) as page:
        with service.client() as client:
            for seed in (52, 54):
                inspect_image(client, defect(seed))
        page.goto("/")
        page.locator(".tile").first.click()
        page.locator("#strip button").first.wait_for()
        zoomed = zoom_in_at(page, 0.8, 0.2)
        page.keyboard.press("d")
        page.wait_for_url("**/inspections/1")
        page.locator("#strip button").first.wait_for()
        assert views(page)[0] == pytest.approx(zoomed, abs=0.01)


def test_regions_of_which_nothing_is_seen_are_counted(page, client):
    image = texture(52).copy()
    image[44:60, 44:60] = 255
    record = inspect_image(client, png(image))
    open_inspection(page, record)
    assert page.locator("#outside").is_hidden()
    page.mouse.move(*at(page, 0.03, 0.03))
    for times in range(1, 10):
        page.mouse.wheel(0, -100)
        page.wait_for_function(
            "text => document.querySelector('#zoom-reset').textContent === text",
            arg=f"{round(100 * 1.25**times)}\u00a0%",
        )
        seen = 64 * (0.03 + 0.97 / 1.25**times)  # rows and columns from the top left
        outside = [region for region in record["regions"] if max(region["box"][:2]) >= seen]
        expected = f"{len(outside)} out of view" if outside else ""
        assert page.locator("#outside").inner_text() == expected
    assert outside


def test_what_is_seen_of_the_next_large_image_has_all_pixels(page, client):
    for seed in (52, 54):
        large = inspect_image(client, png(texture(seed, 1500, 3000)))
        open_inspection(page, large)
        if seed == 52:
            for _ in range(9):
                page.keyboard.press("+")
        page.wait_for_function(f"() => ({DENSITY})() === 1")


@pytest.mark.parametrize("zoom", ["3", "8"])
def test_the_match_is_seen_wherever_it_lies(page, record, zoom):
    """Where the first picture shows the place, as far as the second reaches."""
    open_inspection(page, record)
    for _ in range(10 if zoom == "8" else 5):
        page.keyboard.press("+")
    page.locator("#here").focus()
    for key in ["ArrowLeft"] * 3 + ["ArrowUp"] * 4 + ["ArrowRight"] * 5:
        page.keyboard.press(key)
        for name in ("here", "there"):
            y, x = mark(page, name)
            box = page.locator(f"#{name}").bounding_box()
            frame = page.locator(f".frame:has(#{name})").bounding_box()
            assert frame["x"] - 1 <= box["x"] + x * box["width"] <= frame["x"] + frame["width"] + 1
            assert frame["y"] - 1 <= box["y"] + y * box["height"] <= frame["y"] + frame["height"] + 1


def test_both_pictures_show_the_same_part_where_the_match_is_seen_there(page, client, record):
    open_inspection(page, record)
    page.keyboard.press("+")
    page.locator("#here").focus()
    same = 0
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
        here, there = views(page)
        y, x = mark(page, "there")
        if max(abs(y - here[2]), abs(x - here[1])) < 0.39:
            assert here == pytest.approx(there, abs=0.01)
            same += 1
    assert same
