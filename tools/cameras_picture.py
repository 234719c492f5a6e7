"""Make docs/cameras.png: a screenshot of the page of cameras with the images of `readme_picture.py`.

.venv/bin/python tools/cameras_picture.py        (needs the extra `dev` and chromium)
"""

import io
import itertools
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import sync_playwright
from readme_picture import crops, with_coin

from anomalign import Bank, Detector

TARGET = Path(__file__).parents[1] / "docs" / "cameras.png"
NAMES = ("inlet", "press", "outlet", "packing")
COINS = {"inlet": 17, "press": 11, "outlet": 29, "packing": 7}  # each so many-th frame shows a coin


def jpegs(name: str) -> list[bytes]:
    """Frames of a camera."""
    files = []
    begin = 20 * NAMES.index(name)
    for number, image in enumerate(crops(120, (0, 0, 512, 400), seed=0)[begin : begin + 60]):
        coin = number % COINS[name] == 4
        stream = io.BytesIO()
        Image.fromarray(with_coin(image, 90, 120, 1.0) if coin else image).save(stream, "JPEG", quality=95)
        files.append(stream.getvalue())
    return files


def camera(name: str) -> ThreadingHTTPServer:
    """An MJPEG camera on the loopback with four frames a second."""
    files = jpegs(name)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for content in itertools.cycle(files):
                head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(content)
                try:
                    self.wfile.write(head + content + b"\r\n")
                except OSError:
                    return
                time.sleep(0.25)
                if server.is_off:
                    return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.is_off = True, False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def picture(address: str, cameras: dict[str, ThreadingHTTPServer]) -> None:
    """Wait for verdicts, switch one camera off, pause another, and draw the page."""

    def inspected(name: str) -> int:
        return int(httpx.get(f"{address}/api/cameras/{name}").json()["inspected"])

    while inspected("packing") < 60:
        time.sleep(0.5)
    cameras["packing"].is_off = True
    cameras["packing"].shutdown()
    cameras["packing"].server_close()
    while inspected("outlet") < 80:
        time.sleep(0.5)
    httpx.post(f"{address}/api/cameras/outlet/pause").raise_for_status()
    while inspected("inlet") < 110:
        time.sleep(0.5)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1560, "height": 640})
        page.goto(f"{address}/cameras")
        page.wait_for_timeout(3000)  # pictures
        page.screenshot(path=TARGET)
        browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank.create(Path(folder) / "wall.bank")
        bank.add(crops(120, (0, 0, 512, 400), seed=0))
        Detector(bank, target_fpr=0.02).calibrate()
        cameras = {name: camera(name) for name in NAMES}
        command = [sys.executable, "-m", "anomalign", "serve", str(bank.path), "--data", f"{folder}/data"]
        command += ["--port", "0", "--target-fpr", "0.02", "--every", "0.8s"]
        for name, server in cameras.items():
            command += ["--camera", f"{name}=http://127.0.0.1:{server.server_address[1]}/"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr
            address = next(line.split("/  ")[0] for line in process.stderr if line.startswith("http://"))
            picture(address, cameras)
        finally:
            process.terminate()
            process.communicate(timeout=60)
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
