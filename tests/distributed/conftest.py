from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing, load_backbone
from tests import tiny
from tests.pictures import save, texture


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A folder with a calibrated bank and a folder of images: normal, defective, one twice, and one that is broken."""
    place = tmp_path_factory.mktemp("distributed")
    backbone = load_backbone(tiny.write(place / "tiny.onnx"))
    bank = Bank.create(place / "normal.bank", backbone, Framing(64))
    bank.add(save(place / "normal", 24))
    Detector(bank).calibrate()
    images = place / "images"
    images.mkdir()
    for seed in range(60):
        image = texture(500 + seed).copy()
        if seed % 7 == 3:
            image[20:40, 24:48] = np.random.default_rng(seed).integers(0, 255, (20, 24, 3))
        Image.fromarray(image).save(images / f"{seed:03}.png")
    (images / "030.png").write_bytes(b"broken")
    (images / "060.png").write_bytes((images / "000.png").read_bytes())
    return place


@pytest.fixture(scope="session")
def images(place) -> list[Path]:
    return sorted((place / "images").iterdir())


@pytest.fixture
def detector(place):
    return Detector(Bank.open(place / "normal.bank"))
