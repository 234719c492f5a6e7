"""Banks over HTTP: images, the calibration curve, drift, and edits: proposed, confirmed and undone."""

import numpy as np
import pytest

from anomalign import Bank, Detector
from anomalign.curation.suspects import suspects
from anomalign.monitoring.drift import detect_drift
from anomalign.monitoring.observations import read_records
from tests.service.api.live_service import defect, good, inspect_image, send


@pytest.fixture
def detector(bank):
    return Detector(Bank.open(bank))


def test_a_bank_tells_what_it_is(client, detector):
    (summary,) = client.get("/api/banks").json()["banks"]
    assert client.get("/api/banks/parts").json() == summary
    assert (summary["name"], summary["images"], summary["content"]) == ("parts", 30, detector.bank.content)
    assert (summary["threshold"], summary["target_fpr"]) == (detector.threshold.value, detector.target_fpr)
    first_edit = client.get("/api/banks/parts/versions").json()["versions"][0]
    assert (first_edit["first"], first_edit["added"]) == (1, 30)


def test_normals_come_in_the_order_of_suspicion_with_their_use(client, detector):
    expected_ids = [suspect.image.id for suspect in suspects(detector)]
    results = send(client, *map(good, range(100, 104))).json()["results"]
    images, after = [], 0
    while after is not None:
        page = client.get("/api/banks/parts/images", params={"limit": 7, "after": after}).json()
        images += page["images"]
        after = page["next"]
    assert [image["id"] for image in images] == expected_ids
    usage = {image["id"]: image["used"] for image in images}
    expected = [neighbour["id"] for result in results for neighbour in result["neighbours"]]
    assert {id: count for id, count in usage.items() if count} == {id: expected.count(id) for id in set(expected)}
    by_id = client.get("/api/banks/parts/images", params={"order": "id"}).json()["images"]
    assert [image["id"] for image in by_id] == [image.id for image in detector.bank.images]


def test_the_curve_gives_the_thresholds_that_detectors_have(client, bank, detector):
    results = send(client, good(100), defect(1)).json()["results"]
    scores = client.get("/api/banks/parts/scores").json()
    assert scores["normal_scores"] == np.sort(detector.normal_scores).tolist()
    assert [(r["id"], r["score"], r["current"]) for r in scores["recent"]] == [
        (r["id"], r["image_score"], True) for r in sorted(results, key=lambda r: r["time"], reverse=True)
    ]
    for rate in scores["rates"][:: len(scores["rates"]) // 4]:
        assert rate["threshold"] == Detector(Bank.open(bank), target_fpr=rate["target_fpr"]).threshold.value
    thresholds = [rate["threshold"] for rate in scores["rates"]]
    assert thresholds == sorted(thresholds, reverse=True)
    assert scores["target_fpr"] in [rate["target_fpr"] for rate in scores["rates"]]


def test_drift_is_what_the_command_says_of_the_same_records(client, detector, tmp_path):
    empty = client.get("/api/banks/parts/drift").json()
    assert (empty["points"], empty["test"]) == ([], None)
    send(client, *map(defect, range(8)), *map(good, range(100, 104)))
    drift = client.get("/api/banks/parts/drift").json()
    (tmp_path / "r.jsonl").write_text(client.get("/api/records.jsonl").text)
    scores = detector.calibrate()
    expected = detect_drift(read_records([tmp_path / "r.jsonl"])[0], scores.retrieval, scores.nearest)
    assert drift["test"]["summary"] == expected.summary
    assert (drift["test"]["farther"], drift["test"]["drifted"]) == (expected.farther, expected.drifted)
    assert (drift["test"]["kind"], drift["test"]["groups"]) == (expected.kind, None)
    assert [drift["test"][key] for key in ("distance_p", "drift_p", "beyond", "detectable")] == [
        expected.distance_p,
        expected.drift_p,
        expected.beyond,
        expected.detectable,
    ]
    assert [drift["band"][key] for key in ("low", "middle", "high")] == pytest.approx(
        np.quantile(scores.retrieval, [0.05, 0.5, 0.95])
    )
    times = [point["time"] for point in drift["points"]]
    assert len(times) == 12
    assert times == sorted(times)


def test_an_added_false_alarm_is_normal_from_then_on_and_undone_it_is_as_before(client, bank):
    content = Bank.open(bank).content
    first = inspect_image(client, defect(1))
    answer = client.post("/api/banks/parts/proposals", json={"add": first["id"]})
    assert answer.status_code == 201
    proposal = answer.json()
    assert [change["record"] for change in proposal["changes"]] == [first["id"]]
    assert Bank.open(bank).content == content  # only tested
    edit = client.post(f"/api/proposals/{proposal['id']}/confirm", json={"note": "dust"}).json()
    assert (edit["kind"], edit["record"], edit["who"], edit["note"]) == ("add", first["id"], "local", "dust")
    assert client.post(f"/api/proposals/{proposal['id']}/confirm").status_code == 404
    again = inspect_image(client, defect(1))
    assert (again["verdict"], again["bank_version"]) == ("normal", edit["version"])
    assert client.get("/api/banks/parts/edits").json()["edits"] == [edit]
    assert client.post(f"/api/edits/{edit['id']}/undo").json()["undone"] is True
    assert inspect_image(client, defect(1))["verdict"] == "anomalous"
    assert Bank.open(bank).content == content
    assert client.get(f"/api/inspections/{again['id']}").json()["neighbours"][0]["gone"] is True


def test_an_added_image_is_in_the_group_that_was_named(client, bank):
    first = inspect_image(client, defect(1))
    answer = client.post("/api/banks/parts/proposals", json={"add": first["id"], "group": "batch 7"})
    edit = client.post(f"/api/proposals/{answer.json()['id']}/confirm").json()
    images = client.get("/api/banks/parts/images", params={"order": "id"}).json()["images"]
    assert {image["id"]: image["group"] for image in images} == {
        image["id"]: "batch 7" if [image["id"]] == edit["images"] else "" for image in images
    }
    Bank.open(bank).group([1, 2], "a")
    versions = client.get("/api/banks/parts/versions").json()["versions"]
    assert [(v["added"], v["regrouped"]) for v in versions[-2:]] == [(1, 0), (0, 2)]


@pytest.mark.parametrize("body", [{"remove": [1]}, {"target_fpr": 0.3}, {"add": 1}])
@pytest.mark.parametrize("group", ["x" * 201, " a", "a\n"])
def test_a_group_that_cannot_be_is_refused(kept_client, body, group):
    inspect_image(kept_client, defect(1))
    answer = kept_client.post("/api/banks/parts/proposals", json={**body, "group": group})
    assert answer.status_code == 422
    assert "group" in answer.text


def test_a_group_is_refused_for_an_edit_that_adds_nothing(client):
    answer = client.post("/api/banks/parts/proposals", json={"remove": [1], "group": "a"})
    assert answer.status_code == 422
    assert "a group is given to an image that is added" in answer.text


def test_a_proposal_names_what_people_said_and_is_tried_on_as_many_as_asked(client):
    first, second, third = (inspect_image(client, defect(seed))["id"] for seed in (1, 2, 3))
    client.post(f"/api/inspections/{second}/decisions", json={"kind": "defect"}).raise_for_status()
    proposal = client.post("/api/banks/parts/proposals", json={"add": third}).json()
    assert {change["record"]: change["decision"] for change in proposal["changes"]} == {
        third: None,
        second: "defect",
        first: None,
    }
    few = client.post("/api/banks/parts/proposals", json={"add": third, "replayed": 2}).json()
    assert [change["record"] for change in few["changes"]] == [third, second]


def test_a_proposal_that_the_bank_has_outrun_is_refused(client):
    first, second = (inspect_image(client, defect(seed))["id"] for seed in (1, 2))
    a, b = (client.post("/api/banks/parts/proposals", json={"add": id}).json()["id"] for id in (first, second))
    assert client.post(f"/api/proposals/{a}/confirm").status_code == 201
    answer = client.post(f"/api/proposals/{b}/confirm")
    assert answer.status_code == 409
    assert "edited since" in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [{}, {"add": 1, "remove": [1]}, {"remove": []}, {"remove": [999]}, {"target_fpr": 0}, {"target_fpr": 1},
     {"target_fpr": 1e-9}, {"add": -1}, {"add": "x"}, {"x": 1}, [], None, {"add": 2**63},
     {"remove": [1], "replayed": 0}, {"remove": [1], "replayed": 1001}],
)  # fmt: skip
def test_edits_that_cannot_be_are_refused(kept_client, body):
    assert kept_client.post("/api/banks/parts/proposals", json=body).status_code == 422


def test_a_bank_cannot_be_emptied(client):
    ids = [image["id"] for image in client.get("/api/banks/parts/images").json()["images"]]
    answer = client.post("/api/banks/parts/proposals", json={"remove": ids})
    assert answer.status_code == 422
    assert client.get("/api/banks/parts").json()["images"] == 30
