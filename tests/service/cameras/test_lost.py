"""FFmpeg streams a clip on the loopback and is killed: the camera is lost, comes back, and the service goes on."""

import shutil
import socket
import subprocess
import time

import httpx
import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed")

from anomalign.service.cameras import reader
from tests.pictures import texture
from tests.service.api.live_service import run_service
from tests.service.api.test_cameras import source
from tests.service.api.test_process import start
from tests.service.samples import until
from tests.videos import write_video

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed"),
]


@pytest.fixture
def clip(tmp_path):
    """Ten seconds of one texture, then of another."""
    return write_video(tmp_path / "clip.mp4", [texture(1 + number // 125, 64, 64) for number in range(250)])


@pytest.fixture
def stream(clip):
    """Starts FFmpeg as a camera with one listener, at one port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []

    def begin():
        command = ["ffmpeg", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", str(clip), "-c:v", "mpeg2video"]
        command += ["-q:v", "2", "-g", "10", "-f", "mpegts", "-listen", "1", f"http://127.0.0.1:{port}/cam"]
        processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return processes[-1]

    begin.url = f"http://ann:hunter2@127.0.0.1:{port}/cam"
    yield begin
    for process in processes:
        process.kill()
        process.wait()


def test_a_streamer_that_is_killed_again_and_again(bank, tmp_path, stream, monkeypatch):
    monkeypatch.setattr(reader, "FIRST_WAIT_S", 0.1)
    monkeypatch.setattr(reader, "LONGEST_WAIT_S", 0.2)
    cameras = (source("top", stream.url, every_s=0.1),)
    with run_service(bank, tmp_path / "data", cameras=cameras) as service, service.client() as client:

        def status():
            return client.get("/api/cameras/top").json()

        inspected = 0
        for _ in range(3):
            process = stream()
            until(lambda: status()["state"] == "live" and status()["inspected"] > inspected + 5)  # noqa: B023
            process.kill()
            process.wait()
            until(lambda: status()["state"] == "lost")
            lost = status()
            assert client.post("/api/cameras/top/trigger").status_code == 503
            assert client.get("/api/cameras/top/picture.jpg").status_code == 200
            assert client.get("/readyz").status_code == 200
            time.sleep(0.5)
            assert status()["since"] == lost["since"]
            inspected = status()["inspected"]
        records = client.get("/api/inspections?limit=200").json()["records"]
        assert len(records) == inspected
        names = [record["name"] for record in records]
        assert len(set(names)) == len(names)


def test_in_its_own_process_no_output_holds_the_password(bank, tmp_path, stream, monkeypatch):
    monkeypatch.setenv("CAMERA_PASSWORD", "hunter2")
    url = stream.url.replace("hunter2", "${CAMERA_PASSWORD}")
    streamer = stream()
    process, service, log = start(bank, tmp_path / "data", "--camera", f"top={url}", "--every", "top=0.2s")
    try:
        with httpx.Client(base_url=service) as client:
            until(lambda: client.get("/api/cameras/top").json()["inspected"] >= 3)
            streamer.kill()
            until(lambda: client.get("/api/cameras/top").json()["state"] == "lost")
            texts = [client.get(path).text for path in ("/api/cameras", "/metrics", "/api/audit", "/cameras")]
    finally:
        process.terminate()
        assert process.wait(60) == 0
    texts.append(log.read_text())
    assert "camera top: lost" in texts[-1]
    assert not any("hunter2" in text for text in (*texts, *process.args))


def test_the_frames_are_those_of_the_clip(bank, tmp_path, stream):
    """Of two textures that the clip shows, each inspected frame is one."""
    stream()
    with run_service(bank, tmp_path / "data", cameras=(source("top", stream.url),)) as service:
        camera = service.container.cameras.by_name["top"]
        until(lambda: camera.status().link.state == "live")
        seen = set()

        def looked():
            pixels = camera.newest()[1].pixels().astype(float)
            errors = [np.abs(pixels - texture(seed, 64, 64)).mean() for seed in (1, 2)]
            assert min(errors) < 6
            seen.add(int(np.argmin(errors)))
            return seen == {0, 1}

        until(looked)
