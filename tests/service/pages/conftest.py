"""A real browser before a real service; whatever a page complains of fails its test."""

import contextlib
from urllib.parse import urlsplit

import pytest

from tests.browser import open_chromium
from tests.service.api.live_service import defect, good, inspect_image


@pytest.fixture(scope="package")  # not the session: its event loop would run beneath all other tests
def chromium():
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def browse(chromium):
    """``with browse(url, expected=[], **context) as page``: errors that a page logs, and requests to others, fail."""

    @contextlib.contextmanager
    def visit(url, expected=(), **options):
        context = chromium.new_context(base_url=url, **{"viewport": {"width": 1440, "height": 900}, **options})
        context.set_default_timeout(20_000)
        page = context.new_page()
        problems = []
        page.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.append(request.url) if elsewhere(request.url, url) else None)
        yield page
        context.close()
        assert [problem for problem in problems if not any(text in problem for text in expected)] == []

    return visit


def elsewhere(address, url):
    return urlsplit(address).netloc != urlsplit(url).netloc and urlsplit(address).scheme not in ("blob", "data")


@pytest.fixture
def page(browse, service):
    with browse(service.url) as page:
        yield page


@pytest.fixture
def records(client):
    """Three normal images and two defects, in this order."""
    return inspect_five(client)


@pytest.fixture(scope="module")
def kept_records(kept_client):
    return inspect_five(kept_client)


def inspect_five(client):
    return [inspect_image(client, content) for content in (good(50), good(51), defect(52), good(53), defect(54))]
