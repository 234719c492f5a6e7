"""Uploads: answered after the commit, limited in size before decoding, refused if too many wait."""

import io
import socket
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector
from anomalign.service.security import gate
from tests.pictures import texture
from tests.service.api.live_service import defect, good, inspect_image, png, run_service, send


def test_a_batch_is_answered_in_order_with_what_the_detector_says(client, bank, tmp_path):
    contents = [good(100), defect(101), b"no image", good(102)]
    answer = send(client, *contents)
    assert answer.status_code == 200
    results = answer.json()["results"]
    detector = Detector(Bank.open(bank))
    for number in (0, 1, 3):
        path = tmp_path / f"{number}.png"
        path.write_bytes(contents[number])
        expected = detector.inspect(path)
        result = results[number]
        assert (result["verdict"], result["image_score"], result["p_value"]) == (
            expected.verdict,
            expected.image_score,
            expected.p_value,
        )
        assert [n["id"] for n in result["neighbours"]] == [n.id for n in expected.neighbours]
        assert client.get(f"/api/inspections/{result['id']}").json() == result
    assert results[1]["verdict"] == "anomalous"
    assert results[2].keys() == {"name", "error"}


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_the_content_counts_not_what_it_is_called(kept_client, format):
    content = png(texture(5), format)
    files = {"files": ("malware.exe", content, "text/html")}
    answer = kept_client.post("/api/banks/parts/inspections", files=files)
    assert answer.status_code == 200
    answer = kept_client.get(f"/api/inspections/{answer.json()['results'][0]['id']}/picture")
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == ("JPEG", (64, 64))


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd",
        "/etc/passwd",
        "C:\\Windows\\x.png",
        "..",
        "",
        "\x00.png",
        "a\r\nSet-Cookie: x=y",
        "é" * 999,
    ],
)
def test_a_name_is_for_showing_and_no_path(client, service, name, tmp_path):
    before = {path for path in tmp_path.rglob("*") if "pictures" not in path.parts}
    body = b"".join(
        [
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="',
            name.replace("\r\n", "%0D%0A").encode(),
            b'"\r\n\r\n',
            good(50),
            b"\r\n--b--\r\n",
        ]
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post("/api/banks/parts/inspections", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    name = answer.json()["results"][0]["name"]
    assert not name.startswith("/")
    assert not {"..", "C:"} & set(name.split("/"))
    assert "\\" not in name
    assert name.isprintable()
    assert len(name) <= 255
    assert {path for path in tmp_path.rglob("*") if "pictures" not in path.parts} == before


@pytest.mark.parametrize("name", ["screw/bent/007.png", "screw\\bent\\007.png", "/screw/bent/007.png"])
def test_a_name_keeps_its_folders(kept_client, name):
    answer = kept_client.post("/api/banks/parts/inspections", files=[("files", (name, good(50)))])
    assert answer.json()["results"][0]["name"] == "screw/bent/007.png"


def test_what_is_no_image_or_no_multipart_is_refused_in_one_sentence(client):
    for content in (b"", b"hello", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a", b"%!PS-Adobe"):
        assert send(client, content).status_code == 415
    assert client.post("/api/banks/parts/inspections", content=good(1)).status_code == 415
    assert client.post("/api/banks/parts/inspections", data={"a": "b"}).status_code == 415
    assert client.post("/api/banks/parts/inspections", files={"other": b"x"}).status_code == 422
    broken = {"Content-Type": "multipart/form-data"}
    assert client.post("/api/banks/parts/inspections", content=b"--x", headers=broken).status_code == 400
    assert send(client, good(1), bank="nix").status_code == 404
    assert send(client, good(1)[:200]).status_code == 422


def bomb(width, height):
    """Return a PNG of a few kilobytes whose header claims this number of pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def test_pixels_are_limited_before_anything_is_decoded(bank, tmp_path):
    with run_service(bank, tmp_path / "data", max_pixels=64 * 64) as service, service.client() as client:
        assert send(client, png(texture(1))).status_code == 200
        for content in (png(np.zeros((65, 64, 3), np.uint8)), bomb(60_000, 60_000), bomb(2**31 - 1, 2**31 - 1)):
            answer = send(client, content)
            assert answer.status_code == 422
            assert len(answer.text) < 1000


def test_bytes_are_limited_by_what_is_said_and_by_what_comes(bank, tmp_path):
    with run_service(bank, tmp_path / "data", max_upload_bytes=100_000) as service, service.client() as client:
        assert send(client, good(1)).status_code == 200
        assert send(client, b"x" * 100_000).status_code == 413
        head = b"POST /api/banks/parts/inspections HTTP/1.1\r\nHost: localhost\r\n"
        head += b"Content-Type: multipart/form-data; boundary=b\r\n"
        with socket.create_connection(("127.0.0.1", service.port), 10) as link:
            link.sendall(head + b"Content-Length: 900000000000\r\n\r\n")  # and nothing of it: answered at once
            assert link.recv(100).startswith(b"HTTP/1.1 413")
        with socket.create_connection(("127.0.0.1", service.port), 10) as link:
            link.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
            link.sendall(b"%x\r\n%s\r\n" % (len(part), part))
            for _ in range(3):
                link.sendall(b"c350\r\n" + b"x" * 50_000 + b"\r\n")
            assert link.recv(100).startswith(b"HTTP/1.1 413")
        assert client.post("/api/inspections/1/decisions", content=b"x" * 70_000).status_code == 413
        assert send(client, good(2)).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(service, client, monkeypatch):
    monkeypatch.setattr(gate, "_IDLE_S", 0.2)
    with socket.create_connection(("127.0.0.1", service.port), 10) as link:
        head = b"POST /api/banks/parts/inspections HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n"
        link.sendall(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b")
        assert link.recv(100).startswith(b"HTTP/1.1 408")
    assert service.container.budget.take(
        service.container.configuration.max_upload_bytes * 8
    )  # nothing of it is held any more


def test_a_full_queue_refuses_and_says_when_to_come_again(bank, tmp_path):
    with run_service(bank, tmp_path / "data", waiting=2) as service, service.client() as client:
        served_bank = service.container.served_banks["parts"]
        go = threading.Event()
        real = served_bank.detector.inspect_batch
        served_bank.detector.inspect_batch = lambda *given: go.wait(30) and real(*given)
        answers = []

        def post(seed):
            with service.client() as other:
                answers.append(send(other, good(seed)))

        threads = [threading.Thread(target=post, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        while service.container.queue.depth < 2:
            threading.Event().wait(0.01)
        refused = send(client, good(3))
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert client.get("/healthz").status_code == 200  # others are not held up
        assert "anomalign_refused_total 1.0" in client.get("/metrics").text
        go.set()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200, 200]
        assert send(client, good(3)).status_code == 200


def test_a_batch_may_be_larger_than_the_queue(bank, tmp_path):
    with run_service(bank, tmp_path / "data", waiting=2) as service, service.client() as client:
        results = send(client, *map(good, range(100, 112))).json()["results"]
        assert [result["name"] for result in results] == [f"{number}.png" for number in range(12)]
        assert len({result["id"] for result in results}) == 12


def test_uploads_under_way_are_limited_together(service, client):
    assert service.container.budget.take(service.container.configuration.max_upload_bytes * 8)
    answer = send(client, good(1))
    assert answer.status_code == 429
    assert answer.headers["Retry-After"]
    service.container.budget.give(service.container.configuration.max_upload_bytes * 8)
    assert send(client, good(1)).status_code == 200
    assert service.container.budget.take(service.container.configuration.max_upload_bytes * 8)  # all was given back


def test_nothing_is_accepted_any_more_once_it_closes(service, client):
    inspect_image(client, good(1))
    service.container.closing = True
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    answer = send(client, good(2))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
