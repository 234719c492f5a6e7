"""A real browser for tests of pages."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@contextlib.contextmanager
def open_chromium() -> Iterator[Any]:
    """A headless Chromium for Playwright; the test is skipped where one of them is missing.

    Its event loop runs beneath all tests until it is closed, so a fixture of it must not have the scope of the session.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
