"""The examples of docs/regions.md run as they are shown; of supervision, which is not needed, a stand-in is used."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Framing
from tests.pictures import texture

PAGE = (Path(__file__).parents[1] / "docs" / "regions.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- run by tests/test_regions_page.py -->\n```python\n(.*?)```", PAGE, re.DOTALL)


class Detections:
    """What supervision's class of this name takes and checks."""

    def __init__(self, xyxy, mask):
        n = len(xyxy)
        assert xyxy.shape == (n, 4)
        assert (mask.ndim, len(mask), mask.dtype) == (3, n, bool)
        self.xyxy, self.mask = xyxy, mask


@pytest.mark.parametrize("defect", [True, False])
def test_the_examples(tmp_path, monkeypatch, tiny_backbone, defect):
    monkeypatch.chdir(tmp_path)
    bank = Bank.create("screws.bank", tiny_backbone, Framing(64))
    bank.add([texture(seed) for seed in range(24)])
    image = texture(100 if defect else 3).copy()
    if defect:
        image[10:20, 40:60] = 255
    (tmp_path / "screw" / "test" / "scratch_head").mkdir(parents=True)
    Image.fromarray(image).save(tmp_path / "screw" / "test" / "scratch_head" / "000.png")
    monkeypatch.setitem(sys.modules, "supervision", types.SimpleNamespace(Detections=Detections))
    monkeypatch.setattr(Bank, "open", lambda path: bank)  # by its name it would look for the backbone's file
    names = {}
    assert len(BLOCKS) == 2
    for block in BLOCKS:
        exec(block, names)
    inspection, detections = names["inspection"], names["detections"]
    assert bool(inspection.regions) == defect
    assert (tmp_path / "000_heat.png").exists()
    for region, box, mask in zip(inspection.regions, detections.xyxy, detections.mask, strict=True):
        left, top, right, bottom = box.astype(int)
        assert (top, left, bottom, right) == region.box
        assert mask.sum() == mask[top:bottom, left:right].sum() == region.area_px
        assert np.array_equal(mask, names["labels"] == 1 + inspection.regions.index(region))
