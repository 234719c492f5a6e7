"""The examples of docs/service.md, run unchanged except for port, bank and place in the image."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from anomalign.service.api import operations
from tests.service.api.live_service import defect, good

PAGE = (Path(__file__).parents[3] / "docs" / "service.md").read_text(encoding="utf-8")
LINES = re.findall(r"^curl .*$", PAGE, flags=re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples are for curl, which is not installed")
def test_the_examples_over_rest(service, client, tmp_path):
    (tmp_path / "000.png").write_bytes(defect(1))
    (tmp_path / "001.png").write_bytes(good(101))
    before = client.get("/api/banks/parts").json()["images"]
    proposal = "ID"
    assert len(LINES) == 10
    for line in LINES:
        here = (
            line.replace(":8000", f":{service.port}")
            .replace("/screws/", "/parts/")
            .replace("/ID/", f"/{proposal}/")
            .replace("y=120&x=88", "y=12&x=8")
            .replace("box=0,0,512,2048", "box=0,0,32,48")
        )
        words = shlex.split(here, comments=True)
        result = subprocess.run([*words, "--fail-with-body", "-sS"], capture_output=True, cwd=tmp_path, check=False)
        assert result.returncode == 0, (line, result.stdout, result.stderr)
        if "/proposals" in line and "confirm" not in line:
            proposal = json.loads(result.stdout)["id"]
    with Image.open(tmp_path / "part.jpg") as part:
        assert part.size == (48, 32)
    assert (tmp_path / "map.tiff").read_bytes()[:2] == b"II"
    assert client.get("/api/banks/parts").json()["images"] == before + 1


def test_a_full_disk_is_not_ready(client, monkeypatch):
    assert client.get("/readyz").status_code == 200
    monkeypatch.setattr(operations, "_MIN_FREE_BYTES", 2**80)
    answer = client.get("/readyz")
    assert (answer.status_code, "the disk is full" in answer.text) == (503, True)
