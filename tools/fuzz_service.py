"""Throw mutated image files and API inputs at a real service process: no 500, no hang, no growth of memory.

    python tools/fuzz_service.py [--inputs 10000] [--seed 0]

Starts `anomalign serve` on a small bank, sends the inputs over a few connections at once, and prints what came back.
Exit code 1: an answer of 500, an answer without a JSON error, a request that took too long, a process that ended, or
memory that grew from the middle of the run to its end by more than a tenth.
"""

import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import httpx
import numpy as np
from PIL import Image

TIMEOUT_S = 30.0
GROWTH = 1.1
WORKERS = 4

Document: TypeAlias = dict[str, dict[str, dict[str, object]]]


@dataclass
class Outcome:
    """What came back, over all threads."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, kind: str, what: str, answer: httpx.Response, seconds: float) -> None:
        """Count an answer, and note what must not be."""
        with self.lock:
            self.statuses[kind, answer.status_code] += 1
            self.slowest_s = max(self.slowest_s, seconds)
            if answer.status_code == 500 or "Traceback" in answer.text:
                self.problems.append(f"{kind}: {answer.status_code} {answer.text[:200]}: {what}")
            elif answer.status_code >= 400 and not _explains(answer):
                self.problems.append(f"{kind}: {answer.status_code} without a sentence: {what}")

    def fail(self, kind: str, what: str, error: Exception) -> None:
        """Note a request that was not answered."""
        with self.lock:
            self.problems.append(f"{kind}: {type(error).__name__} {error}: {what}")


def seeds() -> list[bytes]:
    """Images of every format and kind of pixel that is accepted."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8))
    kinds = {
        "PNG": [colour, colour.convert("L"), colour.convert("P"), colour.convert("1"), colour.convert("RGBA"),
                colour.convert("LA"), Image.fromarray(rng.integers(0, 65535, (48, 64), np.uint16))],
        "JPEG": [colour, colour.convert("L"), colour.convert("CMYK")],
        "BMP": [colour, colour.convert("L"), colour.convert("1"), colour.convert("P")],
        "TIFF": [colour, colour.convert("L"), colour.convert("CMYK"), colour.convert("1"),
                 Image.fromarray(rng.integers(0, 65535, (48, 64), np.uint16)),
                 Image.fromarray(rng.random((48, 64), np.float32))],
        "WEBP": [colour, colour.convert("RGBA")],
    }  # fmt: skip
    found = [_saved(image, format) for format, images in kinds.items() for image in images]
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        found.append(_saved(colour, "TIFF", compression=compression))
    exif = Image.Exif()
    exif[0x0112] = 6
    found += [
        _saved(colour, "JPEG", exif=exif.tobytes(), progressive=True),
        _saved(colour, "WEBP", lossless=True),
        _saved(colour, "PNG", save_all=True, append_images=[colour.rotate(90)]),
        _saved(colour, "TIFF", save_all=True, append_images=[colour.rotate(90)]),
    ]
    return found


def mutated(rng: random.Random, images: list[bytes]) -> bytes:
    """One of the images, with bits turned, bytes replaced, parts cut, doubled, swapped or taken from another."""
    data = bytearray(rng.choice(images))
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        place = min(int(rng.expovariate(1 / 60)) if rng.random() < 0.5 else rng.randrange(len(data) or 1), len(data))
        match rng.randrange(9):
            case 0 if place < len(data):
                data[place] ^= 1 << rng.randrange(8)
            case 1 if place < len(data):
                data[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)])
            case 2:
                del data[place:]
            case 3:
                del data[place : place + rng.randrange(1, 32)]
            case 4:
                data[place:place] = rng.randbytes(rng.randrange(1, 32))
            case 5:
                data[place:place] = data[place : place + rng.randrange(1, 512)]
            case 6:  # a length or a size
                size = rng.choice([2, 4])
                value = rng.choice([0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, rng.randrange(2**32)])
                data[place : place + size] = (value % 2 ** (8 * size)).to_bytes(size, rng.choice(["big", "little"]))
            case 7:
                other = rng.choice(images)
                data[place:] = other[rng.randrange(len(other)) :]
            case 8:
                data += rng.randbytes(rng.randrange(1, 2000))
    return bytes(data)


def odd(rng: random.Random) -> object:
    """A value that one did not think of."""
    return rng.choice(
        [None, True, 0, -1, 1, 2, 2**31, 2**63 - 1, 2**63, 10**400, 1.5, 1e-320, "", "x", "1", "parts", "\0",
         "\ud7ff", "💥" * 300,
         "../../etc/passwd", "%00", "'; --", "a" * 5000, [], [1], [[]] * 50, {}, {"a": {}}, "NaN", "inf", "9999-12-31",
         "0001-01-01T00:00:00+14:00", "normal", "defect", "newest"]
    )  # fmt: skip


def upload(rng: random.Random, images: list[bytes], client: httpx.Client) -> tuple[str, httpx.Response]:
    """A mutated image, sometimes several."""
    contents = [mutated(rng, images) for _ in range(rng.choice([1, 1, 1, 3]))]
    files = [("files", (str(odd(rng))[:200] or "a", content, "image/png")) for content in contents]
    what = " ".join(content[:4000].hex() for content in contents)
    return what, client.post("/api/banks/parts/inspections", files=files)


def multipart(rng: random.Random, images: list[bytes], client: httpx.Client) -> tuple[str, httpx.Response]:
    """A mutated multipart body."""
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    body = bytearray(part + images[0][:300] + b"\r\n--b--\r\n")
    for _ in range(rng.randrange(1, 6)):
        place = rng.randrange(min(len(body), 200) or 1)
        body[place : place + rng.randrange(3)] = rng.choice(
            [b"\r\n", b"--b", b'"', b"\0", b"=", b";", rng.randbytes(2)]
        )
    header = rng.choice(["multipart/form-data; boundary=b"] * 6 + [
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 300,
        "multipart/form-data; boundary=b; charset=nix", "text/plain", "multipart/mixed; boundary=b"])  # fmt: skip
    what = f"{header} {body.hex()}"
    return what, client.post("/api/banks/parts/inspections", content=bytes(body), headers={"Content-Type": header})


def request(rng: random.Random, document: Document, client: httpx.Client) -> tuple[str, httpx.Response]:
    """A route of the OpenAPI document with odd values in its path, query, headers and body."""
    path = rng.choice(sorted(set(document["paths"]) - {"/api/events"}))
    method = rng.choice([*document["paths"][path]] * 6 + ["get", "post", "put", "delete"])
    ids = [str(rng.randrange(1, 40))] * 6 + [str(odd(rng))[:300]]
    names = ["parts"] * 6 + [str(odd(rng))[:300]]
    path = path.replace("{id}", _quoted(rng.choice(ids))).replace("{bank}", _quoted(rng.choice(names)))
    keys = ["limit", "after", "order", "bank", "verdict", "since", "until", "reviewed", "kind", "name", "y", "x",
            "against", "always", "action"]  # fmt: skip
    query = {rng.choice(keys): str(odd(rng))[:2000] for _ in range(rng.randrange(4))}
    fields = ["kind", "note", "add", "remove", "target_fpr", "token"]
    body: object = {rng.choice(fields): odd(rng) for _ in range(rng.randrange(4))} if rng.random() < 0.8 else odd(rng)
    content = json.dumps(body).encode()
    if rng.random() < 0.2:
        content = content[: rng.randrange(len(content) + 1)] + rng.randbytes(rng.randrange(4))
    headers = {
        "Content-Type": rng.choice(["application/json"] * 5 + ["text/plain", "application/x-www-form-urlencoded"])
    }
    if rng.random() < 0.1:
        headers[rng.choice(["Cookie", "If-None-Match", "Accept", "Range", "Authorization", "X-Forwarded-For"])] = (
            "x" * 50
        )
    what = f"{method} {path} {query} {content[:500]!r} {headers}"
    send = None if method == "get" else content
    return what, client.request(method, path, params=query, content=send, headers=headers)


def sent(
    kind: str, rng: random.Random, images: list[bytes], document: Document, client: httpx.Client
) -> tuple[str, httpx.Response]:
    """One input of a kind: what it was, and what came back."""
    if kind == "image":
        return upload(rng, images, client)
    if kind == "multipart":
        return multipart(rng, images, client)
    return request(rng, document, client)


def run(url: str, inputs: int, seed: int, memory: Callable[[], int]) -> tuple[Outcome, list[int]]:
    """Send the inputs; memory in use, twenty times over the run."""
    outcome, images, samples = Outcome(), seeds(), []
    document = httpx.get(f"{url}/openapi.json").json()

    def send(worker: int, count: int) -> None:
        rng = random.Random(f"{seed} {worker}")
        with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
            for _ in range(count):
                draw = rng.random()
                kind = "image" if draw < 0.6 else "multipart" if draw < 0.7 else "request"
                begun = time.perf_counter()
                try:
                    what, answer = sent(kind, rng, images, document, client)
                except (httpx.TransportError, httpx.InvalidURL) as error:
                    outcome.fail(kind, "", error)
                else:
                    outcome.take(kind, what, answer, time.perf_counter() - begun)

    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in range(20):
            list(
                pool.map(
                    send,
                    range(len(samples) * WORKERS, (len(samples) + 1) * WORKERS),
                    [inputs // 20 // WORKERS] * WORKERS,
                )
            )
            samples.append(memory())
            print(f"{sum(outcome.statuses.values()):>6} answers, {samples[-1] / 1e6:.0f} MB", flush=True)
    return outcome, samples


def main() -> int:
    """Run, and say what came of it."""
    parser = argparse.ArgumentParser(
        description="Send mutated images and API inputs to a service; report errors, hangs and memory growth."
    )
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process, url = _started(folder)
        try:
            outcome, samples = run(url, options.inputs, options.seed, lambda: _memory(process.pid))
            alive = httpx.get(f"{url}/readyz", timeout=TIMEOUT_S).status_code == 200
        finally:
            process.terminate()
            code = process.wait(120)
        print(f"exit code {code}; still ready at the end: {alive}")
    for (kind, status), count in sorted(outcome.statuses.items()):
        print(f"{kind:<10} {status}  {count}")
    middle, last = max(samples[len(samples) // 2 - 2 : len(samples) // 2 + 1]), max(samples[-3:])
    print(
        f"slowest {outcome.slowest_s:.2f} s; memory {middle / 1e6:.0f} MB in the middle, {last / 1e6:.0f} MB at the end"
    )
    for problem in outcome.problems[:20]:
        print("PROBLEM", problem[:1000])
    failed = bool(outcome.problems) or not alive or code != 0 or last > GROWTH * middle
    print("FAILED" if failed else "no 500, no hang, no growth")
    return int(failed)


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _quoted(text: str) -> str:
    return httpx.QueryParams({"a": text}).__str__()[2:].replace("+", "%20")


def _explains(answer: httpx.Response) -> bool:
    try:
        return isinstance(answer.json()["error"], str)
    except (ValueError, KeyError, TypeError):
        return answer.headers.get("content-type", "").startswith(
            "text/plain"
        )  # the server's own: a broken request line


def _started(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    (folder / "train").mkdir()
    rng = np.random.default_rng(1)
    for number in range(30):
        small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
        small.resize((64, 48), Image.Resampling.BICUBIC).save(folder / "train" / f"{number}.png")
    bank = folder / "parts.bank"
    command = [sys.executable, "-m", "anomalign"]
    subprocess.run([*command, "fit", str(bank), str(folder / "train"), "--size", "64"], check=True, capture_output=True)
    log = folder / "log"
    serve = [*command, "serve", str(bank), "--data", str(folder / "data"), "--port", "0", "--max-megapixels", "4"]
    with log.open("wb") as file:
        process = subprocess.Popen(serve, stderr=file)
    while process.poll() is None:
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("http://"):
                time.sleep(2)
                return process, line.split()[0].rstrip("/")
        time.sleep(0.1)
    raise SystemExit(log.read_text(errors="replace"))


def _memory(pid: int) -> int:
    """Bytes of the process that are in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
