import shutil

import pytest

from anomalign.service.store import Watched
from tests.service.api.live_service import good, run_service, send


def bank(client):
    found = client.get("/api/banks/parts").json()
    return found["images"], found["content"], found["threshold"]


def open_bank(page):
    page.goto("/banks/parts")
    page.wait_for_function(
        "() => document.querySelectorAll('.sheet-tile').length && document.querySelector('#rate-changes').textContent"
    )


def slide(page, steps):
    page.locator("#rate:enabled").focus()
    for _ in range(abs(steps)):
        page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")


def test_the_contact_sheet_shows_the_least_normal_first(page, client):
    images = client.get("/api/banks/parts/images", params={"order": "suspicious"}).json()["images"]
    open_bank(page)
    shown = page.locator(".sheet-tile input").evaluate_all("boxes => boxes.map(box => Number(box.value))")
    assert shown == [image["id"] for image in images]
    page.get_by_text("Oldest first").click()
    page.wait_for_function("() => document.querySelector('.sheet-tile input')?.value === '1'")


def test_of_two_orders_asked_for_the_latter_is_shown(page, client):
    open_bank(page)
    held = []
    page.route("**/api/banks/parts/images?order=*", lambda route: held.append(route))
    page.get_by_text("Oldest first").click()
    page.get_by_text("Most unusual first").click()
    while len(held) < 2:
        page.wait_for_timeout(20)
    for route in held:
        with page.expect_response(route.request.url):
            route.continue_()
        page.wait_for_timeout(200)
    images = client.get("/api/banks/parts/images", params={"order": "suspicious"}).json()["images"]
    shown = page.locator(".sheet-tile input").evaluate_all("boxes => boxes.map(box => Number(box.value))")
    assert shown == [image["id"] for image in images]


def test_removing_images_and_undoing_it(page, client, records):
    before = bank(client)
    open_bank(page)
    for place in (0, 3):
        page.locator(".sheet-tile").nth(place).click()
    page.get_by_text("2 images selected").wait_for()
    ids = [box.input_value() for box in page.locator(".sheet-tile input:checked").all()]
    chosen = ", ".join(sorted(ids, key=int))
    page.get_by_role("button", name="Remove").click()
    page.locator("#proposal-confirm").click()
    page.get_by_text("2 normal images removed").wait_for()
    page.get_by_role("heading", name="28 normal images").wait_for()
    assert bank(client)[0] == 28
    page.locator("#undo").get_by_role("button", name="Undo").click()
    page.get_by_text("Undone: removed images").wait_for()
    page.get_by_role("heading", name="30 normal images").wait_for()
    assert bank(client) == before
    assert page.locator("#changes .undone").count() == 1
    assert "undone by" in page.locator("#changes .undone").inner_text()
    latest = page.locator("#changes tr").first  # the version that the undoing has made
    assert latest.locator("td").all_inner_texts()[2:4] == ["local", f"undid: removed images {chosen}"]
    page.goto("/audit")
    page.wait_for_function("() => document.querySelectorAll('#rows tr').length === 4")
    said = [row.locator("td").nth(2).inner_text() for row in page.locator("#rows tr").all()]
    assert said == [
        "undid a change: images were removed",
        "started to undo a change: images were removed",
        f"removed images {chosen}",
        f"started to remove images {chosen}",
    ]


def test_the_page_shows_more_than_fifty_edits(page, client, service):
    for number in range(60):
        service.container.store.edits.add("parts", 100 + number, "remove", images=[number], who="eve")
    open_bank(page)
    assert page.locator("#changes").get_by_text("removed image").count() == 60


def test_what_the_service_did_itself_is_told_in_words(page, service):
    store = service.container.store
    store.pass_over(Watched("/camera/notes.txt", 1, 2), "parts", "notes.txt: not an image")
    store.log("eve", "begin edit", "parts", 3, {"kind": "add", "images": [], "target_fpr": None})
    store.log("eve", "begin edit", "parts", None, {"kind": "rate", "images": [], "target_fpr": 0.3})
    page.goto("/audit")
    page.wait_for_function("() => document.querySelectorAll('#rows tr').length === 3")
    said = [row.locator("td").nth(2).inner_text() for row in page.locator("#rows tr").all()]
    assert said == [
        "started to allow 30\u00a0% false alarms",
        "started to add an image",
        "skipped /camera/notes.txt\nnotes.txt: not an image",
    ]


def test_the_slider_counts_what_would_change(page, client, records):
    scores = client.get("/api/banks/parts/scores").json()
    rates = scores["rates"]
    start = min(range(len(rates)), key=lambda i: abs(rates[i]["target_fpr"] - scores["target_fpr"]))
    open_bank(page)
    for steps in (5, 20, 20):
        slide(page, steps)
        start = min(start + steps, len(rates) - 1)
        threshold = rates[start]["threshold"]
        changed = [r for r in scores["recent"] if (r["score"] > threshold) != (r["verdict"] == "anomalous")]
        said = page.locator("#rate-changes").inner_text()
        if threshold == scores["threshold"]:
            assert said.startswith("Current setting.")
        elif changed:
            assert said.startswith(f"{len(changed)} of the latest 5 images would change")
        else:
            assert said.startswith("None of the latest 5 images would change")
        red = page.locator("#histogram .over").count()
        assert (red > 0) == any(r["score"] > threshold for r in scores["recent"])


def test_setting_the_rate(page, client, records):
    before = bank(client)
    open_bank(page)
    slide(page, 30)
    chosen = page.locator("#rate-text").inner_text()
    page.get_by_role("button", name="See what would change").click()
    page.locator("#proposal-confirm").click()
    page.locator("#undo").wait_for()
    page.wait_for_function("() => document.querySelector('#rate-buttons').hidden")
    assert bank(client)[2] < before[2]  # more alarms, a lower threshold
    assert page.locator("#rate-text").inner_text() == chosen
    page.locator("#undo").get_by_role("button", name="Undo").click()
    page.locator("#undo").get_by_text("Undone").wait_for()
    assert bank(client) == before


def test_adding_an_image_from_this_device(page, client):
    from tests.service.api.live_service import good

    open_bank(page)
    page.locator("#add input").set_input_files({"name": "new.png", "mimeType": "image/png", "buffer": good(88)})
    page.get_by_text("Add new.png to the normal images?").wait_for()
    page.locator("#proposal-confirm").click()
    page.get_by_role("heading", name="31 normal images").wait_for()
    assert bank(client)[0] == 31


def test_drift_points_lead_to_their_inspections(page, client, records):
    page.goto("/banks/parts/drift")
    page.locator("#plot").wait_for()
    drift = client.get("/api/banks/parts/drift").json()
    assert page.locator("#verdict strong").inner_text() == drift["summary"]
    assert page.locator("#chart .dot, #chart .beyond").count() == len(records)
    page.locator("#plot").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.locator("#selected-point").get_by_text("Inspection 4").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/inspections/4")


def test_too_few_images_are_not_marked_as_no_drift(page, client):
    for count, colour in ((2, ""), (6, "no")):
        send(client, *(good(seed) for seed in range(50, 50 + count))).raise_for_status()
        test = client.get("/api/banks/parts/drift").json()["test"]
        assert (test["kind"], test["detectable"] > 1) == ("none", count == 2)
        page.goto("/banks/parts/drift")
        page.locator("#plot").wait_for()
        assert page.locator("#verdict").get_attribute("class") == f"card drift-verdict {colour}".strip()


@pytest.mark.parametrize("page_of", ["/banks/nothing", "/banks/nothing/drift"])
def test_no_such_bank(browse, service, page_of):
    with browse(service.url, expected=["404"]) as page:
        assert page.goto(page_of).status == 404
        assert "No bank 'nothing'" in page.locator("main").inner_text()
        page.get_by_role("link", name="Back to the queue").click()
        page.get_by_role("heading", name="Queue").wait_for()


def test_several_banks_have_a_drift_tab_each(browse, bank, tmp_path):
    other = shutil.copytree(bank, tmp_path / "tiles.bank")
    with run_service(bank, tmp_path / "data", others=[other]) as service, browse(service.url) as page:
        page.goto("/")
        tabs = page.get_by_role("navigation", name="Main")
        tabs.get_by_role("link", name="tiles").click()
        page.wait_for_url("**/banks/tiles")
        tabs.get_by_role("link", name="Drift").click()
        page.wait_for_url("**/banks/tiles/drift")
        page.get_by_text("Do inspected images still look like the normal images of tiles?").wait_for()
        page.get_by_role("navigation", name="Drift of a bank").get_by_role("link", name="parts").click()
        page.wait_for_url("**/banks/parts/drift")
        assert tabs.get_by_role("link", name="Drift").get_attribute("aria-current") == "page"
        with service.client() as client:
            ids = [send(client, good(1), bank=name).json()["results"][0]["id"] for name in ("parts", "tiles")]
        for id, name in zip(ids, ("parts", "tiles"), strict=True):  # the drift of the bank that the image belongs to
            page.goto(f"/inspections/{id}")
            assert tabs.get_by_role("link", name="Drift").get_attribute("href") == f"/banks/{name}/drift"
