"""What `inspect --still` saves, and what it changes, on videos that this program makes.

    python benchmarks/still_frames.py [--seconds S] [--levels LEVEL ...] [--keep DIR] [--markdown FILE]

Four scenes of 384 x 288 px, 25 frames a second, with noise of the camera (standard deviation 2 grey levels), written
as H.264 (CRF 23): a part passes each 8 seconds in front of a still background; the same, while the light slowly changes
by 5 %; the same as the first, but in place of scratches a small dark speck lies on the background for 2 seconds between
two parts; and a conveyor that never stands still. Each third part has a scratch, or a speck behind it. The bank is made
from a video without scratches and specks.
Times are of the processor, decoding included, in one run: each level beside level 0, at which all frames are computed.
`--keep` leaves the videos there, to look at.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from made_video import write_video
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from anomalign import Bank, Detector, Framing, fit_frame
from anomalign.detection.frames import Events, inspect_frames
from anomalign.detection.inspection import Inspection
from anomalign.images.video import Every
from anomalign.images.video_frames import list_frames
from anomalign.images.video_stream import read_frames

WIDTH, HEIGHT, RATE = 384, 288, 25
ENCODER = {"crf": "23", "preset": "veryfast"}
NOISE = 2.0
PERIOD_S, PASSAGE_S, SPECK_S = 8.0, 3.0, 2.0
SCENES = ("a part passes", "a part passes, slow light", "a part passes, then a speck", "conveyor")
HEADING = (
    "| scene | `--still` | frames computed | processor time | anomalous frames | events | verdicts that differ | "
    "events that lie elsewhere |"
)


def background(seed: int, width: int) -> Image.Image:
    """A surface with a grain and bars."""
    grain = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (HEIGHT, width), np.uint8))
    grain = grain.filter(ImageFilter.GaussianBlur(3)).point(lambda value: 90 + (value - 128) * 1.5)
    draw = ImageDraw.Draw(grain)
    for left in range(0, width, 96):
        draw.rectangle((left, 30, left + 6, HEIGHT - 30), fill=60)
    return grain


def draw_part(image: Image.Image, x: float, *, scratched: bool) -> None:
    """Draw a round part with a ring and a bore, its centre at column `x`."""
    draw = ImageDraw.Draw(image)
    y = HEIGHT / 2
    for radius, grey in ((60, 185), (44, 150), (40, 190), (12, 40)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=grey)
    if scratched:
        draw.line((x - 34, y + 14, x + 4, y + 30), fill=95, width=3)


def frames(scene: str, seconds: float, seed: int, *, scratches: bool) -> Iterator[NDArray[np.uint8]]:
    """Frames of a scene, RGB."""
    rng = np.random.default_rng(seed)
    moves = scene == "conveyor"
    ground = background(1, WIDTH * (3 if moves else 1))
    for number in range(round(seconds * RATE)):
        now = number / RATE
        if moves:
            shift = int(now * 60) % 768  # px; the pattern repeats, so that parts lie at the same places of it
            image = Image.new("L", (WIDTH, HEIGHT))
            for left in (-shift, 768 - shift):
                image.paste(ground.crop((0, 0, 768, HEIGHT)), (left, 0))
            for part in range(int(now * 60) // 192 - 1, int(now * 60) // 192 + 4):
                draw_part(image, part * 192 + 96 - now * 60, scratched=scratches and part % 9 == 4)
        else:
            image = ground.copy()
            part, phase = divmod(now, PERIOD_S)
            is_bad, speck = scratches and int(part) % 3 == 1, "speck" in scene
            if phase < PASSAGE_S:
                x = -60 + (WIDTH + 120) * phase / PASSAGE_S
                draw_part(image, x, scratched=is_bad and not speck)
            elif is_bad and speck and 5 <= phase < 5 + SPECK_S:
                x, y = 60 + int(part) * 37 % 280, 80 + int(part) * 53 % 140
                ImageDraw.Draw(image).ellipse((x - 4, y - 4, x + 4, y + 4), fill=55)
        light = 1 + 0.05 * np.sin(2 * np.pi * now / 30) if "light" in scene else 1.0
        values = np.asarray(image, np.float32) * light + rng.normal(0, NOISE, (HEIGHT, WIDTH))
        yield np.repeat(np.clip(values, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@dataclass(frozen=True)
class Outcome:
    """What a level of `--still` gives."""

    computed: int
    seconds: float
    verdicts: list[str]
    events: list[tuple[float, float]]

    @classmethod
    def of(cls, detector: Detector, video: Path, still: float) -> "Outcome":
        verdicts, events, computed, joined = [], [], 0, Events()
        begin = time.process_time()
        for frame in inspect_frames(detector, read_frames(video), still=still):
            assert isinstance(frame.result, Inspection), frame.result
            computed += not frame.is_repeat
            verdicts.append(frame.result.verdict)
            events.append(joined.add(frame.seconds, frame.result))
        events.append(joined.finish())
        found = [(event.start, event.end) for event in events if event]
        return cls(computed, time.process_time() - begin, verdicts, found)


def elsewhere(events: list[tuple[float, float]], others: list[tuple[float, float]]) -> int:
    """Number of events of either list that no event of the other one overlaps."""

    def missed(some: list[tuple[float, float]], of: list[tuple[float, float]]) -> int:
        return sum(not any(start <= end_2 and start_2 <= end for start_2, end_2 in of) for start, end in some)

    return missed(events, others) + missed(others, events)


def rows(scene: str, seconds: float, levels: list[float], folder: Path) -> Iterator[str]:
    stem = scene.replace(",", "").replace(" ", "_")
    normal = write_video(folder / f"{stem}_normal.mp4", frames(scene, seconds, 2, scratches=False), RATE, ENCODER)
    video = write_video(folder / f"{stem}.mp4", frames(scene, seconds, 3, scratches=True), RATE, ENCODER)
    names = [Path(name) for name in list_frames(normal, Every(7))]  # parts at all places: 7 divides no period
    bank = Bank.create(folder / f"{stem}.bank", framing=fit_frame(Framing(), names))
    bank.add(names)
    detector = Detector(bank)
    detector.calibrate()
    full = Outcome.of(detector, video, 0)
    for level in levels:
        one = Outcome.of(detector, video, level) if level else full
        differ = sum(a != b for a, b in zip(one.verdicts, full.verdicts, strict=True))
        cells = [scene, f"{level:g}", f"{one.computed / len(one.verdicts):.1%} of {len(one.verdicts)}"]
        cells += [f"{one.seconds / full.seconds:.2f}", str(one.verdicts.count("anomalous")), str(len(one.events))]
        cells += [str(differ), str(elsewhere(one.events, full.events))]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--levels", type=float, nargs="+", default=[0, 4, 16])
    parser.add_argument("--keep", type=Path, metavar="DIR")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    table = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)]
    print("\n".join(table), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for scene in SCENES:
            for row in rows(scene, options.seconds, options.levels, folder):
                table.append(row)
                print(row, flush=True)
                if options.markdown:
                    options.markdown.write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
