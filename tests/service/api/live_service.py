"""A service that listens on a port, in this process, and images to send to it."""

import contextlib
import io
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image

from anomalign import Bank, Detector, Framing
from anomalign.service.bootstrap import close_container, open_container
from anomalign.service.configuration import Configuration
from anomalign.service.container import Container
from anomalign.service.server import listen, server
from tests.pictures import texture


@dataclass
class LiveService:
    container: Container
    port: int
    tokens: dict[str, str]  # by name

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def client(self, name=None, **headers):
        if name:
            headers["Authorization"] = f"Bearer {self.tokens[name]}"
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)


@contextlib.contextmanager
def run_service(bank, data, tokens=None, others=(), **options):
    """Serve a bank and others; `tokens` are those in the token file, by name."""
    container = open_container(Configuration(banks=(Path(bank), *others), data=Path(data), port=0, **options))
    listener = listen("127.0.0.1", 0)
    web_server = server(container)
    thread = threading.Thread(target=web_server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not web_server.started:
            time.sleep(0.01)
        yield LiveService(container, listener.getsockname()[1], tokens or {})
    finally:
        container.events.close()
        web_server.should_exit = True
        thread.join()
        close_container(container)
        listener.close()


def png(image, format="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, format)
    return file.getvalue()


def good(seed):
    return png(texture(seed))


def defect(seed):
    image = texture(seed).copy()
    image[16:48, 16:48] = 255
    return png(image)


def send(client, *contents, bank="parts"):
    files = [("files", (f"{number}.png", content)) for number, content in enumerate(contents)]
    return client.post(f"/api/banks/{bank}/inspections", files=files)


def inspect_image(client, content):
    answer = send(client, content)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"][0]


def make_bank_of_photographs(folder, backbone, count, size):
    """Photographs of one (height, width) below ``photographs``, and a calibrated bank of them, ``parts.bank``."""
    (folder / "photographs").mkdir()
    for seed in range(count):
        (folder / "photographs" / f"{seed:02}.png").write_bytes(png(texture(seed, *size)))
    bank = Bank.create(folder / "parts.bank", backbone, Framing(64))
    bank.add(folder / "photographs")
    Detector(bank).calibrate()
    return folder
