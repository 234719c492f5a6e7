"""Make docs/timeline.png: the timeline of a made video, with the images of `readme_picture.py`.

.venv/bin/python tools/timeline_picture.py        (needs the extra `dev` and chromium)
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
from playwright.sync_api import sync_playwright
from readme_picture import SIDE, crops, with_coin

from anomalign import Bank, Detector

TARGET = Path(__file__).parents[1] / "docs" / "timeline.png"
RATE = 10
COINS = (range(90, 103), range(230, 236))  # frames that show a coin


def write_video(path: Path) -> Path:
    """A camera that looks at another part of the wall with each frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for number, image in enumerate(crops(320, (0, 0, 512, 400), seed=1)):
            shown = with_coin(image, 90, 120, 1.0) if any(number in coin for coin in COINS) else image
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(shown), format="rgb24")))
        container.mux(stream.encode())
    return path


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank.create(Path(folder) / "wall.bank")
        bank.add(crops(160, (0, 0, 512, 400), seed=0))
        Detector(bank).calibrate()
        video = write_video(Path(folder) / "wall.mp4")
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "anomalign", "inspect", bank.path.name, video.name, "--out", out.name]
        subprocess.run(command, check=False, cwd=folder)  # exit code 1: some frames are anomalous
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1120, "height": 600})
            page.goto((out / "videos" / "wall.html").as_uri())
            page.screenshot(path=TARGET)
            browser.close()
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
