"""The page of cameras: live tiles, what is lost in red, and a bar that leads to inspections."""

import re

import pytest

pytest.importorskip("av", reason="PyAV is not installed")

from tests.pictures import texture
from tests.service.api.live_service import run_service
from tests.service.api.test_cameras import PASSWORD, feeding, source
from tests.service.pages.test_looks import CONTRASTS, COVERED, TARGETS, UNNAMED
from tests.service.samples import until
from tests.stream_servers import jpeg, mjpeg_camera


def white(seed):
    image = texture(seed).copy()
    image[16:48, 16:48] = 255
    return image


@pytest.fixture
def server():
    with mjpeg_camera() as server:
        yield server


@pytest.fixture
def service(bank, tmp_path, server):
    """Camera `top` gives the frames that a test sends, `gone` is lost."""
    cameras = (source("top", server.url), source("gone", f"rtsp://ann:{PASSWORD}@127.0.0.1:9/"))
    with run_service(bank, tmp_path / "data", cameras=cameras) as service:
        with feeding(server):  # FFmpeg looks at the first frames
            until(lambda: status(service)["state"] == "live")
        yield service


def status(service, name="top"):
    with service.client() as client:
        return client.get(f"/api/cameras/{name}").json()


def show(service, server, image):
    """Let the camera show an image, and nothing else."""
    camera = service.container.cameras.by_name["top"]
    server.send_jpeg(jpeg(image))
    until(lambda: camera.newest()[1].jpeg == jpeg(image))


@pytest.fixture
def records(service, server, client):
    """A normal image, a defect and a normal image."""
    found = []
    for image in (texture(1), white(2), texture(3)):
        show(service, server, image)
        found.append(client.post("/api/cameras/top/trigger").raise_for_status().json())
    return found


def tile(page, name="top"):
    return page.locator(f'.camera[data-camera="{name}"]')


def opened(page):
    page.goto("/")
    page.get_by_role("link", name="Cameras").click()
    tile(page).locator(".camera-picture img:not([hidden])").wait_for()
    return tile(page)


def test_a_tile_shows_the_last_verdict_and_the_bar_of_all(page, records):
    top = opened(page)
    assert top.locator(".pill").inner_text() == "Normal"
    bars = top.locator("rect").all()
    assert [bar.get_attribute("class") for bar in bars] == ["normal", "anomalous", "normal"]
    heights = [float(bar.get_attribute("height")) for bar in bars]
    assert heights[1] > 2 * heights[0] == 2 * heights[2]  # not by colour alone
    assert "last 3 images: 1 anomalous" in top.inner_text()
    assert page.get_by_text("2 cameras, 1 lost").count() == 1
    assert PASSWORD not in page.content()


def test_news_come_by_themselves(page, service, server, client, records):
    top = opened(page)
    page.locator(".live.on").wait_for()
    before = top.locator("img").get_attribute("src")
    show(service, server, white(5))
    record = client.post("/api/cameras/top/trigger").raise_for_status().json()
    top.locator(".pill.anomalous").wait_for()
    assert top.locator("rect").count() == 4
    assert top.locator(".camera-picture").get_attribute("href") == f"/inspections/{record['id']}"
    page.wait_for_function("(before) => document.querySelector('[data-camera=top] img').src !== before", arg=before)


def test_inspect_now(page, service, server):
    top = opened(page)
    assert "not inspected yet" in top.inner_text()
    show(service, server, white(5))
    page.get_by_role("button", name="Inspect a frame of top now").click()
    top.locator(".pill.anomalous").wait_for()
    assert page.get_by_role("button", name="Inspect a frame of gone now").is_disabled()


def test_pause_and_resume_by_keyboard(page, service, client):
    top = opened(page)
    page.get_by_role("button", name="Pause top").focus()
    page.keyboard.press("Enter")
    top.get_by_text("live, paused").wait_for()
    assert status(service)["paused"]
    assert page.get_by_role("button", name="Inspect a frame of top now").is_disabled()
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "Resume top"
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Pause top").wait_for()
    assert not status(service)["paused"]
    client.post("/api/cameras/top/pause")  # by another person
    page.get_by_role("button", name="Resume top").wait_for()


def test_a_lost_camera_is_red_with_its_last_picture_and_since_when(page, server, records):
    top = opened(page)
    page.locator(".live.on").wait_for()
    server.close()
    top.locator(".camera-trouble").wait_for()
    assert re.search(r"Lost since \d\d:\d\d:\d\d: .+\. The service goes on trying\.", top.inner_text())
    assert top.locator("img").is_visible()
    colours = "(e) => [getComputedStyle(e).borderTopColor, getComputedStyle(e.querySelector('.camera-state')).color]"
    bad = page.evaluate("() => getComputedStyle(document.documentElement).getPropertyValue('--bad')")
    as_rgb = "rgb({}, {}, {})".format(*(int(bad.strip()[i : i + 2], 16) for i in (1, 3, 5)))
    assert top.evaluate(colours) == [as_rgb, as_rgb]
    assert "no picture yet" in tile(page, "gone").inner_text()


def test_a_bar_and_the_picture_open_their_inspection(page, records):
    top = opened(page)
    bar = top.locator(".verdict-bar")
    box = bar.bounding_box()
    bar.hover(position={"x": box["width"] * 0.985, "y": 20})
    assert top.locator(".verdict-text").inner_text().startswith("Anomalous, score ")
    bar.click(position={"x": box["width"] * 0.985, "y": 20})
    page.wait_for_url(f"**/inspections/{records[1]['id']}")
    page.go_back()
    opened(page).locator(".camera-picture").click()
    page.wait_for_url(f"**/inspections/{records[2]['id']}")
    page.go_back()
    bar = opened(page).locator(".verdict-bar")
    bar.focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url(f"**/inspections/{records[1]['id']}")


def test_it_can_be_read_and_touched(browse, service, records):
    for scheme, width in (("light", 1280), ("light", 820), ("dark", 1280), ("dark", 820)):
        options = {"color_scheme": scheme, "has_touch": True, "reduced_motion": "reduce"}
        with browse(service.url, viewport={"width": width, "height": 800}, **options) as page:
            opened(page)
            assert [(ratio, text) for ratio, text in page.evaluate(CONTRASTS) if ratio < 4.5] == []
            assert [(height, text) for height, text in page.evaluate(TARGETS) if height < 40] == []
            assert page.evaluate(UNNAMED) == []
            assert page.evaluate(COVERED) == []
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
