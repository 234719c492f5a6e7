"""What the README shows runs as it is shown."""

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.running import run
from tests.pictures import texture

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MARK = "<!-- run by tests/test_readme.py -->\n"


def blocks(language):
    found = re.findall(rf"{re.escape(MARK)}```{language}\n(.*?)```", README, re.DOTALL)
    assert found, f"README has no {language} example that is marked to be run"
    return found


def mask(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((64, 64), np.uint8)
    pixels[20:40, 20:40] = 255
    Image.fromarray(pixels).save(path)


@pytest.fixture
def screws(tmp_path, monkeypatch):
    """The folders that the examples name, with small textures in them; 120 normals carry a rate of 1 %."""
    for folder, seeds in (
        ("train/good", range(120)),
        ("test/good", range(200, 202)),
        ("test/scratch_head", [300, 301]),
    ):
        (tmp_path / "screw" / folder).mkdir(parents=True)
        for number, seed in enumerate(seeds):
            image = texture(seed).copy()
            if folder == "test/scratch_head":
                image[20:40, 20:40] = np.random.default_rng(seed).integers(0, 255, (20, 20, 3))
                mask(tmp_path / "screw" / "ground_truth" / "scratch_head" / f"{number:03}_mask.png")
            Image.fromarray(image).save(tmp_path / "screw" / folder / f"{number:03}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_example(screws):
    for code in blocks("python"):
        subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_command_line_examples(screws, monkeypatch):
    monkeypatch.setattr(
        import_module("anomalign.cli.check"), "_IMAGES", 4
    )  # and not 40, into each of which 20 defects are drawn
    for block in blocks("console"):
        for line in block.splitlines():
            assert line.startswith("$ anomalign ")
            done = run(*shlex.split(line)[2:])
            assert done.returncode in ((0, 1) if "inspect" in line else (0,)), done.stderr
    assert (screws / "results" / "report.html").exists()


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "benchmarks/*.md"]


@pytest.mark.parametrize("page", sorted(str(p.relative_to(ROOT)) for glob in PAGES for p in ROOT.glob(glob)))
def test_links_lead_somewhere(page):
    path = ROOT / page
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", path.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        linked = path.parent / target if target else path
        assert linked.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(linked), f"{page}: {target}#{anchor}"
