"""The page of receivers."""

import base64
import contextlib

import pytest

from anomalign.images.camera_address import CameraAddress
from anomalign.service.configuration import CameraSource
from anomalign.service.delivery.options import DeliveryOptions
from tests.service.api.live_service import good, run_service, send
from tests.service.delivery.http_receiver import HttpReceiver
from tests.service.pages.test_looks import CONTRASTS


@pytest.fixture
def delivering(bank, tmp_path, monkeypatch):
    """A service with a folder that works, a webhook that fails, and messages of a receiver that was taken out."""
    monkeypatch.setenv("ANOMALIGN_WEBHOOK_SECRET", base64.b64encode(bytes(32)).decode())
    with contextlib.ExitStack() as stack:
        receiver = HttpReceiver(lambda: 503)
        stack.callback(receiver.close)
        old = DeliveryOptions(webhooks=(f"{receiver.url}/old",))
        with run_service(bank, tmp_path / "data", delivery=old) as service, service.client() as client:
            send(client, good(100))
        options = DeliveryOptions(webhooks=(receiver.url,), folders=(str(tmp_path / "out"),))
        camera = CameraSource(name="top", address=CameraAddress.parse("rtsp://127.0.0.1:9/", {}), bank="parts")
        service = stack.enter_context(run_service(bank, tmp_path / "data", delivery=options, cameras=(camera,)))
        with service.client() as client:
            send(client, good(101), good(102))
        yield service, receiver


def test_what_waits_is_seen_and_when_it_has_arrived(browse, delivering):
    service, receiver = delivering
    with browse(service.url, viewport={"width": 820, "height": 700}) as page:
        page.goto("/")
        page.get_by_role("link", name="Delivery").click()
        rows = page.locator("#rows tr")
        rows.filter(has_text="fails").wait_for()
        texts = [row.inner_text() for row in rows.all()]
        assert [text.split()[0] for text in texts] == ["webhook", "folder", "webhook"]
        assert f"{receiver.url}: answers 503 Service Unavailable" in texts[0]
        assert "next try" in texts[0]
        assert "delivers" in texts[1]
        assert "not configured" in texts[2]
        assert [row.locator(".count").first.inner_text() for row in rows.all()] == ["2", "0", "1"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 820
        page.get_by_role("button", name="Shortcuts").wait_for()
        nav = page.locator(".top nav")  # with all links that there can be
        assert nav.evaluate("nav => nav.scrollWidth - nav.clientWidth") <= 0
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert [pair for pair in page.evaluate(CONTRASTS) if pair[0] < 4.5] == []
        receiver.behaviour = lambda: 200
        rows.filter(has_text="fails").wait_for(state="detached")
        assert rows.first.locator(".count").first.inner_text() == "0"


def test_no_link_without_receivers(page):
    page.goto("/")
    assert page.get_by_role("link", name="Delivery").count() == 0
