"""A bank of 100,000 images: opening it, adding one, a query, calibration.

    python benchmarks/large_bank.py [--images 100000] [--folder DIR] [--json FILE]

Catalogue, previews, pooled vectors and moments are real in size and drawn at random in value; the levels, the bulk of a
bank's bytes, are holes in sparse files, as nothing measured here but stage 2 reads them. Stage 2 costs the same in a
bank of any size: it is timed on images of a texture, with ten neighbours, and what calibration's 5,000 images would
take is worked out from that.
"""

import argparse
import json
import shutil
import tempfile
import time
import uuid
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from anomalign import Bank, Detector, Settings
from anomalign.bank import catalogue, edits, segments
from anomalign.bank.catalogue import NewImage, Segment
from anomalign.bank.identity import Identity
from anomalign.detection.normal_scores import sample_rows
from anomalign.retrieval import ImageSearch

TOGETHER = 25  # images a segment, as fitting writes them
PREVIEW = b"\xff\xd8" + bytes(6000)
RANK = 40  # directions in which the images differ most


def build(path: Path, images: int) -> Bank:
    bank = Bank.create(path)
    identity = bank.identity
    rng = np.random.default_rng(0)
    mixing = {n: rng.normal(size=(RANK, n)) for n in (identity.pooled_length, identity.moments_length)}
    for start in range(0, images, 40 * TOGETHER):
        with catalogue.connect(path) as connection:
            for first in range(start, min(start + 40 * TOGETHER, images), TOGETHER):
                count = min(TOGETHER, images - first)
                vectors = {
                    n: (rng.normal(size=(count, RANK)) @ mixing[n] + 0.3 * rng.normal(size=(count, n))).astype(
                        np.float32
                    )
                    for n in mixing
                }
                rows = [
                    NewImage(f"image{i}.png", f"{i:064x}", 1000, 1000, PREVIEW) for i in range(first, first + count)
                ]
                segment = sparse_segment(path, identity, vectors, count)
                edits.insert(connection, edits.begin_version(connection), segment, rows, range(len(rows)))
    return Bank.open(path)


def sparse_segment(path: Path, identity: Identity, vectors: dict, count: int) -> Segment:
    """A segment whose levels and norms are holes."""
    L = len(identity.shapes)
    shapes = {f"level{i}": ("F16", 2, shape) for i, shape in enumerate(identity.shapes, 1)}
    shapes |= {"pooled": ("F32", 4, (identity.pooled_length,)), "moments": ("F32", 4, (identity.moments_length,))}
    shapes |= {f"norms_{h}x{w}": ("F32", 4, (L, h, w)) for h, w in dict.fromkeys(s[:2] for s in identity.shapes)}
    entries, end = {}, 0
    for name, (dtype, size, shape) in shapes.items():
        begin, end = end, end + count * size * int(np.prod(shape))
        entries[name] = {"dtype": dtype, "shape": [count, *shape], "data_offsets": [begin, end]}
    head = json.dumps(entries).encode()
    head += b" " * (-len(head) % 8)
    file = f"{uuid.uuid4().hex}.safetensors"
    with (path / segments.FOLDER / file).open("wb") as stream:
        stream.write(len(head).to_bytes(8, "little") + head)
        for name, length in (("pooled", identity.pooled_length), ("moments", identity.moments_length)):
            stream.seek(8 + len(head) + entries[name]["data_offsets"][0])
            stream.write(vectors[length].tobytes())
        stream.truncate(8 + len(head) + end)
    return Segment(file, 8 + len(head) + end, "0" * 64)


def picture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (320, 320, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)))


def timed(times: dict, name: str, function):
    start = time.perf_counter()
    result = function()
    times[name] = time.perf_counter() - start
    print(f"{name:<66} {times[name]:9.3f} s", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure a bank of 100,000 images: opening, adding one image, one query, calibration."
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(dir=options.folder))
    times: dict[str, float] = {}
    try:
        timed(times, "build (not a measure of fitting)", lambda: build(scratch / "bank", options.images))
        size = sum(file.stat().st_size for file in (scratch / "bank").rglob("*") if file.is_file())
        print(f"{options.images:,} images, {size / 1e9:.1f} GB if its levels were no holes")
        bank = timed(times, "open", lambda: Bank.open(scratch / "bank"))
        _ = bank.backbone.layout(224, 224)
        timed(times, "read pooled vectors", lambda: bank.vectors("pooled"))
        timed(times, "read moments", lambda: bank.vectors("moments"))
        for descriptor in ("level_moments", "pooled"):
            search = timed(times, f"{descriptor}: prepare", lambda d=descriptor: ImageSearch(bank, d))
            pyramid = bank.gallery([7])[0]
            queries = timed(times, f"{descriptor}: 20 queries, one by one", lambda s=search, p=pyramid: [
                s.search([p], 10) for _ in range(20)
            ])  # fmt: skip
            assert queries[0].index[0, 0] == 7
            rows = sample_rows(bank.images, Settings().calibration_size)
            timed(times, f"{descriptor}: leave-one-out of {len(rows):,} images, stage 1", lambda s=search, r=rows: (
                s.leave_out(r, 10)
            ))  # fmt: skip
            del search
        timed(times, "add one image", lambda: bank.add(picture(0)))
        timed(times, "remove it", lambda: bank.remove(bank.images[-1].id))
        small = Bank.create(scratch / "small")
        small.add([picture(seed) for seed in range(40)])
        Detector(small).inspect(picture(99))  # compiles, or loads what is compiled
        timed(times, "stage 2 of 40 images of a texture", lambda: Detector(small, Settings(sigma_px=3.9)).calibrate())
        each = times["stage 2 of 40 images of a texture"] / 40
        print(f"so calibration's stage 2: {each * Settings().calibration_size:.0f} s for 5,000 images, once")
    finally:
        shutil.rmtree(scratch)
    if options.json:
        options.json.write_text(json.dumps(times, indent=1))


if __name__ == "__main__":
    main()
