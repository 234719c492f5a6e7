import threading
from base64 import b64encode

import numpy as np
import pytest

from anomalign import Detector
from anomalign.service.pages.assets import VERSION
from tests.service.api.live_service import defect, good, inspect_image, png, send
from tests.service.samples import until


def shown(page):
    """Ids of the cards, in the order in which they stand."""
    page.wait_for_selector("#cards:not([aria-busy])", state="attached")
    return page.locator(".tile").evaluate_all("tiles => tiles.map(tile => Number(tile.dataset.id))")


def wait_for(page, ids):
    page.wait_for_function(
        "ids => JSON.stringify([...document.querySelectorAll('.tile')].map(t => Number(t.dataset.id))) === ids",
        arg=str(list(ids)).replace(" ", ""),
    )


def test_newest_or_worst_first(page, records):
    page.goto("/")
    wait_for(page, [record["id"] for record in reversed(records)])
    page.get_by_text("Worst first").click()
    wait_for(page, [r["id"] for r in sorted(records, key=lambda r: r["image_score"], reverse=True)])


def test_a_card_says_what_was_found(page, records):
    page.goto("/")
    card = page.locator(f'.tile[data-id="{records[2]["id"]}"]')
    page.wait_for_selector(".tile")
    page.wait_for_function("() => [...document.querySelectorAll('.thumb img')].every(image => image.naturalWidth > 0)")
    assert card.locator(".pill").inner_text() == "Anomalous"
    assert "Only 1 in 31 normal images looks this unusual" in card.inner_text()  # of 30 normal images none is


def test_a_verdict_close_to_the_threshold_is_marked_in_the_queue_and_on_its_page(page, client):
    records = [inspect_image(client, good(seed)) for seed in range(100, 130)]
    close = {record["id"] for record in records if record["borderline"]}
    assert 0 < len(close) < len(records)
    page.goto("/")
    wait_for(page, [record["id"] for record in reversed(records)])
    marked = page.locator(".tile", has=page.get_by_text("borderline", exact=True))
    assert set(marked.evaluate_all("tiles => tiles.map(tile => Number(tile.dataset.id))")) == close
    for record in (next(r for r in records if r["id"] in close), next(r for r in records if r["id"] not in close)):
        page.goto(f"/inspections/{record['id']}")
        page.locator("#inspection").wait_for()
        assert page.locator(".heading .badge").all_inner_texts() == ["borderline"] * record["borderline"]
        page.locator("#more-facts summary").click()
        words = ", borderline: close to the threshold" if record["borderline"] else ""
        assert page.locator("#rows tr").first.locator("td").inner_text() == record["verdict"] + words


@pytest.fixture(scope="module")
def decided(kept_client, kept_records):
    for id, kind in ((1, "false_alarm"), (3, "unsure"), (5, "defect")):
        kept_client.post(f"/api/inspections/{id}/decisions", json={"kind": kind}).raise_for_status()
    return kept_records


@pytest.mark.parametrize(
    ("choose", "keeps"),
    [
        (["Anomalous"], lambda r: r["verdict"] == "anomalous"),
        (["Normal"], lambda r: r["verdict"] == "normal"),
        (["Not decided"], lambda r: r["id"] not in (1, 3, 5)),
        (["Decided"], lambda r: r["id"] in (1, 3, 5)),
        (["Not sure"], lambda r: r["id"] == 3),
        (["Defects"], lambda r: r["id"] == 5),
        (["False alarms"], lambda r: r["id"] == 1),
        (["Anomalous", "Not decided"], lambda r: r["verdict"] == "anomalous" and r["id"] not in (3, 5)),
        (["Anomalous", "Not sure"], lambda r: r["id"] == 3),
    ],
)
def test_filters(browse, kept_service, decided, choose, keeps):
    with browse(kept_service.url) as page:
        page.goto("/")
        for text in choose:
            page.locator("#filters").get_by_text(text, exact=True).click()
        expected = [record["id"] for record in reversed(decided) if keeps(record)]
        wait_for(page, expected)
        page.reload()  # filters are in the address
        wait_for(page, expected)
        page.get_by_text("Clear filters").click()
        wait_for(page, [record["id"] for record in reversed(decided)])


def test_filter_by_day_takes_whole_days(page, records):
    today = page.evaluate("new Date().toLocaleDateString('sv')")
    page.goto(f"/?since={today}&until={today}")
    wait_for(page, [record["id"] for record in reversed(records)])
    page.goto("/?since=2001-01-01&until=2001-01-01")
    page.get_by_text("No image matches these filters.").wait_for()


def test_new_images_appear_by_themselves(page, client, records):
    page.goto("/")
    page.locator(".live.on").wait_for()
    page.mouse.move(5, 600)
    new = inspect_image(client, good(60))
    wait_for(page, [new["id"], *(record["id"] for record in reversed(records))])


def test_cards_do_not_move_under_a_pointer(page, client, records):
    page.goto("/")
    page.locator(".live.on").wait_for()
    page.locator(".tile").first.hover()
    before = shown(page)
    new = inspect_image(client, good(60))
    page.get_by_text("Show 1 new image").wait_for()
    assert shown(page) == before
    page.get_by_text("Show 1 new image").click()
    wait_for(page, [new["id"], *before])


def test_a_decision_made_elsewhere_shows(page, client, records):
    page.goto("/")
    page.locator(".live.on").wait_for()
    client.post("/api/inspections/3/decisions", json={"kind": "false_alarm"}).raise_for_status()
    page.locator('.tile[data-id="3"] .badge').get_by_text("false alarm").wait_for()


def test_a_name_is_shown_and_never_run(page, client):
    name = "<img src=x onerror='document.title=1'>&amp;.png"
    client.post("/api/banks/parts/inspections", files=[("files", (name, good(1)))]).raise_for_status()
    page.goto("/")
    page.locator(".tile-name").get_by_text(name).wait_for()
    page.locator(".tile").click()
    page.locator("#strip button").first.wait_for()
    assert page.locator("h1").inner_text() == page.locator("h1").get_attribute("title")
    assert page.locator("h1 img").count() == 0


def test_images_are_inspected_from_the_page(browse, service, records):
    files = {"fine.png": good(70), "torn.png": good(71)[:200], "broken.png": defect(72)}
    with browse(service.url, expected=["422"]) as page:
        page.goto("/")
        page.locator("#upload input").set_input_files(
            [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in files.items()]
        )
        page.get_by_text("2 images inspected, 1 anomalous.").wait_for()
        assert page.locator("#upload-state li").inner_text().count("torn.png") == 1
        page.get_by_role("button", name="Dismiss").click()
        assert page.locator("#upload-state").is_hidden()
        page.locator(".tile-name").get_by_text("fine.png").wait_for()


def test_more_are_shown_when_asked_for(page, client):
    for _ in range(5):
        send(client, *(good(seed) for seed in range(10))).raise_for_status()
    page.goto("/")
    page.wait_for_selector(".tile")
    assert len(shown(page)) == 48
    page.get_by_role("button", name="Show more").click()
    page.wait_for_function("() => document.querySelectorAll('.tile').length === 50")
    whole = client.get("/api/inspections", params={"limit": 200}).json()["records"]
    assert shown(page) == [record["id"] for record in whole]


DROP = """(files) => {
  const transfer = new DataTransfer();
  for (const [name, base64] of files) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: "image/png" }));
  }
  for (const kind of ["dragover", "drop"])
    window.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, cancelable: true }));
}"""

# Files of a dropped folder, as a browser hands them out: at most some at once, then none.
FOLDER = """async ([version, base64]) => {
  const { filesOf } = await import(`/static/${version}/incoming.js`);
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const file = (fullPath) => ({
    isFile: true, fullPath, name: fullPath.split("/").at(-1), file: (found) => found(new File([bytes], "x")),
  });
  const folder = (fullPath, parts) => ({
    fullPath,
    name: fullPath.split("/").at(-1),
    createReader: () => ({ readEntries: (found) => found(parts.shift() ?? []) }),
  });
  const [first, hidden, second] = ["1.png", ".hidden", "2.png"].map((name) => file(`/screw/bent/${name}`));
  const bent = folder("/screw/bent", [[first], [hidden, second]]);
  return (await filesOf(folder("/screw", [[bent]]))).map(({ name }) => name);
}"""


def test_an_empty_queue_says_how_to_begin_and_takes_what_is_dropped(page):
    page.goto("/")
    page.get_by_text("Drop images or folders anywhere on this page.").wait_for()
    assert page.locator("#filters").is_hidden()
    assert page.get_by_placeholder("part of the name").is_hidden()
    with page.expect_file_chooser():
        page.get_by_role("button", name="Choose images").click()
    page.evaluate(DROP, [[f"{seed}.png", b64encode(good(seed)).decode()] for seed in (70, 71)])
    page.get_by_text("2 images inspected").wait_for()
    page.locator("#filters").wait_for()
    assert page.locator(".tile").count() == 2
    assert page.get_by_text("Drop images").is_hidden()


def test_filters_that_match_nothing_stay(page):
    page.goto("/?verdict=anomalous")
    page.get_by_text("No image matches these filters.").wait_for()
    assert page.locator("#filters").is_visible()
    page.goto("/?order=worst")
    page.get_by_text("Drop images").wait_for()


def drop(page, *contents):
    page.goto("/")
    page.get_by_text("Drop images").wait_for()
    page.evaluate(DROP, [[f"{number}.png", b64encode(content).decode()] for number, content in enumerate(contents)])


def noise(seed):
    """A PNG file of 190 kB."""
    return png(np.random.default_rng(seed).integers(0, 256, (250, 250, 3), dtype=np.uint8))


def slow_down(page, bytes_per_s):
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_s}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", limits)


def wait_for_some_bytes(page):
    bar = "document.querySelector('#upload-progress')"
    page.wait_for_function(f"() => {bar}.value > 0")
    return page.evaluate(f"[{bar}.value, {bar}.max]")


def test_progress_is_shown_in_bytes_while_images_are_sent(page):
    contents = noise(1), noise(2)
    slow_down(page, 50_000)
    drop(page, *contents)
    page.get_by_text("Inspecting 1 of 2: 0.png").wait_for()
    assert page.get_by_role("button", name="Dismiss").count() == 0
    value, most = wait_for_some_bytes(page)
    assert most == sum(map(len, contents))
    assert 0 < value < len(contents[0])
    assert page.locator("#upload-bytes").inner_text().endswith(" of 0.4 MB")
    slow_down(page, -1)
    page.get_by_text("2 images inspected").wait_for()
    assert page.get_by_role("button", name="Cancel").count() == 0


def test_cancel_stops_what_is_sent_and_says_how_many_were_inspected(page, client, service):
    slow_down(page, 50_000)
    drop(page, good(70), noise(1), good(71))
    page.get_by_text("Inspecting 2 of 3: 1.png").wait_for()
    wait_for_some_bytes(page)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Stopped: 1 of 3 images inspected, 0 anomalous.").wait_for()
    assert page.evaluate("document.activeElement.id") == "upload-close"
    assert [record["name"] for record in client.get("/api/inspections").json()["records"]] == ["0.png"]
    slow_down(page, -1)
    page.evaluate(DROP, [["2.png", b64encode(good(71)).decode()]])  # a new run counts from the start
    page.get_by_text("1 image inspected, 0 anomalous.").wait_for()


def test_an_image_that_was_sent_whole_is_inspected_and_counted_after_cancel(page, client, monkeypatch):
    gate, inspect_batch = threading.Event(), Detector.inspect_batch
    reached = threading.Event()

    def wait(*args):
        reached.set()
        gate.wait()
        return inspect_batch(*args)

    monkeypatch.setattr(Detector, "inspect_batch", wait)
    drop(page, good(70), good(71))
    until(reached.is_set)
    page.get_by_role("button", name="Cancel").click()
    gate.set()
    page.get_by_text("Stopped: 1 of 2 images inspected").wait_for()
    assert len(client.get("/api/inspections").json()["records"]) == 1


def test_cancel_ends_the_wait_for_a_busy_service(browse, service):
    with browse(service.url, expected=["429"]) as page:
        busy = {"status": 429, "headers": {"Retry-After": "60"}, "json": {"error": "busy"}}
        page.route("**/api/banks/parts/inspections", lambda route: route.fulfill(**busy))
        drop(page, good(70))
        page.get_by_text("The service is busy; 0.png is waiting for its turn.").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Stopped: 0 of 1 image inspected").wait_for()


def test_names_keep_their_folders(page, client):
    page.goto("/")
    assert page.evaluate(FOLDER, [VERSION, b64encode(good(70)).decode()]) == ["screw/bent/1.png", "screw/bent/2.png"]
    files = [("files", ("screw/bent/1.png", good(70)))]
    id = client.post("/api/banks/parts/inspections", files=files).json()["results"][0]["id"]
    page.locator(".tile-name").get_by_text("bent/1.png").wait_for()
    page.goto(f"/inspections/{id}")
    page.locator("h1").get_by_text("bent/1.png").wait_for()
    assert page.locator("h1").get_attribute("title") == "screw/bent/1.png"
