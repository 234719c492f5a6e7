"""Large and long images: never more than the screen shows is sent, and who zooms in sees all pixels."""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.pictures import texture
from tests.service.api.live_service import inspect_image, png
from tests.service.pages.test_inspection import mark, open_inspection
from tests.service.pages.test_zoom import DENSITY, views

# The box of the picture that is seen in the frame, in shares of the picture.
SEEN = """() => {
  const layers = document.querySelector('#here .layers').getBoundingClientRect();
  const frame = document.querySelector('.frame').getBoundingClientRect();
  const across = (x) => (x - layers.left) / layers.width, down = (y) => (y - layers.top) / layers.height;
  return [across(frame.left), down(frame.top), across(frame.right), down(frame.bottom)];
}"""
HIDE_HAIRS = "() => document.querySelectorAll('.hair').forEach((hair) => (hair.style.display = 'none'))"


def fine(height, width):
    """Noise so fine that a picture of a fourth of its pixels does not have it, with a white square."""
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    image = np.array(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1)))
    top, left = height // 2, 3 * width // 4
    image[top : top + height // 8, left : left + height // 8] = 255
    return image


@pytest.fixture(scope="module")
def large_image():
    return fine(1000, 4000)


@pytest.fixture
def large(client, large_image):
    return inspect_image(client, png(large_image))


def listen(page):
    """List the bodies of all pictures that are sent from now on."""
    pictures = []

    def add(response):
        if response.status == 200 and response.headers.get("content-type") == "image/jpeg":
            pictures.append(response.body())

    page.on("response", add)
    return pictures


def zoom_in(page):
    """Zoom to 477 % at once, and wait for the part that is seen then."""
    page.evaluate(
        """() => {
          for (let i = 0; i < 7; i++)
            document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "+", bubbles: true }));
        }"""
    )
    page.wait_for_function(f"() => ({DENSITY})() > 0")
    page.wait_for_load_state("networkidle")


def loss(image, original, box):
    """Mean difference of a picture from a box of the original, given in shares of it, in grey values."""
    height, width = original.shape[:2]
    box = [share * side for share, side in zip(box, (width, height) * 2, strict=True)]
    expected = Image.fromarray(original).resize(image.size, Image.Resampling.BILINEAR, box)
    return np.abs(np.asarray(image.convert("RGB")).astype(int) - np.asarray(expected)).mean()


def loss_of_coarse(width, image, original, box):
    """The same of a picture of the whole, this wide."""
    height = round(width * original.shape[0] / original.shape[1])
    coarse = Image.fromarray(original).resize((width, height), Image.Resampling.BILINEAR)
    box_px = [share * side for share, side in zip(box, (width, height) * 2, strict=True)]
    return loss(coarse.resize(image.size, Image.Resampling.BILINEAR, box_px), original, box)


def test_no_more_is_sent_than_the_screen_shows(page, client, large):
    all_pixels = len(client.get(f"/api/inspections/{large['id']}/picture?full=true").content)
    pictures = listen(page)
    with page.expect_response("**/picture?box=*"):  # of the close-up
        open_inspection(page, large)
    page.wait_for_timeout(1000)
    opened = sum(map(len, pictures))
    zoom_in(page)
    zoomed = sum(map(len, pictures)) - opened
    assert all_pixels > 2_500_000
    assert opened < 350_000
    assert zoomed < 400_000
    sizes = [Image.open(io.BytesIO(picture)).size for picture in pictures]
    assert len(sizes) > 2
    assert all(width <= 1440 and height <= 900 for width, height in sizes)


def test_who_zooms_in_sees_all_pixels(page, large, large_image):
    open_inspection(page, large)
    page.keyboard.press("h")
    zoom_in(page)
    page.evaluate(HIDE_HAIRS)
    frame = page.locator(".frame").first.bounding_box()
    inner = {"x": frame["x"] + 8, "y": frame["y"] + 8, "width": frame["width"] - 16, "height": frame["height"] - 16}
    left, top, right, bottom = page.evaluate(SEEN)
    assert right - left < 0.3
    x, y = 8 * (right - left) / frame["width"], 8 * (bottom - top) / frame["height"]
    box = left + x, top + y, right - x, bottom - y
    seen = Image.open(io.BytesIO(page.screenshot(clip=inner)))
    assert loss(seen, large_image, box) < 0.5 * loss_of_coarse(1024, seen, large_image, box)


def test_the_close_up_has_all_pixels_without_zoom(browse, service, large, large_image):
    with browse(service.url, device_scale_factor=2) as page:
        with page.expect_response("**/picture?box=*"):
            open_inspection(page, large)
        page.wait_for_timeout(500)
        fy, fx = mark(page, "here")
        data = page.locator("#crop-here").evaluate("canvas => canvas.toDataURL().split(',')[1]")
        seen = Image.open(io.BytesIO(base64.b64decode(data)))
    corner = seen.crop((0, 0, seen.width // 3, seen.height // 3))  # without the ring
    side = 2000 / 6  # a sixth of the geometric mean of the image's sides
    left, top = fx - side / 2 / 4000, fy - side / 2 / 1000
    box = left, top, left + side / 4000 * corner.width / seen.width, top + side / 1000 * corner.height / seen.height
    assert loss(corner, large_image, box) < 0.7 * loss_of_coarse(2048, corner, large_image, box)


def test_wide_pictures_lie_one_above_the_other(page, large):
    open_inspection(page, large)
    first, second = (page.locator(".frame").nth(n).bounding_box() for n in (0, 1))
    assert first["x"] == second["x"]
    assert first["y"] + first["height"] < second["y"]
    assert first["width"] > 0.6 * 1440


def strip(height, width, start):
    """A texture with a white part, which begins at this share of its longer side."""
    image = texture(52, height, width).copy()
    rows, columns = (
        slice(round(start * side), round((start + 0.2) * side)) if side > 128 else slice(32, 96)
        for side in (height, width)
    )
    image[rows, columns] = 255
    return png(image)


@pytest.mark.parametrize("shape", [(128, 2048), (2048, 128)])
def test_a_long_strip_begins_at_its_worst_region(page, client, shape):
    record = inspect_image(client, strip(*shape, 0.6))
    open_inspection(page, record)
    _, x, y = views(page)[0]
    peak = [(place + 0.5) / side for place, side in zip(record["regions"][0]["peak"], shape, strict=True)]
    along = shape.index(2048)
    assert (y, x)[along] == pytest.approx(peak[along], abs=0.02)
    assert page.locator("#zoom-reset").is_enabled()
    page.keyboard.press("w")
    assert page.locator("#zoom-reset").is_disabled()


def test_each_strip_begins_at_its_own_worst_region_until_somebody_moves_it(page, client):
    first, second = (inspect_image(client, strip(128, 2048, start)) for start in (0.2, 0.6))
    page.goto("/")
    centres = []
    for record in (first, second):
        open_inspection(page, record)
        centres.append(views(page)[0][1])
    assert centres[1] - centres[0] > 0.2
    page.keyboard.press("w")
    open_inspection(page, first)
    assert page.locator("#zoom-reset").is_disabled()
