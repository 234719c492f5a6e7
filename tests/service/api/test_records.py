"""Records over HTTP: filters, pages, decisions, exports that can be replayed."""

import json
from datetime import datetime

from anomalign import InspectionSummary
from anomalign.bank import Bank
from anomalign.monitoring.observations import read_records
from anomalign.monitoring.replay import Replayer
from anomalign.service.api import schemas
from tests.service.api.live_service import defect, good, inspect_image, send


def test_pages_give_every_record_once_while_new_ones_arrive(client):
    send(client, *map(good, range(100, 110)))
    ids, after = [], None
    while True:
        page = client.get("/api/inspections", params={"limit": 3, **({"after": after} if after else {})}).json()
        ids += [record["id"] for record in page["records"]]
        inspect_image(client, good(200))
        after = page["next"]
        if after is None:
            break
    assert len(ids) == len(set(ids)) == 10


def test_a_verdict_close_to_the_threshold_is_said_to_be_so(client):
    """Of 30 normal images and at a rate of 1 in 31: where one or two of them score at least as high."""
    results = [
        result for n in range(100, 160, 10) for result in send(client, *map(good, range(n, n + 10))).json()["results"]
    ]
    expected = {r["id"]: r["stage"] != "retrieval" and round(31 * r["p_value"]) in (2, 3) for r in results}
    assert {result["id"]: result["borderline"] for result in results} == expected
    assert 0 < sum(expected.values()) < len(expected)
    listed = client.get("/api/inspections", params={"limit": 200}).json()["records"]
    assert {record["id"]: record["borderline"] for record in listed} == expected
    exported = client.get("/api/records.jsonl", params={"bank": "parts"}).text.splitlines()
    assert sum(json.loads(line)["borderline"] for line in exported) == sum(expected.values())


def test_filters_hold_together(client):
    results = send(client, good(100), defect(101), good(102), defect(103)).json()["results"]
    client.post(f"/api/inspections/{results[1]['id']}/decisions", json={"kind": "false_alarm", "note": "ok"})

    def ids_of(**filters):
        return sorted(r["id"] for r in client.get("/api/inspections", params=filters).json()["records"])

    ids = [result["id"] for result in results]
    assert ids_of(verdict="anomalous") == sorted([ids[1], ids[3]])
    assert ids_of(verdict="anomalous", reviewed="false") == [ids[3]]
    assert ids_of(kind="false_alarm") == [ids[1]]
    assert ids_of(name="2.PNG") == [ids[2]]
    assert ids_of(bank="parts", until=results[0]["time"], name="9") == []
    assert ids_of(since="1999-01-01") == sorted(ids)
    assert ids_of(bank="other") == []
    worst = client.get("/api/inspections", params={"order": "worst"}).json()["records"]
    assert [record["verdict"] for record in worst] == ["anomalous"] * 2 + ["normal"] * 2


def test_values_that_cannot_be_used_are_refused_in_a_sentence(client):
    for query in ("limit=0", "limit=100000", "order=x", "verdict=x", "since=x", "since=0001-01-01T00:00:00%2B23:00",
                  "until=9999-12-31T23:59:59-23:00", "after=x", "after=" + "A" * 400, "reviewed=maybe"):  # fmt: skip
        answer = client.get(f"/api/inspections?{query}")
        assert answer.status_code == 422, query
        assert isinstance(answer.json()["error"], str)
    for id in ("0", "-1", str(2**63), "x", "1.5"):
        assert client.get(f"/api/inspections/{id}").status_code == 422
    assert client.get(f"/api/inspections/{2**63 - 1}").status_code == 404


def test_decisions_are_kept_undone_and_told_with_name_and_time(guarded_service):
    with guarded_service.client("ann") as ann, guarded_service.client("eve") as eve:
        id = inspect_image(ann, defect(1))["id"]
        first = ann.post(f"/api/inspections/{id}/decisions", json={"kind": "defect", "note": "a scratch"}).json()
        second = eve.post(f"/api/inspections/{id}/decisions", json={"kind": "false_alarm"}).json()
        assert ann.get(f"/api/inspections/{id}").json()["decision"] == second
        assert eve.delete(f"/api/decisions/{second['id']}").status_code == 204
        assert ann.get(f"/api/inspections/{id}").json()["decision"] == first
        entries = eve.get("/api/audit").json()["entries"]
        assert [(entry["who"], entry["action"]) for entry in entries] == [
            ("eve", "undo decision"), ("eve", "decide"), ("ann", "decide"),
        ]  # fmt: skip
        assert all(datetime.fromisoformat(entry["time"].replace("Z", "+00:00")) for entry in entries)
        for body in ({"kind": "x"}, {}, {"kind": "defect", "who": "boss"}, {"kind": "defect", "note": "x" * 2001}, []):
            assert ann.post(f"/api/inspections/{id}/decisions", json=body).status_code == 422
        assert ann.post("/api/inspections/999/decisions", json={"kind": "defect"}).status_code == 404


def test_exported_records_can_be_replayed_and_tell_drift(client, bank, tmp_path):
    send(client, *map(good, range(100, 106)), defect(1))
    exported = client.get("/api/records.jsonl", params={"bank": "parts"})
    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert len(lines) == 7
    replayer = Replayer(Bank.open(bank))
    assert all(replayer.replay(line).same for line in lines)
    (tmp_path / "records.jsonl").write_text(exported.text)
    observations, failures = read_records([tmp_path / "records.jsonl"])
    assert (len(observations), failures) == (7, [])
    assert client.get("/api/records.jsonl", params={"bank": "other"}).text == ""


def test_an_export_takes_the_filters_of_the_list(client):
    results = send(client, good(100), defect(101), good(102), defect(103)).json()["results"]
    ids = [result["id"] for result in results]
    client.post(f"/api/inspections/{ids[1]}/decisions", json={"kind": "false_alarm"})
    for query in ("verdict=anomalous", "reviewed=true", "kind=false_alarm", "name=2.PNG", "since=1999-01-01",
                  "until=1999-01-01", "bank=parts&verdict=normal"):  # fmt: skip
        listed = client.get(f"/api/inspections?{query}").json()["records"]
        exported = client.get(f"/api/records.jsonl?{query}")
        names = [json.loads(line)["name"] for line in exported.text.splitlines()]
        assert names == [record["name"] for record in listed], query
    assert client.get("/api/records.jsonl", params={"verdict": "x"}).status_code == 422


def test_an_export_reads_many_records_at_once_and_skips_those_deleted_meanwhile(service, client, monkeypatch):
    send(client, *map(good, range(100, 106)))
    records = client.get("/api/inspections").json()["records"]
    ids = [record["id"] for record in records]
    deleted = ids[2]
    real, queries = service.container.store.entries, []

    def entries(ids):
        queries.append(sorted(ids))
        return {id: entry for id, entry in real(ids).items() if id != deleted}

    monkeypatch.setattr(service.container.store, "entries", entries)
    exported = client.get("/api/records.jsonl").text.splitlines()
    assert [json.loads(line)["name"] for line in exported] == [r["name"] for r in records if r["id"] != deleted]
    assert queries == [sorted(ids)]


def test_an_answer_has_the_fields_of_the_schema_and_the_whole_summary(client):
    answer = inspect_image(client, defect(101))
    assert set(answer) == set(schemas.Inspection.__annotations__)
    assert set(answer["neighbours"][0]) == set(schemas.Neighbour.__annotations__)
    summary = InspectionSummary.from_dict(answer).to_dict()
    neighbours = summary.pop("neighbours")
    assert {key: answer[key] for key in summary} == summary
    assert [{**neighbour, "gone": False} for neighbour in neighbours] == answer["neighbours"]
