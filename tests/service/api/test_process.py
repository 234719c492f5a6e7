"""The service in its own process, as people and machines start and stop it."""

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from anomalign.errors import StoreError
from anomalign.service.store import Filters, Store
from tests.cli.running import run
from tests.service.api.live_service import good, send

pytestmark = pytest.mark.slow


def anomalign(*arguments, **options):
    command = [sys.executable, "-m", "anomalign", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)


def start(bank, data, *arguments):
    """Start a service at a free port; return the process, its URL and its log file."""
    command = [sys.executable, "-m", "anomalign", "serve", str(bank), "--data", str(data), "--port", "0"]
    log = data.with_name(f"log-{time.monotonic_ns()}")
    with log.open("w") as file:
        process = subprocess.Popen([*command, *map(str, arguments)], stderr=file)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        lines = [line for line in log.read_text().splitlines() if line.startswith("http://")]
        url = lines[0].split()[0].rstrip("/").replace("0.0.0.0", "127.0.0.1") if lines else None
        with contextlib.suppress(httpx.TransportError):
            if url and httpx.get(f"{url}/healthz").status_code == 200:
                return process, url, log
        time.sleep(0.05)
    process.kill()
    raise AssertionError(log.read_text())


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_once_what_was_accepted_is_answered_and_recorded(bank, tmp_path, kind):
    process, url, _ = start(bank, tmp_path / "data", "--waiting", 500)
    ids, statuses = [], []

    def work(number):
        with httpx.Client(base_url=url, timeout=60) as client:
            for round in range(200):
                try:
                    answer = send(client, *(good(1000 * number + 4 * round + i) for i in range(4)))
                except httpx.TransportError:  # the service is gone: nothing was accepted any more
                    return
                statuses.append(answer.status_code)
                if answer.status_code == 200:
                    ids.extend(result["id"] for result in answer.json()["results"])
                else:
                    return

    listener = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    listener.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")  # a page that stays open
    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    while len(ids) < 24:
        time.sleep(0.01)
    process.send_signal(kind)
    for worker in workers:
        worker.join(60)
    assert process.wait(60) == 0
    listener.close()
    assert set(statuses) <= {200, 503}
    store = Store.open(f"sqlite:///{tmp_path / 'data' / 'records.sqlite'}")
    assert all(store.get(id) for id in ids)
    assert store.count(Filters()) == len(ids) == len(set(ids))  # nothing accepted went without an answer
    store.close()


def test_beyond_the_loopback_only_with_a_token(bank, tmp_path):
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        result = anomalign("serve", bank, "--host", host, "--data", tmp_path / "data")
        assert result.returncode == 2
        assert "--token-file" in result.stderr
    empty = tmp_path / "empty"
    empty.write_text("")
    result = anomalign("serve", bank, "--host", "0.0.0.0", "--token-file", empty, "--data", tmp_path / "data")
    assert (result.returncode, "holds no token" in result.stderr) == (2, True)
    token = run("token", "add", tmp_path / "tokens", "eve", "--role", "admin").stdout.strip()
    process, url, log = start(
        bank,
        tmp_path / "data",
        "--host",
        "0.0.0.0",
        "--token-file",
        tmp_path / "tokens",
        "--host-name",
        "station.example",
    )
    try:
        assert httpx.get(f"{url}/api/banks").status_code == 401
        bearer = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}/api/banks", headers=bearer).status_code == 200
        for host, status in (("station.example", 200), ("192.0.2.7:80", 200), ("evil.example", 421)):
            assert httpx.get(f"{url}/api/banks", headers={**bearer, "Host": host}).status_code == status
        assert run("token", "list", tmp_path / "tokens").stdout.split() == ["admin", "eve"]
        assert run("token", "remove", tmp_path / "tokens", "eve").returncode == 0
        assert httpx.get(f"{url}/api/banks", headers=bearer).status_code == 401
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert token not in log.read_text()


def test_what_cannot_be_served_is_one_line_and_exit_code_2(bank, tmp_path):
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for arguments, word in (
            ((tmp_path / "nix.bank",), "nix.bank"),
            ((bank, "--port", listener.getsockname()[1]), "cannot listen"),
            ((bank, "--watch", tmp_path / "nix"), "is not a folder"),
            ((bank, "--normals", tmp_path / "nix"), "is not a folder"),
            ((bank, "--normals", f"{tmp_path}=nix"), "no bank 'nix'"),
            ((bank, "--preset", "best"), "preset is 'best'"),
            ((bank, "--database", "mysql://x"), "mysql"),
            ((bank, "--data", tmp_path / "file"), "file"),
            ((bank, "--target-fpr", "0.0001"), "false-positive rate"),
        ):
            arguments = arguments if "--data" in arguments else (*arguments, "--data", tmp_path / "data")
            result = anomalign("serve", *arguments)
            assert result.returncode == 2, (arguments, result.stderr)
            assert word in result.stderr
            assert "Traceback" not in result.stderr


def test_a_folder_serves_one_service_at_a_time(bank, tmp_path):
    process, url, _ = start(bank, tmp_path / "data")
    second = anomalign("serve", bank, "--data", tmp_path / "data", "--port", 0)
    assert (second.returncode, "another service uses this data folder" in second.stderr) == (2, True)
    process.kill()
    process.wait()
    process, url, _ = start(bank, tmp_path / "data")
    assert httpx.get(f"{url}/readyz").status_code == 200
    process.terminate()
    assert process.wait(60) == 0


def test_a_watched_folder_is_inspected_once_also_after_a_restart(bank, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for _ in range(2):
        process, url, _ = start(bank, tmp_path / "data", "--watch", folder)
        (folder / "a.png").write_bytes(good(100)) if not list(folder.iterdir()) else None
        for _ in range(400):
            records = httpx.get(f"{url}/api/inspections").json()["records"]
            if records:
                break
            time.sleep(0.05)
        time.sleep(1.5)
        assert [record["source"] for record in httpx.get(f"{url}/api/inspections").json()["records"]] == ["watch"]
        process.terminate()
        assert process.wait(60) == 0


def test_metrics_count_what_is_kept_and_outlive_the_database(service, client, monkeypatch):
    def numbers():
        lines = client.get("/metrics").text.splitlines()
        return {
            name: float(value) for name, value in (line.split(" ") for line in lines if " " in line and line[0] != "#")
        }

    send(client, good(100), good(101), good(102))
    values = numbers()
    assert values["anomalign_records"] == 3
    assert (
        values["anomalign_waiting"] == values["anomalign_waiting_bytes"] == values["anomalign_pictures_not_kept"] == 0
    )
    assert values["anomalign_inspecting_seconds"] > 0
    assert values["anomalign_committing_seconds"] > 0
    assert values["anomalign_pictures_bytes"] == len(good(100)) + len(good(101)) + len(good(102))

    def away(_):
        raise StoreError("the database is away")

    monkeypatch.setattr(service.container.store, "count", away)
    assert math.isnan(numbers()["anomalign_records"])


def test_without_the_extra_it_says_which(tmp_path):
    code = (
        "import sys, importlib.util as u; real = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name in ('fastapi', 'sqlalchemy') else real(name, *a); "
        "sys.argv = ['anomalign', 'serve', 'x']; from anomalign.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: `anomalign serve` needs fastapi, sqlalchemy: install the extra")


def test_the_command_line_starts_without_the_web(tmp_path):
    heavy = ["fastapi", "sqlalchemy", "uvicorn"]
    code = f"import anomalign, anomalign.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == []
