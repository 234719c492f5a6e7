import pytest

from tests.service.api.live_service import defect, inspect_image


@pytest.fixture
def visitor(browse, guarded_service):
    with browse(guarded_service.url, expected=["401", "403"]) as page:
        yield page


def sign_in(page, token):
    page.goto("/login")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_who_is_not_signed_in_is_asked_to(visitor, guarded_service):
    visitor.goto("/inspections/1")
    assert visitor.url.endswith("/login")
    sign_in(visitor, "wrong")
    visitor.get_by_text("this token is not valid").wait_for()
    sign_in(visitor, guarded_service.tokens["ann"])
    visitor.get_by_text("No image has been inspected yet").wait_for()
    assert visitor.locator(".who").inner_text() == "ann"
    visitor.get_by_role("button", name="Sign out").click()
    visitor.wait_for_url("**/login")
    visitor.goto("/")
    assert visitor.url.endswith("/login")


def test_an_operator_is_offered_what_an_operator_may_do(visitor, guarded_service):
    sign_in(visitor, guarded_service.tokens["ann"])
    visitor.locator(".who").wait_for()
    assert visitor.get_by_role("link", name="History").count() == 0
    assert visitor.goto("/audit").status == 403
    visitor.get_by_text("The history is for admins to see.").wait_for()
    visitor.goto("/banks/parts")
    visitor.locator(".sheet-tile").first.wait_for()
    assert visitor.locator(".sheet-tile input").count() == 0
    visitor.locator("#rate:enabled").focus()
    visitor.keyboard.press("End")
    assert visitor.get_by_role("button", name="See what would change").count() == 0


def test_an_admin_is_offered_more(visitor, guarded_service):
    sign_in(visitor, guarded_service.tokens["eve"])
    visitor.locator(".who").wait_for()
    visitor.get_by_role("link", name="History").click()
    visitor.get_by_text("signed in").wait_for()
    visitor.goto("/banks/parts")
    visitor.locator(".sheet-tile input").first.wait_for()


def test_a_decision_bears_the_name_of_who_made_it(visitor, guarded_service):
    with guarded_service.client("bob") as client:
        record = inspect_image(client, defect(1))
        sign_in(visitor, guarded_service.tokens["ann"])
        visitor.locator(".who").wait_for()
        visitor.goto(f"/inspections/{record['id']}")
        visitor.locator("#strip button").first.wait_for()
        visitor.keyboard.press("d")
        visitor.locator("#decided").get_by_text("ann").wait_for()
        assert client.get(f"/api/inspections/{record['id']}").json()["decision"]["who"] == "ann"


def test_a_session_that_ended_leads_to_the_door(visitor, guarded_service):
    with guarded_service.client("ann") as client:
        inspect_image(client, defect(1))
    sign_in(visitor, guarded_service.tokens["ann"])
    visitor.locator(".tile").wait_for()
    visitor.context.clear_cookies()
    visitor.get_by_text("Worst first").click()
    visitor.wait_for_url("**/login")


def test_without_tokens_there_is_no_door(page):
    page.goto("/login")
    page.get_by_role("heading", name="Queue").wait_for()
