import shutil

import numpy as np
import pytest

from anomalign.service.pages.assets import VERSION
from tests.pictures import texture
from tests.service.api.live_service import defect, good, inspect_image, png, run_service, send

READY = "() => document.querySelectorAll('#strip button').length && document.querySelector('#rarity').textContent"


@pytest.fixture(scope="module")
def service(kept_service):
    """One for all tests here that do not change it."""
    return kept_service


@pytest.fixture(scope="module")
def client(kept_client):
    return kept_client


@pytest.fixture(scope="module")
def wide(client):
    return inspect_wide(client)


def inspect_wide(client):
    """A defect, not square: rows 16 to 32, columns 72 to 96 of 48 x 96."""
    image = texture(90, 48, 96).copy()
    image[16:32, 72:96] = 255
    return inspect_image(client, png(image))


def open_inspection(page, record):
    page.goto(f"/inspections/{record['id']}")
    page.wait_for_function(READY)
    page.wait_for_function("() => [...document.querySelectorAll('.layers img')].every(image => image.naturalWidth > 0)")


def at(page, fy, fx):
    """A place of the picture -> a point of the screen."""
    box = page.locator("#here").bounding_box()
    return box["x"] + fx * box["width"], box["y"] + fy * box["height"]


def mark(page, stage):
    """Where a cross-hair stands, as fractions of height and width."""
    hair = page.locator(f"#{stage} .hair > svg")
    return tuple(float(hair.get_attribute(name).rstrip("%")) / 100 for name in ("y", "x"))


def wait_for_mark(page, stage, place, tolerance=1e-6):
    """Wait until a cross-hair stands at a place: the page draws it a moment after the pointer has moved."""
    for _ in range(100):
        if mark(page, stage) == pytest.approx(place, abs=tolerance):
            return
        page.wait_for_timeout(50)
    assert mark(page, stage) == pytest.approx(place, abs=tolerance)


def expected(client, record, fy, fx, against=None):
    """(image id, y, x as fractions, distance) by the service's own arithmetic."""
    place = {"y": fy * record["height"] - 0.5, "x": fx * record["width"] - 0.5}
    if against:
        place["against"] = against
    match = client.get(f"/api/inspections/{record['id']}/match", params=place).json()
    return match["image_id"], (match["y"] + 0.5) / 64, (match["x"] + 0.5) / 64, match["distance"]


def test_every_place_is_matched_as_the_service_says(page, client, wide):
    open_inspection(page, wide)
    matches = client.get(f"/api/inspections/{wide['id']}/matches").json()
    rng = np.random.default_rng(0)
    for fy, fx in rng.uniform(0.01, 0.99, (40, 2)).tolist():
        found = page.evaluate(
            """async ([version, matches, picture, fy, fx]) => {
                 const {cellAt, matchOf} = await import(`/static/${version}/matches.js`);
                 return matchOf(matches, cellAt(matches, picture, fy, fx));
               }""",
            [VERSION, matches, wide, fy, fx],
        )
        image, y, x, distance = expected(client, wide, fy, fx)
        assert found["normal"]["id"] == image
        assert (found["fy"], found["fx"], found["distance"]) == pytest.approx((y, x, distance), rel=1e-5)


def test_a_picture_of_which_a_part_is_seen(page):
    """Cells lie in the seen part alone; outside of it there is none; a cell's own place is its centre."""
    page.goto("/")
    cells = page.evaluate(
        """async (version) => {
             const {cellAt, placeOf} = await import(`/static/${version}/matches.js`);
             const matches = {h: 4, w: 4}, picture = {height: 100, width: 200, seen: [10, 60, 90, 140]};
             const around = {row: 3, column: 0};
             const {fy, fx} = placeOf(matches, picture, around);
             return [cellAt(matches, picture, 0.05, 0.5), cellAt(matches, picture, 0.5, 0.29),
                     cellAt(matches, picture, 0.11, 0.31), cellAt(matches, picture, fy, fx), fy, fx];
           }""",
        VERSION,
    )
    assert cells == [None, None, {"row": 0, "column": 0}, {"row": 3, "column": 0}, 0.8, 0.35]


def test_moving_shows_the_matched_place_at_once(page, client, wide):
    open_inspection(page, wide)
    for fy, fx in [(0.2, 0.2), (0.55, 0.85), (0.9, 0.4)]:
        page.mouse.move(*at(page, fy, fx))
        image, y, x, distance = expected(client, wide, fy, fx)
        wait_for_mark(page, "there", (y, x))
        assert mark(page, "here") == pytest.approx((fy, fx), abs=0.5 / 16 + 0.01)  # the centre of its cell
        visible = page.locator("#there .layers img:not(.away)")
        assert visible.count() == 1
        assert visible.get_attribute("src").endswith(f"/images/{image}/picture")
        assert page.locator("#distance").inner_text().replace(",", "") == f"{float(f'{distance:.4g}'):g}"


def test_nothing_moves_but_the_cross_hairs(page, wide):
    """Though this image is wide, and the normal ones are square."""
    open_inspection(page, wide)
    boxes = [page.locator(name).bounding_box() for name in ("#here", ".frame >> nth=1", ".controls", "#strip")]
    for step in range(8):
        page.mouse.move(*at(page, 0.1 + 0.1 * step, 0.9 - 0.1 * step))
        page.wait_for_timeout(50)
        now = [page.locator(name).bounding_box() for name in ("#here", ".frame >> nth=1", ".controls", "#strip")]
        assert now == boxes
    assert boxes[0]["width"] / boxes[0]["height"] == pytest.approx(2, rel=0.02)


def test_nothing_is_asked_of_the_service_while_moving(page, wide):
    open_inspection(page, wide)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for step in range(20):
        page.mouse.move(*at(page, 0.1 + 0.04 * step, 0.5))
    page.wait_for_timeout(200)
    assert asked == []


def test_crops_are_of_the_places(page, wide):
    """The white patch: its middle is white in this image, and in no normal one."""
    open_inspection(page, wide)
    page.mouse.move(*at(page, 0.5, 0.875))
    page.wait_for_timeout(500)
    here, there = (
        page.locator(f"#{name}").evaluate(
            "c => [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data]"
        )
        for name in ("crop-here", "crop-there")
    )
    assert min(here) >= 250
    assert min(there[:3]) < 220


def test_at_rest_the_most_unusual_place_is_shown(page, client, wide):
    open_inspection(page, wide)
    matches = client.get(f"/api/inspections/{wide['id']}/matches").json()
    row, column = divmod(int(np.argmax(matches["place_score"])), matches["w"])
    assert mark(page, "here") == pytest.approx(((row + 0.5) / matches["h"], (column + 0.5) / matches["w"]))


def test_a_click_pins_and_escape_lets_go(page, wide):
    open_inspection(page, wide)
    rest = mark(page, "here")
    page.mouse.click(*at(page, 0.2, 0.2))
    pinned = mark(page, "here"), mark(page, "there")
    page.mouse.move(*at(page, 0.8, 0.5))
    page.wait_for_timeout(150)
    assert (mark(page, "here"), mark(page, "there")) == pinned
    assert page.locator("#here .hair.pinned").count() == 1
    page.keyboard.press("Escape")
    assert mark(page, "here") == rest


def test_arrow_keys_move_by_a_cell(page, client, wide):
    open_inspection(page, wide)
    matches = client.get(f"/api/inspections/{wide['id']}/matches").json()
    page.mouse.click(*at(page, 0.5, 0.5))
    y, x = mark(page, "here")
    for key, rows, columns in [("ArrowDown", 1, 0), ("ArrowLeft", 0, -1), ("ArrowUp", -1, 0), ("ArrowRight", 0, 1)]:
        page.keyboard.press(key)
        y, x = y + rows / matches["h"], x + columns / matches["w"]
        assert mark(page, "here") == pytest.approx((y, x))
    for _ in range(100):
        page.keyboard.press("ArrowLeft")
    assert mark(page, "here")[1] == pytest.approx(0.5 / matches["w"])  # at the edge
    page.wait_for_function("() => document.querySelector('#announcement').textContent.startsWith('Row ')")


def test_a_finger_is_a_pointer(browse, service, client, wide):
    with browse(service.url, viewport={"width": 768, "height": 1024}, has_touch=True) as page:
        open_inspection(page, wide)
        touch = page.context.new_cdp_session(page)

        def finger(kind, *place):
            points = [dict(zip("xy", at(page, *place), strict=True))] if place else []
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        finger("touchStart", 0.2, 0.2)
        finger("touchMove", 0.5, 0.5)
        _, y, x, _ = expected(client, wide, 0.5, 0.5)
        wait_for_mark(page, "there", (y, x))
        finger("touchMove", 0.8, 0.7)
        finger("touchEnd")
        _, y, x, _ = expected(client, wide, 0.8, 0.7)
        wait_for_mark(page, "there", (y, x))
        assert page.locator("#here .hair.pinned").count() == 1
        assert page.evaluate("scrollY") == 0


def test_one_neighbour_alone(page, client, wide):
    open_inspection(page, wide)
    third = page.locator("#strip button").nth(2)
    image = int(third.get_attribute("data-id"))
    third.click()
    page.get_by_text("Compared only with").wait_for()
    for fy, fx in [(0.2, 0.2), (0.7, 0.8)]:
        page.mouse.move(*at(page, fy, fx))
        found, y, x, _ = expected(client, wide, fy, fx, against=image)
        assert found == image
        wait_for_mark(page, "there", (y, x))
    page.keyboard.press("0")
    page.get_by_text("Matched with").wait_for()
    page.keyboard.press("3")
    page.get_by_text("Compared only with").wait_for()
    assert third.get_attribute("aria-pressed") == "true"


def test_heat_fades(page, wide):
    open_inspection(page, wide)
    page.locator("#opacity").fill("40")
    assert page.locator(".heat").evaluate("image => getComputedStyle(image).opacity") == "0.4"
    page.keyboard.press("Tab")
    page.keyboard.press("h")
    assert page.locator(".heat").evaluate("image => getComputedStyle(image).opacity") == "0"


def test_heat_stays_as_it_was_set_and_h_goes_back_to_it(page, client, wide):
    def heat():
        return page.locator(".heat").evaluate("image => image.style.opacity"), page.locator("#opacity").input_value()

    other = inspect_image(client, good(50))
    open_inspection(page, wide)
    page.locator("#opacity").fill("40")
    open_inspection(page, other)
    assert heat() == ("0.4", "40")
    page.keyboard.press("h")
    assert heat() == ("0", "0")
    open_inspection(page, wide)
    assert heat() == ("0", "0")
    page.keyboard.press("h")
    assert heat() == ("0.4", "40")


def test_keys_live_on_after_the_slider_and_arrows_are_its_own(page, client, wide):
    open_inspection(page, wide)
    page.locator("#opacity").fill("40")
    page.locator("#opacity").focus()
    before = mark(page, "here")
    page.keyboard.press("ArrowRight")
    assert page.locator("#opacity").input_value() == "41"
    assert mark(page, "here") == before
    page.keyboard.press("d")
    page.locator("#decided").get_by_text("Defect").wait_for()


def test_a_normal_image_has_heat_only_when_asked_for(page, client):
    open_inspection(page, inspect_image(client, good(91)))
    assert page.locator("#verdict").inner_text() == "Normal"
    assert page.locator(".heat").get_attribute("src").endswith("heat.png")
    with page.expect_response("**/heat.png?always=1"):
        page.get_by_label("show heat, although the verdict is normal").check()


def test_no_such_inspection(browse, service):
    with browse(service.url, expected=["404"]) as page:
        assert page.goto("/inspections/12345").status == 404
        assert "No inspection 12345." in page.locator("main").inner_text()
        page.get_by_role("link", name="Back to the queue").click()
        page.get_by_role("heading", name="Queue").wait_for()


def test_a_picture_that_is_no_longer_kept(browse, bank, tmp_path):
    with run_service(bank, tmp_path / "data") as service, browse(service.url, expected=["404"]) as page:
        with service.client() as client:
            wide = inspect_wide(client)
        next((tmp_path / "data" / "pictures").rglob(f"{wide['sha256']}*")).unlink()
        page.goto(f"/inspections/{wide['id']}")
        page.get_by_text("The picture is no longer stored.").wait_for()
        page.wait_for_function(READY)  # what it was matched with is still known


def test_an_image_of_a_bank_that_is_not_served_now_is_shown_without_heat(browse, bank, tmp_path):
    other = shutil.copytree(bank, tmp_path / "tiles.bank")
    with run_service(bank, tmp_path / "data", others=[other]) as service, service.client() as client:
        record = send(client, defect(52), bank="tiles").json()["results"][0]
        with_heat = client.get(f"/api/inspections/{record['id']}/thumbnail.jpg")
    with run_service(bank, tmp_path / "data") as service, browse(service.url, expected=["404"]) as page:
        page.goto(f"/inspections/{record['id']}")
        page.get_by_text("The comparison cannot be shown: bank tiles is not served now").wait_for()
        page.wait_for_function("() => document.querySelector('#here .layers img')?.naturalWidth === 64")
        assert page.locator("#here .layers img").count() == 1
        assert page.locator(".hair").evaluate_all("all => all.every((one) => !one.checkVisibility())")
        for part in ("#there", ".legend", ".closer", "#strip"):
            assert page.locator(part).is_hidden()
        page.goto("/")
        page.wait_for_function("() => document.querySelector('.thumb img')?.naturalWidth > 0")
        with service.client() as client:
            headers = {"If-None-Match": with_heat.headers["etag"]}
            assert client.get(f"/api/inspections/{record['id']}/thumbnail.jpg", headers=headers).status_code == 200


def test_regions_are_listed_and_drawn_and_one_that_is_pressed_shows_its_match(page, client, wide):
    open_inspection(page, wide)
    regions = wide["regions"]
    assert regions
    buttons = page.locator("#regions button")
    assert buttons.count() == len(regions) == page.locator(".regions-layer polygon.line").count()
    for number, region in enumerate(regions):
        top, left, bottom, right = region["box"]
        (y, x), text = region["peak"], buttons.nth(number).inner_text()
        assert f"{right - left} \u00d7 {bottom - top} px at {y}, {x}" in text
        assert "1 in " in text
        buttons.nth(number).click()
        image, match_y, match_x, _ = expected(client, wide, (y + 0.5) / 48, (x + 0.5) / 96)
        wait_for_mark(page, "there", (match_y, match_x))
        assert page.locator("#strip .matched").get_attribute("data-id") == str(image)
        outline = page.locator(".regions-layer polygon.line").nth(number).get_attribute("points")
        assert outline == " ".join(f"{x},{y}" for y, x in region["outline"])
    assert page.locator("#unpin").is_visible()


def test_an_image_without_regions_has_no_list_of_them(page, client):
    open_inspection(page, inspect_image(client, good(50)))
    assert not page.locator("#regions-part").is_visible()


def test_score_and_threshold_are_in_the_heading(page, wide):
    open_inspection(page, wide)
    score, threshold = (f"{wide[name]:.4g}" for name in ("image_score", "threshold"))
    assert f"Score {score}, threshold {threshold}" in page.locator("#facts").inner_text()


def test_the_strip_begins_with_the_image_of_most_matches(page, client, wide):
    open_inspection(page, wide)
    matches = client.get(f"/api/inspections/{wide['id']}/matches").json()
    counts = {normal["id"]: matches["image"].count(i) for i, normal in enumerate(matches["neighbours"])}
    ids = page.locator("#strip button").evaluate_all("buttons => buttons.map((button) => Number(button.dataset.id))")
    assert ids == sorted(counts, key=lambda id: -counts[id])  # sorted is stable, as the page's order is


def test_the_strip_shows_where_there_is_more_and_buttons_move_it(browse, service, wide):
    with browse(service.url, viewport={"width": 600, "height": 900}, reduced_motion="reduce") as page:
        open_inspection(page, wide)
        strip = page.locator("#strip")
        further = page.get_by_role("button", name="Further normal images")
        assert strip.evaluate("strip => [...strip.classList]") == ["strip", "sideways", "more-after"]
        assert page.get_by_role("button", name="Earlier normal images").is_disabled()
        for _ in range(20):
            if further.is_disabled():
                break
            further.click()
            page.wait_for_timeout(100)
        last = page.locator("#strip button").last.bounding_box()
        box = strip.bounding_box()
        assert last["x"] + last["width"] <= box["x"] + box["width"]
        assert "more-before" in strip.get_attribute("class")
        assert page.locator("#regions button").count() == 1
        assert page.get_by_role("button", name="Further regions").is_hidden()
