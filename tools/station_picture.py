"""Make docs/station.png: a screenshot of the operator's station with the images of `readme_picture.py`.

.venv/bin/python tools/station_picture.py        (needs the extra `dev` and chromium)
"""

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import sync_playwright
from readme_picture import crops, with_coin

from anomalign import Bank, Detector

TARGET = Path(__file__).parents[1] / "docs" / "station.png"


def inspect(address: str) -> int:
    """Send 12 images, two of them with a coin; id of the first of those."""
    images = crops(12, (0, 0, 512, 512), seed=1)
    images[3] = with_coin(images[3], 90, 120, 1.0)
    images[8] = with_coin(images[8], 30, 40, 0.7)
    files = []
    for number, image in enumerate(images):
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        files.append(("files", (f"wall_{number:02}.png", stream.getvalue(), "image/png")))
    answer = httpx.post(f"{address}/api/banks/wall/inspections", files=files, timeout=120).raise_for_status()
    return int(answer.json()["results"][3]["id"])


def picture(address: str, record: int) -> None:
    """Draw the page of one inspection, the worst place pinned."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 860})
        page.goto(f"{address}/inspections/{record}")
        page.wait_for_timeout(2000)  # pictures and matches
        page.screenshot(path=TARGET)
        browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank.create(Path(folder) / "wall.bank")
        source = Path(folder) / "normals"
        source.mkdir()
        for number, crop in enumerate(crops(120, (0, 0, 512, 400), seed=0)):
            Image.fromarray(crop).save(source / f"normal_{number:03}.png")
        bank.add(source)
        Detector(bank, target_fpr=0.02).calibrate()
        command = [sys.executable, "-m", "anomalign", "serve", str(bank.path), "--data", f"{folder}/data"]
        command += ["--port", "0", "--target-fpr", "0.02"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr
            address = next(line.split("/  ")[0] for line in process.stderr if line.startswith("http://"))
            picture(address, inspect(address))
        finally:
            process.terminate()
            process.communicate(timeout=60)
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
