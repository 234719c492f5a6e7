"""Checks the service against its OpenAPI document: valid and invalid requests get documented answers, never a 500."""

import contextlib
import os
import shutil

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.service.api.live_service import defect, good, run_service, send

EXAMPLES = int(os.environ.get("ANOMALIGN_FUZZ_EXAMPLES", "10"))
"""Of each route and mode."""

CHECKS = [
    checks.not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


@pytest.fixture(scope="module")
def document(template_bank, tmp_path_factory):
    """The OpenAPI document of a service with some records, decisions and edits."""
    folder = tmp_path_factory.mktemp("fuzz")
    bank = shutil.copytree(template_bank, folder / "parts.bank")
    with run_service(bank, folder / "data") as service, service.client() as client:
        assert send(client, *map(good, range(100, 104)), defect(1)).status_code == 200
        client.post("/api/inspections/1/decisions", json={"kind": "false_alarm"})
        proposal = client.post("/api/banks/parts/proposals", json={"add": 5}).json()
        assert client.post(f"/api/proposals/{proposal['id']}/confirm").status_code == 201
        found = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
        yield found.exclude(path="/api/events")  # which never ends


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_documented(document, mode):
    """With valid and with invalid values."""
    tried = 0
    for operation in document.get_all_operations():
        try:
            cases = operation.ok().as_strategy(generation_mode=mode)
        except Unsatisfiable:
            continue

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(cases)
        def check(case):
            nonlocal tried
            tried += 1
            case.call_and_validate(checks=CHECKS, timeout=60)

        with contextlib.suppress(Unsatisfiable):  # nothing that a route without parameters could get wrong
            check()
    assert tried > 10 * EXAMPLES


def test_every_route_of_the_service_is_documented(document):
    paths = document.raw_schema["paths"]
    assert {"/api/banks/{bank}/inspections", "/api/events", "/metrics", "/login", "/api/edits/{id}/undo"} <= set(paths)
    for methods in paths.values():
        for operation in methods.values():
            assert operation["description"]
            assert any(status.startswith(("2", "3")) for status in operation["responses"])
