"""Cameras over REST: a trigger returns its record, pauses stay, and no password comes out anywhere."""

import contextlib
import json
import logging
import shutil
import threading

import httpx
import pytest

pytest.importorskip("av", reason="PyAV is not installed")

from anomalign.errors import InputError
from anomalign.images.camera import JPEG
from anomalign.images.camera_address import CameraAddress
from anomalign.service.configuration import CameraSource
from anomalign.service.security import tokens
from tests.pictures import texture
from tests.service.api.live_service import run_service
from tests.service.samples import until
from tests.stream_servers import jpeg, mjpeg_camera

PASSWORD = "hunter2-s3cret"


def source(name, url, **options):
    return CameraSource(name=name, address=CameraAddress.parse(url, {}), **{"bank": "parts", **options})


@contextlib.contextmanager
def feeding(server):
    """Send frames all the time until `stop` is set, which is yielded; then frames are those that the test sends."""
    stop = threading.Event()

    def feed():
        while not stop.wait(0.02):
            server.send_jpeg(jpeg(texture(1)))

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def sources(server):
    """A camera that gives frames, and one that is lost."""
    return (
        source("top", f"http://ann:{PASSWORD}@127.0.0.1:{server.port}/locked/{PASSWORD}?key={PASSWORD}"),
        source("gone", f"rtsp://ann:{PASSWORD}@127.0.0.1:9/{PASSWORD}"),
    )


@pytest.fixture
def server():
    with mjpeg_camera() as server, feeding(server):
        yield server


@contextlib.contextmanager
def run_cameras(bank, data, server, *arguments, **options):
    with run_service(bank, data, *arguments, cameras=sources(server), **options) as service:
        until(lambda: service.container.cameras.by_name["top"].status().link.state == "live")
        until(lambda: service.container.cameras.by_name["gone"].status().link.state == "lost")
        yield service


@pytest.fixture(scope="module")
def kept_server():
    with mjpeg_camera() as server, feeding(server):
        yield server


@pytest.fixture(scope="module")
def service(template_bank, tmp_path_factory, kept_server):
    """One for all tests that leave its cameras as they are."""
    folder = tmp_path_factory.mktemp("cameras")
    with run_cameras(shutil.copytree(template_bank, folder / "parts.bank"), folder / "data", kept_server) as service:
        yield service


def test_a_trigger_returns_the_record_of_the_newest_frame(client):
    record = client.post("/api/cameras/top/trigger").raise_for_status().json()
    assert record["source"] == "camera"
    assert record["name"].startswith("camera top@20")
    assert client.get(f"/api/inspections/{record['id']}").json() == record
    picture = client.get(f"/api/inspections/{record['id']}/picture")
    assert picture.headers["content-type"] == "image/jpeg"
    shown = client.get("/api/cameras/top").json()
    assert shown["verdicts"][-1]["record"] == record["id"]
    assert (shown["state"], shown["paused"]) == ("live", False)


def test_a_trigger_of_a_lost_or_unknown_camera(client):
    missed = client.get("/api/cameras/gone").json()["missed"]
    answer = client.post("/api/cameras/gone/trigger")
    assert answer.status_code == 503
    assert "camera gone is lost (cannot be opened (connection refused))" in answer.json()["error"]
    assert "retry-after" in answer.headers
    assert client.post("/api/cameras/nix/trigger").status_code == 404
    assert client.get("/api/cameras/gone/picture.jpg").status_code == 404
    assert client.get("/api/cameras").json()["cameras"][1]["missed"] == missed + 1


def test_the_picture_of_a_lost_camera_is_the_last_frame(bank, tmp_path, server):
    with run_cameras(bank, tmp_path / "data", server) as service, service.client() as client:
        assert client.get("/api/cameras/top/picture.jpg").raise_for_status().content[:2] == JPEG
        server.close()
        until(lambda: client.get("/api/cameras/top").json()["state"] == "lost")
        last = client.get("/api/cameras/top/picture.jpg").raise_for_status()
        again = client.get("/api/cameras/top/picture.jpg", headers={"If-None-Match": last.headers["etag"]})
        assert again.status_code == 304


def test_a_pause_is_kept_over_a_restart_and_is_in_the_audit_log(bank, tmp_path, server):
    with run_cameras(bank, tmp_path / "data", server) as service, service.client() as client:
        answer = client.post("/api/cameras/top/pause").json()
        assert (answer["paused"], answer["paused_by"]) == (True, "local")
    with run_cameras(bank, tmp_path / "data", server) as service, service.client() as client:
        assert client.post("/api/cameras/top/trigger").status_code == 409
        frames = client.get("/api/cameras/top").json()["frames"]
        until(lambda: client.get("/api/cameras/top").json()["frames"] > frames)  # it is read all the same
        assert client.post("/api/cameras/top/resume").json()["paused"] is False
        assert client.post("/api/cameras/top/trigger").status_code == 200
        actions = [entry["action"] for entry in client.get("/api/audit").json()["entries"]]
        assert actions == ["resume camera", "pause camera"]


def test_who_may_do_what(bank, tmp_path, token_file, server):
    given = {"ann": tokens.add(token_file, "ann", "operator")}
    with run_cameras(bank, tmp_path / "data", server, given, token_file=token_file) as service:
        paths = ["", "/top", "/top/picture.jpg"]
        for method, path in [("GET", path) for path in paths] + [("POST", "/top/pause"), ("POST", "/top/trigger")]:
            assert httpx.request(method, f"{service.url}/api/cameras{path}").status_code == 401
        with service.client("ann") as client:
            assert client.post("/api/cameras/top/pause").json()["paused_by"] == "ann"


def test_a_page_of_another_site_cannot_pause_a_camera(client):
    answer = client.post("/api/cameras/top/pause", headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
    assert not client.get("/api/cameras/top").json()["paused"]


def test_no_answer_page_or_log_holds_a_part_of_an_address_that_is_secret(service, client, kept_server, caplog):
    caplog.set_level(logging.DEBUG)
    client.post("/api/cameras/top/trigger").raise_for_status()
    kept_server.hang_up()
    until(lambda: len(kept_server.requests) >= 2 + 2)  # without and with its password, twice
    heard = []
    with client.stream("GET", "/api/events") as events:
        lines = events.iter_lines()
        client.post("/api/cameras/top/pause")
        while not any(line.startswith("data: ") for line in heard):
            heard.append(next(lines))
    paths = [
        "/api/cameras",
        "/api/cameras/gone",
        "/cameras",
        "/",
        "/audit",
        "/metrics",
        "/api/audit",
        "/api/inspections",
        "/api/records.jsonl",
        "/openapi.json",
        "/docs",
    ]
    texts = [client.get(path, headers={"Accept": "text/html"}).text for path in paths]
    texts += [client.post("/api/cameras/gone/trigger").text, *heard, caplog.text, repr(service.container.configuration)]
    assert any(f"ann:{PASSWORD}" == login for _, login in kept_server.requests)  # it was used
    assert not any(secret in text for text in texts for secret in (PASSWORD, "ann:", "ann@", "/locked"))
    client.post("/api/cameras/top/resume")
    until(lambda: client.get("/api/cameras/top").json()["state"] == "live")
    data = service.container.configuration.data
    kept = [path for path in data.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert kept == []
    assert json.loads(texts[0])["cameras"][0]["address"] == f"http://127.0.0.1:{kept_server.port}"


def test_metrics_name_the_cameras(client):
    def values():
        lines = client.get("/metrics").text.splitlines()
        return {
            name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if "anomalign_camera_" in x[:20])
        }

    before = values()
    client.post("/api/cameras/top/trigger").raise_for_status()
    client.post("/api/cameras/gone/trigger")
    after = values()
    assert (after['anomalign_camera_connected{camera="top"}'], after['anomalign_camera_connected{camera="gone"}']) == (
        1,
        0,
    )
    assert after['anomalign_camera_frames_total{camera="top"}'] > before['anomalign_camera_frames_total{camera="top"}']
    counted = {name for name in after if after[name] == before[name] + 1 and "frames" not in name}
    assert counted == {
        'anomalign_camera_inspected_total{camera="top"}',
        'anomalign_camera_dropped_total{camera="gone",reason="lost"}',
    }


def test_a_service_starts_and_ends_while_a_camera_hangs(bank, tmp_path):
    with (
        mjpeg_camera() as server,  # it accepts, and sends nothing
        run_service(bank, tmp_path / "data", cameras=(source("top", server.url),)) as service,
        service.client() as client,
    ):
        until(lambda: server.requests)
        assert client.get("/readyz").status_code == 200
        assert client.get("/api/cameras/top").json()["state"] == "connecting"


def test_without_cameras_there_is_no_link_and_an_empty_list(kept_client):
    assert kept_client.get("/api/cameras").json() == {"cameras": []}
    assert 'href="/cameras"' not in kept_client.get("/", headers={"Accept": "text/html"}).text


def test_configurations_that_contradict_themselves(bank, tmp_path):
    from anomalign.service.configuration import Configuration

    def configure(*cameras):
        Configuration(banks=(bank,), data=tmp_path, cameras=cameras)

    for cameras, word in (
        ([source("top", "rtsp://a"), source("TOP", "rtsp://b")], "two have the name"),
        ([source("top", "rtsp://a", bank="nix")], "no bank 'nix'"),
    ):
        with pytest.raises(InputError, match=word):
            configure(*cameras)
    for options, word in (({"name": "a/b"}, "a name has"), ({"every_s": 0.001}, "every 0.001 s")):
        with pytest.raises(InputError, match=word):
            source(**{"name": "top", "url": "rtsp://a", **options})
