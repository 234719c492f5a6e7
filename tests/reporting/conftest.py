"""One small product for all tests of this folder: textured plates, some with a bright patch."""

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageFilter

from anomalign.bank import Bank
from anomalign.detection.detector import Detector
from anomalign.detection.inspection import Inspection
from anomalign.images.decoding import read_image
from anomalign.images.sources import Failure
from anomalign.reporting import Report

HEIGHT, WIDTH = 120, 160
PATCH = (84, 36)  # centre of the defect: y, x
HOSTILE = '<script>alert("1")</script>&\'.png'


def plate(seed: int, defect: bool = False) -> Image.Image:
    noise = np.random.default_rng(seed).integers(60, 196, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    image = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3))
    if defect:
        y, x = PATCH
        image.paste((250, 30, 30), (x - 10, y - 10, x + 10, y + 10))
    return image


@dataclass(frozen=True)
class Run:
    detector: Detector
    inspections: list[Inspection]
    failures: list[Failure]

    def anomalous(self) -> list[Inspection]:
        return [i for i in self.inspections if i.verdict == "anomalous"]

    def report(self, most_detailed: int = 100) -> Report:
        report = Report(self.detector, "Plates <b>", most_detailed)
        for inspection in self.inspections:
            report.add(inspection, read_image(inspection.name) if inspection.verdict == "anomalous" else None)
        for failure in self.failures:
            report.fail(failure)
        return report


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("plates")
    for seed in range(24):
        plate(seed).save(folder / f"normal_{seed:02}.png")
    bank = Bank.create(folder / "bank")
    bank.add(sorted(folder.glob("normal_*.png")))
    files = [folder / "bad_0.png", folder / HOSTILE.replace("/", "∕"), folder / "bad_2.png", folder / "fine.png"]
    for seed, file in enumerate(files, 100):
        plate(seed, defect=file.name != "fine.png").save(file)
    torn = folder / "torn<i>.png"
    torn.write_bytes(b"no image")
    detector = Detector(bank, target_fpr=0.05)
    results = list(detector.inspect_many([*files, torn]))
    return Run(
        detector,
        [r for r in results if isinstance(r, Inspection)],
        [r for r in results if isinstance(r, Failure)],
    )


@pytest.fixture(scope="session")
def html(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    run.report().write(path)
    return path.read_text("utf-8")
