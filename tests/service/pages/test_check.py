"""The card on the page of a bank that says what the bank would find."""

import pytest

from anomalign import Detector
from anomalign.errors import BankError
from anomalign.service.banks.checks import Checks
from tests.service.pages.test_looks import CONTRASTS, TARGETS, UNNAMED
from tests.service.samples import png, until


@pytest.fixture(autouse=True)
def few_images(service):
    service.container.checks = Checks(images=2)


def open_bank(page):
    page.goto("/banks/parts")
    page.locator("#check *").first.wait_for()


def start(page):
    page.get_by_role("button", name="Check this bank").click()


def test_a_check_from_the_button_to_the_table(page, client, held_checks):
    open_bank(page)
    assert page.locator("#check table").count() == 0
    start(page)
    page.locator("#check").get_by_text("0 of 70 defects are judged").wait_for()
    assert page.evaluate("() => document.activeElement.id") == "check-title"
    assert page.get_by_role("button", name="Check this bank").count() == 0
    held_checks.set()
    page.locator("#check table").wait_for()
    power = client.get("/api/banks/parts/check").json()["power"]
    rows = page.locator("#check tbody tr").all()
    assert [row.locator("th").inner_text() for row in rows] == list(dict.fromkeys(c["name"] for c in power["table"]))
    shares = [row.locator("td").all_inner_texts() for row in rows]
    said = [f"{100 * c['found'] / c['defects']:.0f}\u00a0%" if c["defects"] else "\u2013" for c in power["table"]]
    assert [text.strip() for row in shares for text in row] == said
    assert page.locator("#check thead th").all_inner_texts()[1:] == [
        f"{size * 64:.0f}\u00a0px\n{size:.0%}".replace("%", "\u00a0%") for size in (0.01, 0.02, 0.04, 0.08, 0.16)
    ]
    assert page.locator("#check li").all_inner_texts() == power["findings"]
    quiet = page.locator("#check p.quiet").all_inner_texts()
    assert quiet[:-1] == power["notes"]
    assert quiet[-1].startswith("Time of the check: ")


def test_a_page_that_is_opened_later_shows_the_check_that_runs(page, client, held_checks):
    client.post("/api/banks/parts/check")
    until(lambda: held_checks.reached)
    open_bank(page)
    page.locator("#check progress").wait_for()
    held_checks.set()
    page.locator("#check table").wait_for()
    open_bank(page)
    page.locator("#check table").wait_for()


def test_after_an_edit_the_table_is_gone(page, client):
    open_bank(page)
    start(page)
    page.locator("#check table").wait_for()
    proposal = client.post("/api/banks/parts/proposals", json={"remove": [1]}).json()["id"]
    client.post(f"/api/proposals/{proposal}/confirm").raise_for_status()
    page.get_by_role("button", name="Check this bank").wait_for()
    assert page.locator("#check table").count() == 0


def test_an_edit_that_no_event_tells_of_ends_a_check_that_runs(page, service, held_checks):
    open_bank(page)
    start(page)
    page.locator("#check progress").wait_for()
    service.container.served_banks["parts"].add(png(50), "new.png")
    page.get_by_role("button", name="Check this bank").wait_for()


def test_a_failure_says_why_and_can_be_tried_again(page, monkeypatch):
    def fail(*_, **__):
        raise BankError("the preview of image 3 cannot be read")

    open_bank(page)
    with monkeypatch.context() as patch:
        patch.setattr(Detector, "plan_defects", fail)
        start(page)
        page.get_by_role("alert").get_by_text("the preview of image 3 cannot be read").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.locator("#check table").wait_for()


def test_progress_goes_on_after_the_service_could_not_be_reached(browse, service, held_checks):
    with browse(service.url, expected=["ERR_FAILED"]) as page:
        open_bank(page)
        start(page)
        page.locator("#check progress").wait_for()
        page.route("**/check", lambda route: route.abort())
        with page.expect_event("requestfailed"):
            held_checks.set()
        page.unroute("**/check")
        page.locator("#check table").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_card_can_be_read_touched_and_named(browse, service, held_checks, scheme):
    with browse(service.url, color_scheme=scheme, viewport={"width": 768, "height": 1024}, has_touch=True) as page:
        open_bank(page)
        for shown in ("button", "progress", "table"):
            page.locator(f"#check {shown}").wait_for()
            assert [(ratio, text) for ratio, text in page.evaluate(CONTRASTS) if ratio < 4.5] == []
            assert [(height, text) for height, text in page.evaluate(TARGETS) if height < 40] == []
            assert page.evaluate(UNNAMED) == []
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
            start(page) if shown == "button" else held_checks.set()
