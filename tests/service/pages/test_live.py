"""Pages hear what happens; one that nobody sees keeps no connection, as a browser opens six to a host and no more."""

from tests.service.api.live_service import good, inspect_image

# Headless, every page counts as seen; here a page is hidden when the test says so, as behind another tab.
HIDING = """
  let hidden = false;
  Object.defineProperty(document, "hidden", { get: () => hidden });
  window.hide = (is) => { hidden = is; document.dispatchEvent(new Event("visibilitychange")); };
"""


def opened(context, address):
    page = context.new_page()
    page.goto(address)
    page.locator(".live.on").wait_for()
    return page


def test_eight_tabs_at_once(page, service, client, records):
    page.context.add_init_script(HIDING)
    tabs = []
    for address in ("/", "/inspections/3", "/banks/parts", "/banks/parts/drift", *["/"] * 4):
        tabs.append(opened(page.context, address))
        tabs[-1].evaluate("hide(true)")
    queue, inspection, bank, drift, *_ = tabs
    new = inspect_image(client, good(60))
    client.post("/api/inspections/3/decisions", json={"kind": "defect"}).raise_for_status()
    proposal = client.post("/api/banks/parts/proposals", json={"add": new["id"]}).json()
    client.post(f"/api/proposals/{proposal['id']}/confirm").raise_for_status()
    assert bank.get_by_role("heading", name="30 normal images").count() == 1
    for tab in tabs[:4]:
        tab.evaluate("hide(false)")
    queue.locator(f'.tile[data-id="{new["id"]}"]').wait_for()
    queue.locator('.tile[data-id="3"] .badge').get_by_text("defect").wait_for()
    inspection.locator("#decided").get_by_text("Defect").wait_for()
    bank.get_by_role("heading", name="31 normal images").wait_for()
    drift.locator(".live.on").wait_for()
    client.post("/api/inspections/3/decisions", json={"kind": "unsure"}).raise_for_status()
    inspection.locator("#decided").get_by_text("Not sure").wait_for()  # it listens again


def test_a_page_that_was_opened_behind_another_begins_when_it_is_seen(page, client, records):
    page.context.add_init_script(HIDING + "hidden = true;")
    page.goto("/inspections/3")
    page.wait_for_function("() => document.querySelectorAll('#strip button').length")
    client.post("/api/inspections/3/decisions", json={"kind": "defect"}).raise_for_status()
    assert page.locator("#decided").is_hidden()
    page.evaluate("hide(false)")
    page.locator("#decided").get_by_text("Defect").wait_for()


def test_coming_back_leaves_the_normal_images_where_they_are(page, records):
    page.context.add_init_script(HIDING)
    bank = opened(page.context, "/banks/parts")
    bank.locator(".sheet-tile").first.wait_for()
    bank.evaluate("document.querySelector('.sheet-tile').id = 'same'")
    asked = []
    bank.on("response", lambda response: asked.append(response.url))
    bank.evaluate("hide(true)")
    bank.evaluate("hide(false)")
    bank.wait_for_timeout(1000)
    assert any(url.endswith("/api/banks/parts") for url in asked)
    assert bank.locator("#same").count() == 1
