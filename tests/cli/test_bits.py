"""--bits on the command line: part of the bank, found out where it is not given, and said."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.cli.running import run
from tests.pictures import texture


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of a 12-bit camera in 16-bit files, and the same in 8 bits."""
    folder = tmp_path_factory.mktemp("bits")
    for seed in range(6):
        grey = np.ascontiguousarray(texture(seed)[:, :, 1])
        for bits, pixels in ((8, grey), (12, grey.astype(np.uint16) << 4)):
            part = folder / str(bits) / ("new" if seed == 5 else "good")
            part.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(part / f"{seed}.png")
    return folder


def fit(folder, bank, bits, *options):
    return run("fit", folder / bank, folder / bits / "good", "--size", 64, "--no-check", *options)


def test_what_is_found_out_is_said_and_kept(folder):
    guessed, said, eight = fit(folder, "a", "12"), fit(folder, "b", "12", "--bits", 12), fit(folder, "c", "8")
    line = "16-bit images are read as 12 bits: a guess by the largest value of 5 images"
    assert line in guessed.stderr
    assert "--bits says otherwise" in guessed.stderr
    assert "16-bit" not in said.stderr + eight.stderr
    told = [json.loads(run("bank", "info", folder / bank, "--json").stdout)["bits"] for bank in "abc"]
    assert told == [12, 12, None]
    found = [
        json.loads(run("inspect", folder / bank, folder / bits / "new", "--json").stdout)
        for bank, bits in (("a", "12"), ("b", "12"), ("c", "8"))
    ]
    assert len({result["image_score"] for result in found}) == 1


def test_another_number_is_refused(folder):
    fit(folder, "d", "12", "--bits", 12)
    again = fit(folder, "d", "12", "--bits", 14)
    assert again.returncode == 2
    assert "was made with bits=12, not bits=14; leave it out" in again.stderr
    assert "(on the command line: --bits)" in again.stderr
    assert fit(folder, "d", "12").returncode == 0


def test_an_image_that_does_not_fit_is_a_failure_with_the_option(folder):
    done = fit(folder, "f", "12", "--bits", 10)
    assert done.returncode == 2
    assert "do not fit the 10 bits" in done.stderr
    assert "--bits" in done.stderr


def test_the_report_of_an_evaluation_shows_images_as_the_bank_reads_them(tmp_path):
    """By itself a dark image of 12 bits would be taken for one of 10 bits, and drawn four times as bright."""
    shown = {}
    for bits in (8, 12):
        root = tmp_path / str(bits) / "part"
        for seed in range(9):
            folder = root / ("train/good" if seed < 6 else "test/good")
            folder.mkdir(parents=True, exist_ok=True)
            grey = np.ascontiguousarray(texture(seed)[:, :, 1]) // (1 if seed < 8 else 8)
            Image.fromarray(grey if bits == 8 else grey.astype(np.uint16) << 4).save(folder / f"{seed}.png")
        run("evaluate", root, "--size", 64, "--report", tmp_path / f"{bits}.html")
        html = (tmp_path / f"{bits}.html").read_text(encoding="utf-8")
        shown[bits] = re.findall(r"data:image/jpeg;base64,[^\"]+", html)
    assert len(shown[12]) == 3
    assert shown[12] == shown[8]
