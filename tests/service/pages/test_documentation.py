"""The page that describes the REST interface, and sends requests."""

import pytest

from tests.service.api.live_service import good


@pytest.fixture
def docs(page):
    page.goto("/docs")
    return page


def open_form(page, method, path):
    form = page.locator(f'form[data-method="{method}"][data-path="{path}"]')
    form.locator("xpath=..").locator("summary").click()
    return form


def answer(form):
    form.locator(".answer").wait_for()
    return form.locator(".answer").inner_text()


def test_a_request_is_sent_and_its_answer_shown(docs, records):
    form = open_form(docs, "GET", "/api/inspections/{id}")
    form.get_by_label("id").fill("3")
    form.get_by_role("button", name="Send GET").click()
    assert '"verdict": "anomalous"' in answer(form)


def test_a_picture_is_shown(docs, records):
    form = open_form(docs, "GET", "/api/inspections/{id}/thumbnail.jpg")
    form.get_by_label("id").fill("3")
    form.get_by_role("button", name="Send GET").click()
    form.locator("img").wait_for()
    docs.wait_for_function("() => document.querySelector('.answer img').naturalWidth === 64")


def test_a_body_begins_with_the_fields_that_it_must_have(docs, client, records):
    form = open_form(docs, "POST", "/api/inspections/{id}/decisions")
    form.get_by_label("id").fill("3")
    form.get_by_role("button", name="Send POST").click()
    assert "201" in answer(form)
    assert client.get("/api/inspections/3").json()["decision"]["kind"] == "defect"


def test_an_image_is_inspected(docs, client):
    form = open_form(docs, "POST", "/api/banks/{bank}/inspections")
    form.get_by_label("bank").fill("parts")
    form.get_by_label("files").set_input_files([{"name": "1.png", "mimeType": "image/png", "buffer": good(50)}])
    form.get_by_role("button", name="Send POST").click()
    assert "200" in answer(form)
    assert client.get("/api/inspections/1").json()["name"] == "1.png"


def test_a_refusal_is_shown(browse, service):
    with browse(service.url, expected=["404"]) as page:
        page.goto("/docs")
        form = open_form(page, "GET", "/api/inspections/{id}")
        form.get_by_label("id").fill("77")
        form.get_by_role("button", name="Send GET").click()
        assert "no inspection 77" in answer(form)


def test_a_stream_and_signing_in_are_not_tried(docs):
    paths = docs.locator("form").evaluate_all("forms => forms.map((form) => form.dataset.path)")
    assert "/healthz" in paths
    assert not {"/api/events", "/login", "/logout"} & set(paths)
