"""What is said of memory beforehand is kept."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from anomalign import PRESETS, Framing, InputError, fit_frame, load_backbone
from anomalign.bank.creation import identity_of
from anomalign.bank.identity import Identity
from anomalign.detection.footprint import check_memory, estimate
from tests.cli.running import run
from tests.pictures import texture

RUN = """
import json, sys, threading, time
from pathlib import Path
from anomalign import Bank, Detector, Framing, fit_frame

peak = 0

def memory():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

def watch():
    global peak
    while True:
        peak = max(peak, memory())
        time.sleep(0.005)

threading.Thread(target=watch, daemon=True).start()
files = sorted(Path(sys.argv[2]).iterdir())
bank = Bank.create(sys.argv[1], framing=fit_frame(Framing(int(sys.argv[3])), files))
bank.add(files[1:])
fit, peak = peak, 0
detector = Detector(Bank.open(sys.argv[1]))
detector.calibrate()
detector.inspect(files[0])
print(json.dumps({"fit": fit, "inspect": peak}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(("size", "height", "width"), [(224, 224, 300), (448, 448, 1344)])
def test_memory_stays_below_the_estimate(tmp_path, size, height, width):
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(9):
        Image.fromarray(texture(seed, height, width)).save(folder / f"{seed}.png")
    command = [sys.executable, "-c", RUN, str(tmp_path / "bank"), str(folder), str(size)]
    taken = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    framing = fit_frame(Framing(size), sorted(folder.iterdir()))
    said = estimate(identity_of(load_backbone(), framing), PRESETS["default"], height, width)
    assert said.fit / 3 < taken["fit"] <= said.fit
    assert said.inspect / 3 < taken["inspect"] <= said.inspect


def test_the_size_that_is_named_fits(tmp_path):
    backbone, files = load_backbone(), []
    for seed in range(2):
        files.append(tmp_path / f"{seed}.png")
        Image.fromarray(np.zeros((1000, 2000), np.uint8)).save(files[-1])
    most = 500_000_000

    def identity(size: int) -> Identity:
        return identity_of(backbone, fit_frame(Framing(size), files))

    with pytest.raises(InputError, match=r"at a size of 1024 px, .* a size of (\d+) px would fit") as error:
        check_memory(identity(1024), PRESETS["default"], 1000, 2000, most)
    named = int(str(error.value).split("a size of ")[2].split()[0])
    assert named >= 256
    check_memory(identity(named), PRESETS["default"], 1000, 2000, most)
    with pytest.raises(InputError, match="would be needed"):
        check_memory(identity(named + 32), PRESETS["default"], 1000, 2000, most)
    with pytest.raises(InputError, match="no size would fit"):
        check_memory(identity(1024), PRESETS["default"], 1000, 2000, 1_000_000)


def test_fit_refuses_before_anything_is_made(tmp_path):
    Image.fromarray(texture(0)).save(tmp_path / "0.png")
    result = run("fit", tmp_path / "bank", tmp_path / "0.png", "--max-bytes", 200_000_000)
    assert result.returncode == 2
    assert "max_bytes is 200000000; at a size of 224 px" in result.stderr
    assert not (tmp_path / "bank").exists()
