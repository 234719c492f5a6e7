"""What augmentation of a bank is worth, on test images as they are and turned.

    python benchmarks/augment.py ROOT... [--augment KINDS ...] [--turn DEGREES ...] [--markdown FILE]

Each ROOT is a category in MVTec AD's layout. Its test images and masks are turned as a part turns under a fixed camera
(`anomalign.images.orientation.Turn`), its normal images never. False alarms and defects found are at a target of 5 %.
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from anomalign import PRESETS, Framing, load_backbone
from anomalign.evaluation import auroc
from anomalign.evaluation.datasets import open_dataset
from anomalign.evaluation.run import Protocol, evaluate_category
from anomalign.images.decoding import read_image
from anomalign.images.files import find_images
from anomalign.images.orientation import Turn, turns_of

HEADING = (
    "| data | tests turned by | augment | orientations | image AUROC, stage 1 / 2 / both | pixel AUROC | AU-PRO@0.3 "
    "| false alarms | defects found | fit s | calibrate s | ms an image | kB of bank an image |"
)


def turned(root: Path, degrees: float, folder: Path) -> Path:
    """A copy of a category whose test images and masks are turned."""
    turn = Turn(degrees=degrees % 360)
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "good").symlink_to((root / "train" / "good").resolve())
    for source in find_images([root / "test", root / "ground_truth"]):
        target = (folder / source.relative_to(root)).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        is_mask = source.is_relative_to(root / "ground_truth")
        picture = turn.apply(Image.fromarray(read_image(source)).convert("L" if is_mask else "RGB"))
        (picture.point(lambda value: 255 * (value > 127)) if is_mask else picture).save(target)
    return folder


def line(name: str, degrees: float, augment: str, protocol: Protocol, root: Path) -> str:
    (category,) = open_dataset(root).categories
    result = evaluate_category(category, protocol)
    good = [image for image in result.images if not image.anomalous]
    bad = [image for image in result.images if image.anomalous]
    kinds = ("retrieval_score", "alignment_score", "image_score")
    of_kind = [auroc(*([getattr(image, kind) for image in images] for images in (good, bad))) for kind in kinds]
    stages = " / ".join(f"{value:.3f}" for value in of_kind)
    values, times = result.values.metrics, result.times
    alarms = sum(image.verdict == "anomalous" for image in good), sum(image.verdict == "anomalous" for image in bad)
    cells = [
        name, f"{degrees:g}°", augment or "none", f"{len(turns_of(augment))}", stages,
        f"{values['pixel_auroc']:.3f}", f"{values['au_pro_0.3']:.3f}",
        f"{alarms[0]}/{len(good)}", f"{alarms[1]}/{len(bad)}",
        f"{times['fit_s']:.0f}", f"{times['calibrate_s']:.0f}", f"{times['inspect_ms']:.0f}",
        f"{result.bank_bytes / result.normals / 1000:,.0f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure the effect of an augmented bank on upright and on turned test images."
    )
    parser.add_argument("roots", type=Path, nargs="+")
    parser.add_argument("--augment", nargs="+", default=["", "flip", "rotate", "flip,rotate", "rotate:10"])
    parser.add_argument("--turn", type=float, nargs="+", default=[0, 90, 10])
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    table = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)]
    print("\n".join(table), flush=True)
    for root in options.roots:
        for degrees in options.turn:
            with tempfile.TemporaryDirectory() as scratch:
                tested = turned(root, degrees, Path(scratch) / root.name) if degrees else root
                for augment in options.augment:
                    protocol = Protocol(load_backbone(), Framing(), PRESETS["default"], 0.05, augment=augment)
                    table.append(line(root.name, degrees, augment, protocol, tested))
                    print(table[-1], flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
