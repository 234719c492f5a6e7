"""Checks of banks over HTTP."""

import threading

from anomalign import Bank, Detector
from anomalign.errors import BankError
from anomalign.reporting.power_words import describe_power, describe_rest
from anomalign.service.api import schemas
from anomalign.service.banks.checks import Checks
from anomalign.service.bootstrap import finish
from tests.service.api.live_service import good, inspect_image
from tests.service.samples import until

PATH = "/api/banks/parts/check"
NONE = {"state": "none", "done": 0, "total": 0, "time": None, "power": None, "error": None}


def ended(client):
    until(lambda: client.get(PATH).json()["state"] != "running")
    return client.get(PATH).json()


def test_a_check_is_started_runs_and_is_done(service, client, bank):
    service.container.checks = Checks(images=2)
    assert client.get(PATH).json() == NONE
    answer = client.post(PATH)
    assert (answer.status_code, answer.json()["state"]) == (202, "running")
    check = ended(client)
    assert (check["state"], check["done"], check["total"], check["error"]) == ("done", 70, 70, None)
    assert check["time"].endswith("Z")
    expected = Detector(Bank.open(bank)).check(images=2)
    values = expected.to_dict()
    del values["defects"]
    power = check["power"]
    assert {key: power[key] for key in values if key != "table"} == {k: v for k, v in values.items() if k != "table"}
    assert [{key: cell[key] for key in cell if key != "name"} for cell in power["table"]] == values["table"]
    assert (power["findings"], power["notes"]) == (describe_power(expected), describe_rest(expected))
    assert client.post(PATH).json() == check  # it is not measured again


def test_an_answer_has_the_fields_of_the_schema(service, client):
    service.container.checks = Checks(images=1)
    client.post(PATH)
    check = ended(client)
    assert set(check) == set(schemas.Check.__annotations__)
    assert set(check["power"]) == set(schemas.Power.__annotations__)
    assert set(check["power"]["table"][0]) == set(schemas.PowerCell.__annotations__)


def test_inspections_are_answered_while_a_check_runs(client, held_checks):
    assert client.post(PATH).json()["state"] == "running"
    until(lambda: client.get(PATH).json()["total"] == 1050)
    assert inspect_image(client, good(100))["verdict"] == "normal"
    assert client.get(PATH).json() == {**NONE, "state": "running", "total": 1050}


def test_starts_at_once_are_one_check(service, client, held_checks):
    service.container.checks = Checks(images=1)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(client.post(PATH))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held_checks.set()
    assert {(answer.status_code, answer.json()["state"]) for answer in answers} == {(202, "running")}
    assert ended(client)["state"] == "done"
    assert held_checks.reached == 1


def test_the_result_goes_with_the_bank_that_it_is_of(service, client):
    service.container.checks = Checks(images=1)
    client.post(PATH)
    assert ended(client)["state"] == "done"
    for edit in ({"remove": [1]}, {"target_fpr": 0.2}):
        proposal = client.post("/api/banks/parts/proposals", json=edit).json()["id"]
        assert ended(client)["state"] == "done"  # the edit is only tested
        edit = client.post(f"/api/proposals/{proposal}/confirm").json()
        assert client.get(PATH).json() == NONE
        assert client.post(PATH).json()["state"] == "running"
        assert ended(client)["state"] == "done"


def test_operators_may_check_and_strangers_may_not(guarded_service):
    guarded_service.container.checks = Checks(images=1)
    with guarded_service.client() as nobody, guarded_service.client("ann") as ann:
        assert (nobody.get(PATH).status_code, nobody.post(PATH).status_code) == (401, 401)
        assert ann.post(PATH).status_code == 202
        assert ended(ann)["state"] == "done"


def test_what_cannot_be_checked_is_an_error(service, client, monkeypatch):
    assert client.get("/api/banks/nix/check").status_code == client.post("/api/banks/nix/check").status_code == 404

    def fail(*_, **__):
        raise BankError("parts.bank: the preview of image 3 cannot be read")

    monkeypatch.setattr(Detector, "plan_defects", fail)
    client.post(PATH)
    check = ended(client)
    assert (check["state"], check["error"]) == ("failed", "parts.bank: the preview of image 3 cannot be read")
    assert (check["power"], check["time"] is None) == (None, False)


def test_a_service_that_ends_abandons_its_check(service, client, held_checks):
    client.post(PATH)
    until(lambda: held_checks.reached)
    finish(service.container)  # returns, although the check would never end
    assert client.get(PATH).json() == NONE
    answer = client.post(PATH)
    assert (answer.status_code, "shutting down" in answer.json()["error"]) == (503, True)
