"""``inspect --strip``: regions in pixels of the strip, on standard output and in a table."""

import csv
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, Detector, Framing, Inspection
from anomalign.detection import strip as strips
from anomalign.detection.strip import StripRegion, join_strip
from tests.cli.running import run
from tests.pictures import texture

SIDE, OVERLAP, COUNT = 64, 16, 12
STEP = SIDE - OVERLAP
BROKEN = 8
ALONG_X = "--strip", OVERLAP, "--along", "x"


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_backbone):
    """A bank, and frames along x of two strips: one with marks across cuts and a broken frame, one without."""
    folder = tmp_path_factory.mktemp("strips")
    plain = np.tile(texture(5, SIDE, STEP), (1, COUNT + 1, 1))
    noise = [np.zeros((SIDE, SIDE, 3)), *np.random.default_rng(0).normal(0, 4, (30, SIDE, SIDE, 3))]
    bank = Bank.create(folder / "bank", tiny_backbone, Framing(2 * SIDE))
    bank.add([np.clip(plain[:, :SIDE] + one, 0, 255).astype(np.uint8) for one in noise])
    marked = plain.copy()
    for x, width in [(46, 20), (480, 16)]:  # from frame 0 to 1, and from 9 to 10
        marked[24:36, x : x + width] = 255, 0, 255
    for name, strip in (("a", marked), ("b", plain)):
        for number in range(COUNT):
            save(strip[:, number * STEP : number * STEP + SIDE], folder / "web" / name / f"{number}.png")
    (folder / "web" / "a" / f"{BROKEN}.png").write_bytes(b"broken")
    return folder


def frames_of(folder, name):
    return [folder / "web" / name / f"{number}.png" for number in range(COUNT)]


def inspect(folder, *arguments):
    return run("inspect", folder / "bank", *arguments, "--target-fpr", 0.05)


@pytest.fixture(scope="module")
def done(folder):
    return inspect(folder, folder / "web", *ALONG_X, "--json", "--out", folder / "out")


@pytest.fixture(scope="module")
def rows(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_frames_are_in_natural_order_and_regions_are_those_of_the_joined_strip(folder, rows):
    frames = frames_of(folder, "a")
    assert [row["path"] for row in rows if "path" in row] == [str(path) for path in [*frames, *frames_of(folder, "b")]]
    results = list(Detector(Bank.open(folder / "bank"), target_fpr=0.05).inspect_many(frames))
    expected = list(join_strip(results, OVERLAP, "x"))
    of_strip = [row for row in rows if row.get("strip") == str(folder / "web" / "a")]
    assert len(of_strip) == len(expected)
    for row, one in zip(of_strip, expected, strict=True):
        told = row["region" if isinstance(one, StripRegion) else "gap"]
        assert told == one.to_dict() | {"paths": [str(frames[number]) for number in one.frames]}
    boxes = [row["region"]["box"] for row in of_strip if "region" in row]
    for x in (56, 488):
        assert sum(top <= 30 < bottom and left <= x < right for top, left, bottom, right in boxes) == 1
    assert sum(one.region_count for one in results if isinstance(one, Inspection)) > len(boxes)


def test_a_region_is_told_once_no_frame_can_add_to_it_and_before_a_new_strip_begins(rows):
    kinds = [row.get("strip") or str(Path(row["path"]).parent) for row in rows]
    assert kinds == sorted(kinds)
    first = next(number for number, row in enumerate(rows) if "region" in row)
    assert Path(rows[first - 1]["path"]).name == "1.png"


def test_a_frame_that_cannot_be_read_is_a_gap_in_its_place(done, rows):
    (gap,) = [row["gap"] for row in rows if "gap" in row]
    assert gap["box"] == [0, BROKEN * STEP + OVERLAP, SIDE, (BROKEN + 1) * STEP]
    assert gap["frames"] == [BROKEN, BROKEN]
    assert done.returncode == 2


def test_the_table_has_a_line_for_each(folder, rows):
    with (folder / "out" / "strips.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line, row in zip(lines, [row for row in rows if "strip" in row], strict=True):
        kind = "region" if "region" in row else "gap"
        values = row[kind]
        assert (line["strip"], line["kind"]) == (row["strip"], kind)
        assert [int(line[side]) for side in ("top", "left", "bottom", "right")] == values["box"]
        assert [line["first_frame"], line["last_frame"]] == values["paths"]
        if kind == "region":
            assert [int(line[name]) for name in ("peak_y", "peak_x", "area_px")] == [*values["peak"], values["area_px"]]
            assert [float(line[f"peak_{name}"]) for name in ("p_value", "place_score")] == [
                values["p_value"],
                values["place_score"],
            ]


def test_lines_for_people_name_the_place_on_the_strip_and_the_frames(folder):
    web = folder / "web" / "a"
    done = inspect(folder, web, *ALONG_X)
    lines = done.stdout.splitlines()
    regions = [line for line in lines if line.startswith("region")]
    assert any("(0.png to 1.png)" in line for line in regions)
    assert any("(9.png to 10.png)" in line for line in regions)
    gap = f"{web} from 0,{BROKEN * STEP + OVERLAP} ({SIDE - 2 * OVERLAP}x{SIDE} px)  ({BROKEN}.png)"
    assert [line for line in lines if line.startswith("not seen")] == [f"not seen   {gap}"]
    assert f"regions of strips: {len(regions)}, 1 part that no frame shows" in done.stderr


def test_verdicts_and_exit_codes_are_those_without_strip(folder):
    for frames, code in ((frames_of(folder, "a")[:BROKEN], 1), (frames_of(folder, "b"), 0)):
        plain, joined = inspect(folder, *frames), inspect(folder, *frames, *ALONG_X)
        assert (plain.returncode, joined.returncode) == (code, code)
        lines = joined.stdout.splitlines()
        assert [line for line in lines if not line.startswith("region")] == plain.stdout.splitlines()


def test_a_later_run_without_strip_leaves_no_table_of_an_earlier_one(folder, tmp_path):
    frame, table = folder / "web" / "b" / "1.png", tmp_path / "strips.csv"
    inspect(folder, frame, "--out", tmp_path, *ALONG_X)
    assert table.read_text().startswith("strip,kind,")
    inspect(folder, frame, "--out", tmp_path)
    assert not table.exists()
    table.write_text("of somebody else")
    inspect(folder, frame, "--out", tmp_path)
    assert table.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strip", OVERLAP], "2.png: 64 x 40 px, but the frames before have 64 x 64 px"),
        (["--strip", 64], "1.png: 64 px along the strip; the overlap, 64 px, must be smaller"),
        (["--strip", 8, "--along", "z"], "--along is 'z'; must be y or x"),
    ],
)
def test_frames_that_make_no_strip_are_an_error_that_names_the_file(folder, tmp_path, options, message):
    save(texture(5, SIDE, SIDE), tmp_path / "1.png")
    save(texture(5, SIDE, 40), tmp_path / "2.png")
    done = inspect(folder, tmp_path, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_last_frame_may_be_shorter(folder, tmp_path):
    frames = frames_of(folder, "a")[:2]
    save(np.asarray(Image.open(frames[1]))[:, : SIDE // 2], tmp_path / "1.png")
    (tmp_path / "0.png").write_bytes(frames[0].read_bytes())
    done = inspect(folder, tmp_path, *ALONG_X)
    assert (done.returncode, "regions of strips" in done.stderr) == (1, True)
    save(np.asarray(Image.open(frames[1])), tmp_path / "2.png")
    done = inspect(folder, tmp_path, *ALONG_X)
    assert done.returncode == 2
    assert "1.png: 64 x 32 px, but the frames before have 64 x 64 px" in done.stderr


@pytest.mark.parametrize("is_waiting", [True, False], ids=["while it waits for a frame", "while it joins frames"])
def test_ctrl_c_tells_the_regions_that_are_open(folder, tmp_path, monkeypatch, is_waiting):
    """The mark from column 46 to 65 is open after frame 0, which ends at 63; then comes the signal."""
    frames = frames_of(folder, "a")[:BROKEN]
    detector = Detector(Bank.open(folder / "bank"), target_fpr=0.05)
    results = list(detector.inspect_many(frames, keep_images=True))
    (expected,) = join_strip(results[:1], OVERLAP, "x")

    def interrupted(*_, **__):
        yield results[0]
        if is_waiting:
            signal.raise_signal(signal.SIGINT)
        pytest.fail("the run went on")

    def interrupting(*arguments):
        if not is_waiting:
            signal.raise_signal(signal.SIGINT)
        return add(*arguments)

    add = strips._Strip.add
    monkeypatch.setattr(strips._Strip, "add", interrupting)
    monkeypatch.setattr(Detector, "inspect_many", interrupted)
    done = inspect(folder, *frames, *ALONG_X, "--json", "--out", tmp_path)
    assert done.returncode == 130
    told = [row["region"] for row in map(json.loads, done.stdout.splitlines()) if "region" in row]
    assert told == [expected.to_dict() | {"paths": [str(frames[0])] * 2}]
    assert "regions of strips: 1" in done.stderr
    assert "interrupted: images not listed were not inspected" in done.stderr
    assert len((tmp_path / "strips.csv").read_text().splitlines()) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
