import pytest

from tests.service.api.live_service import defect, good, inspect_image

READY = "() => document.querySelectorAll('#strip button').length"


def open_inspection(page, record):
    page.goto(f"/inspections/{record['id']}")
    page.wait_for_function(READY)


def decision(client, id):
    return client.get(f"/api/inspections/{id}").json()["decision"]


def bank(client):
    found = client.get("/api/banks/parts").json()
    return found["images"], found["content"]


def propose_adding(page):
    page.get_by_role("button", name="False alarm").click()
    page.get_by_role("button", name="Add to normal images").click()
    page.locator("#proposal-confirm").wait_for()


@pytest.mark.parametrize(("key", "kind"), [("d", "defect"), ("f", "false_alarm"), ("u", "unsure")])
def test_one_key_each(page, client, records, key, kind):
    open_inspection(page, records[2])
    page.keyboard.press(key)
    page.locator("#decided").wait_for()
    made = decision(client, 3)
    assert (made["kind"], made["who"], made["note"]) == (kind, "local", "")
    assert page.locator(f'[data-kind="{kind}"]').get_attribute("aria-pressed") == "true"
    page.keyboard.press("z")
    page.locator("#decided").wait_for(state="hidden")
    assert decision(client, 3) is None


def test_a_note_goes_along_and_can_be_changed(page, client, records):
    open_inspection(page, records[2])
    page.keyboard.press("n")
    page.keyboard.type("dull fudge")  # d, u and f are letters here
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    page.locator("#decided").wait_for()
    assert decision(client, 3)["note"] == "dull fudge"
    page.get_by_label("Note").fill("a scratch")
    page.get_by_role("button", name="Save the note").click()
    page.get_by_role("button", name="Save the note").wait_for(state="hidden")
    assert (decision(client, 3)["kind"], decision(client, 3)["note"]) == ("defect", "a scratch")
    page.keyboard.press("z")
    page.locator("#decided").wait_for()
    page.wait_for_function("() => !document.querySelector('#decide[aria-busy]')")
    assert decision(client, 3)["note"] == "dull fudge"  # what was said before counts again


def test_by_keyboard_alone_from_the_queue_and_back(page, client, records):
    page.goto("/?verdict=anomalous")
    page.wait_for_function("() => document.querySelectorAll('.tile').length === 2")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/inspections/5")
    page.wait_for_function(READY)
    page.keyboard.press("d")  # and on to the next one
    page.wait_for_url("**/inspections/3")
    page.wait_for_function(READY)
    assert page.locator("#position").inner_text() == "2 of 2"
    page.keyboard.press("u")
    page.locator("#decided").wait_for()
    page.keyboard.press("k")
    page.wait_for_url("**/inspections/5")
    page.wait_for_function(READY)
    page.keyboard.press("q")
    page.wait_for_url("**/?verdict=anomalous")
    page.wait_for_function("() => document.activeElement.dataset.id === '5'")
    assert [decision(client, id)["kind"] for id in (5, 3)] == ["defect", "unsure"]


def test_every_control_is_reached_by_tab(page, records):
    open_inspection(page, records[2])
    page.keyboard.press("f")
    page.get_by_role("button", name="Add to normal images").wait_for()
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('main :is(a[href], button, input, textarea, summary, #here)')]
                 .filter(element => element.checkVisibility() && !element.disabled).length"""
    )
    page.evaluate("() => document.activeElement.blur()")
    reached = set()
    for _ in range(wanted + 20):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => { const here = document.activeElement;
                           const seen = here.closest('main') && getComputedStyle(here).outlineStyle !== 'none';
                           return seen ? [...document.querySelectorAll('*')].indexOf(here) : -1; }"""
            )
        )
    assert len(reached - {-1}) >= wanted


def test_the_list_of_keys(page, records):
    open_inspection(page, records[2])
    page.keyboard.press("?")
    assert "false alarm" in page.locator("#help").inner_text()
    page.keyboard.press("d")  # not while the list is open
    page.keyboard.press("Escape")
    page.locator("#help").wait_for(state="hidden")
    assert page.locator("#decided").is_hidden()


def test_a_decision_of_another_person_shows(page, client, records):
    open_inspection(page, records[2])
    page.locator(".live.on").wait_for()
    client.post("/api/inspections/3/decisions", json={"kind": "defect", "note": "seen"}).raise_for_status()
    page.locator("#decided").get_by_text("Defect").wait_for()


def test_the_note_of_another_person_is_taken_over_unless_one_is_being_written(page, client, records):
    open_inspection(page, records[2])
    page.locator(".live.on").wait_for()
    client.post("/api/inspections/3/decisions", json={"kind": "defect", "note": "a scratch"}).raise_for_status()
    page.wait_for_function("() => document.querySelector('#note').value === 'a scratch'")
    assert page.get_by_role("button", name="Save the note").count() == 0
    page.get_by_label("Note").fill("a scratch, and dust")
    client.post("/api/inspections/3/decisions", json={"kind": "unsure", "note": "dust?"}).raise_for_status()
    page.locator("#decided").get_by_text("Not sure").wait_for()
    assert page.get_by_label("Note").input_value() == "a scratch, and dust"
    page.get_by_role("button", name="Save the note").wait_for()


def test_a_false_alarm_becomes_a_normal_image_and_is_taken_out_again(page, client, records):
    before = bank(client)
    open_inspection(page, records[2])
    propose_adding(page)
    assert bank(client) == before  # nothing is edited before it is confirmed
    told = page.locator("#proposal-body").inner_text()
    page.locator("#proposal-confirm").click()
    page.locator("#offer").get_by_text("Added to the normal images").wait_for()
    assert bank(client)[0] == before[0] + 1
    after = inspect_image(client, defect(52))
    changed = 1 + sum(
        inspect_image(client, content)["verdict"] != record["verdict"]
        for content, record in zip(
            (good(50), good(51), good(53), defect(54)), (records[i] for i in (0, 1, 3, 4)), strict=True
        )
    )
    assert after["verdict"] == "normal"
    assert f"Of the latest 5 images, {changed} would change" in told
    page.reload()  # it is known of the record, not of the page
    page.get_by_role("button", name="Remove it from the normal images").click()
    page.get_by_role("button", name="Add to normal images").wait_for()
    assert bank(client) == before


def test_a_proposal_says_which_confirmed_defects_would_be_missed(page, client, records):
    client.post("/api/inspections/5/decisions", json={"kind": "defect"}).raise_for_status()
    open_inspection(page, inspect_image(client, defect(52)))  # newer, so it would be the first of the list
    propose_adding(page)
    assert page.locator("#proposal .warning").inner_text() == "1 confirmed defect would be missed."
    rows = page.locator("#proposal tbody tr").all_inner_texts()
    assert len(rows) == 3
    assert ["defect" in row for row in rows] == [True, False, False]
    assert sum("false alarm" in row for row in rows) == 1
    page.get_by_role("button", name="Cancel").click()
    client.post("/api/inspections/5/decisions", json={"kind": "unsure"}).raise_for_status()
    page.get_by_role("button", name="Add to normal images").click()
    page.locator("#proposal-confirm").wait_for()
    assert page.locator("#proposal .warning").count() == 0


def test_an_edit_takes_a_note_along(page, client, records):
    open_inspection(page, records[2])
    propose_adding(page)
    page.get_by_label("Reason").fill("a mark of the fixture: f, d")
    page.locator("#proposal-confirm").click()
    page.locator("#offer").get_by_text("Added to the normal images").wait_for()
    assert client.get("/api/banks/parts/edits").json()["edits"][0]["note"] == "a mark of the fixture: f, d"
    page.goto("/banks/parts")
    page.locator("#changes").get_by_text("a mark of the fixture").wait_for()


@pytest.mark.parametrize("way", ["Cancel", "Escape"])
def test_a_proposal_that_is_not_confirmed_changes_nothing(page, client, records, way):
    before = bank(client)
    open_inspection(page, records[2])
    propose_adding(page)
    if way == "Cancel":
        page.get_by_role("button", name="Cancel").click()
    else:
        page.keyboard.press("Escape")
    page.locator("#proposal").wait_for(state="hidden")
    assert bank(client) == before
    assert decision(client, 3)["kind"] == "false_alarm"


def test_a_proposal_that_came_too_late_says_so(browse, service, client, records):
    with browse(service.url, expected=["409"]) as page:
        open_inspection(page, records[2])
        propose_adding(page)
        other = client.post("/api/banks/parts/proposals", json={"remove": [1]}).json()
        client.post(f"/api/proposals/{other['id']}/confirm").raise_for_status()
        page.locator("#proposal-confirm").click()
        page.locator("#proposal-error:not([hidden])").wait_for()
        assert page.locator("#proposal-confirm").is_hidden()


def test_of_a_normal_image_other_words_are_used(page, records):
    open_inspection(page, records[0])
    assert "it was missed" in page.get_by_role("button", name="Defect").inner_text()
    assert "nothing is wrong" in page.get_by_role("button", name="Good part").inner_text()


def test_what_was_done_is_in_the_history(page, records):
    open_inspection(page, records[2])
    page.get_by_label("Note").fill("dust")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    page.locator("#decided").wait_for()
    page.keyboard.press("z")
    page.locator("#decided").wait_for(state="hidden")
    page.goto("/audit")
    page.wait_for_function("() => document.querySelectorAll('#rows tr').length === 2")
    undone, made = page.locator("#rows tr").all_inner_texts()
    assert "undid the decision: false alarm" in undone
    assert "decided: false alarm" in made
    assert "dust" in made


def open_from_queue(page, address, id):
    page.goto(address)
    page.locator(f'.tile[data-id="{id}"]').click()
    page.wait_for_url(f"**/inspections/{id}")
    page.wait_for_function(READY)


def test_a_decision_goes_on_to_the_next_undecided_image_and_says_what_it_was(page, client, records):
    client.post("/api/inspections/4/decisions", json={"kind": "unsure"}).raise_for_status()
    open_from_queue(page, "/", 5)
    page.keyboard.press("d")
    page.wait_for_url("**/inspections/3")  # 4 has a decision
    page.locator("#before").get_by_text("0.png: defect.").wait_for()
    page.wait_for_function(READY)
    page.get_by_role("button", name="False alarm").click()
    page.wait_for_url("**/inspections/2")
    page.wait_for_function(READY)
    assert "0.png: false alarm." in page.locator("#before").inner_text()
    page.get_by_role("link", name="Back to it").click()
    page.wait_for_url("**/inspections/3")
    page.get_by_role("button", name="Add to normal images").wait_for()
    assert [decision(client, id)["kind"] for id in (5, 3)] == ["defect", "false_alarm"]


def test_after_the_last_image_the_undecided_ones_before_it_follow_until_none_is_left(page, client, records):
    open_from_queue(page, "/?verdict=anomalous", 3)
    page.keyboard.press("d")
    page.wait_for_url("**/inspections/5")
    page.wait_for_function(READY)
    page.keyboard.press("u")
    page.get_by_text("No undecided image is left in this queue.").wait_for()
    assert [decision(client, id)["kind"] for id in (5, 3)] == ["unsure", "defect"]


def test_whether_to_go_on_is_a_setting_that_the_browser_keeps(page, client, records):
    open_from_queue(page, "/", 5)
    page.get_by_label("go on to the next undecided image").uncheck()
    page.keyboard.press("d")
    page.locator("#decided").wait_for()
    page.reload()
    page.wait_for_function(READY)
    assert page.url.endswith("/inspections/5")
    assert not page.get_by_label("go on to the next undecided image").is_checked()


def test_a_page_that_was_not_opened_from_the_queue_stays(page, client, records):
    open_inspection(page, records[2])
    assert page.get_by_label("go on to the next undecided image").is_hidden()
    page.keyboard.press("d")
    page.locator("#decided").get_by_text("Defect").wait_for()
    assert page.url.endswith("/inspections/3")
