"""A short run of `tools/fuzz_service.py`: mutated files and requests, and no status 500."""

import importlib.util
import random
import sys
import time
from pathlib import Path

import pytest

from tests.service.api.live_service import defect, good, send

TOOL = Path(__file__).parents[3] / "tools" / "fuzz_service.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("fuzz_service", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_service"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fuzz_service"]


def test_seeds_are_images_that_are_accepted_but_for_one(tool, client):
    """All but the image with floating-point pixels, so that mutations begin with valid files."""
    refused = [content for content in tool.seeds() if send(client, content).status_code != 200]
    assert len(refused) == 1


@pytest.mark.slow
def test_whatever_is_sent_is_answered_with_a_verdict_or_a_sentence(tool, client):
    send(client, good(100), defect(1))
    outcome, images, rng = tool.Outcome(), tool.seeds(), random.Random(0)
    document = client.get("/openapi.json").json()
    for number in range(240):
        kind = ("image", "image", "multipart", "request")[number % 4]
        start = time.perf_counter()
        what, answer = tool.sent(kind, rng, images, document, client)
        outcome.take(kind, what, answer, time.perf_counter() - start)
    assert outcome.problems == []
    assert {status for kind, status in outcome.statuses if kind == "image"} >= {200, 422}
    assert client.get("/readyz").status_code == 200
