"""--region and --region-mask on the command line: part of the bank, refused where it is another."""

import json

import numpy as np
import pytest
from PIL import Image

from anomalign import Bank, RegionOfInterest
from tests.cli.running import run
from tests.pictures import texture

REGION = "10,20,40,48"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("region")
    (folder / "good").mkdir()
    for seed in range(8):
        Image.fromarray(texture(seed, 60, 90)).save(folder / "good" / f"{seed:03}.png")
    mask = np.zeros((60, 90), np.uint8)
    mask[10:50, 20:60] = 255
    mask[10:20, 20:30] = 0
    Image.fromarray(mask).save(folder / "mask.png")
    done = run("fit", folder / "bank", folder / "good", "--size", 64, "--region", REGION)
    assert done.returncode == 0, done.stderr
    done = run("fit", folder / "masked", folder / "good", "--size", 64, "--region-mask", folder / "mask.png")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_bank_says_its_region(folder):
    assert json.loads(run("bank", "info", folder / "bank", "--json").stdout)["region"] == REGION
    told = json.loads(run("bank", "info", folder / "masked", "--json").stdout)["region"]
    region = RegionOfInterest.read_mask(folder / "mask.png")
    assert told == f"10,20,40,40 with mask {region.mask.sha256[:12]}"
    assert Bank.open(folder / "masked").identity.framing.region == region


def test_the_region_stays_and_another_is_refused(folder, tmp_path):
    Image.fromarray(texture(50, 60, 90)).save(tmp_path / "new.png")
    for arguments in (["--region", REGION], [], ["--size", 64]):
        done = run("fit", folder / "bank", tmp_path / "new.png", *arguments, "--no-calibrate")
        assert done.returncode == 0, done.stderr
    done = run("fit", folder / "bank", tmp_path / "new.png", "--region", "10,20,40,47")
    assert done.returncode == 2
    assert f"was made with the region of interest {REGION}, not with 10,20,40,47; leave the option out" in done.stderr
    done = run("fit", folder / "masked", tmp_path / "new.png", "--region", "10,20,40,40")
    assert done.returncode == 2
    assert "was made with the region of interest 10,20,40,40 with mask" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--region", "1,2,3"], "region is '1,2,3'; must be four whole numbers y,x,h,w"),
        (
            ["--region", "10,20,51,48"],
            "000.png: has 60 x 90 pixels (height x width), but the region of interest 10,20,51",
        ),
        (["--region", REGION, "--region-mask", "mask.png"], "give one of them"),
        (["--region-mask", "missing.png"], "missing.png: cannot be read"),
        (
            ["--region-mask", "mask.png", "--max-megapixels", "0.005"],
            "mask.png: 90x60 pixels, more than the limit of 0.005 megapixels; raise max_pixels",
        ),
    ],
)
def test_what_cannot_be_a_region_is_refused_before_a_bank_is_made(folder, tmp_path, arguments, message):
    given = [folder / one if one.endswith(".png") else one for one in arguments]
    done = run("fit", tmp_path / "bank", folder / "good", *given)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "bank").exists()


def test_an_image_of_another_size_is_named_with_its_size(folder, tmp_path):
    Image.fromarray(texture(50, 45, 90)).save(tmp_path / "flat.png")
    done = run("inspect", folder / "bank", tmp_path / "flat.png")
    assert done.returncode == 2
    assert (
        "flat.png: has 45 x 90 pixels (height x width), but the region of interest 10,20,40,48 (y,x,h,w)" in done.stderr
    )


def test_the_check_of_a_region_reads_deep_images_by_their_bits(folder, tmp_path):
    (tmp_path / "deep").mkdir()
    for seed in range(3):
        grey = np.ascontiguousarray(texture(seed, 60, 90)[:, :, 1])
        Image.fromarray(grey.astype(np.uint16) << 4).save(tmp_path / "deep" / f"{seed}.png")
    options = ["--size", 64, "--bits", 12, "--no-calibrate"]
    done = run("fit", tmp_path / "bank", tmp_path / "deep", *options, "--region-mask", folder / "mask.png")
    assert done.returncode == 0, done.stderr
    told = json.loads(run("bank", "info", tmp_path / "bank", "--json").stdout)
    assert (told["bits"], told["region"][:11]) == (12, "10,20,40,40")
    done = run("fit", tmp_path / "other", tmp_path / "deep", *options, "--region", "10,20,51,48")
    assert done.returncode == 2
    assert not (tmp_path / "other").exists()


def test_what_inspect_writes_is_in_pixels_of_the_whole_image(folder, tmp_path):
    image = texture(51, 60, 90).copy()
    image[25:40, 30:50] = np.random.default_rng(0).integers(0, 255, (15, 20, 3))
    Image.fromarray(image).save(tmp_path / "spoilt.png")
    for bank, counts in (("bank", 40 * 48), ("masked", 40 * 40 - 100)):
        done = run("inspect", folder / bank, tmp_path / "spoilt.png", "--out", tmp_path / bank, "--json")
        entry = json.loads(done.stdout)
        with Image.open(entry["map"]) as placed:
            scores = np.asarray(placed)
        assert scores.shape == (60, 90)
        assert np.isfinite(scores).sum() == counts
        with Image.open(entry["overlay"]) as overlay:
            assert overlay.size == (90, 60)
        report = (tmp_path / bank / "report.html").read_text(encoding="utf-8")
        assert "region 10,20,40," in report
