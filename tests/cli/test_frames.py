"""Frames by the options of the commands, and images of shapes that surprise."""

import json

import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tests.cli.running import run
from tests.pictures import texture


@pytest.fixture
def network(tmp_path):
    return tiny.write(tmp_path / "tiny.onnx")


def saved(folder, n, height, width):
    folder.mkdir()
    for seed in range(n):
        Image.fromarray(texture(seed, height, width)).save(folder / f"{seed:02}.png")
    return folder


def info(bank):
    return json.loads(run("bank", "info", bank, "--json").stdout)


@pytest.mark.parametrize(
    ("options", "size_px", "tiles"),
    [
        ([], [32, 96], None),  # about as many pixels as the square
        (["--size", 64], [64, 192], None),
        (["--fit-to", "square"], 64, None),
        (["--size", 96], [96, 288], None),
        (["--size", 64, "--tile", 64, "--overlap", 16], [64, 192], "64 px with 16 px of overlap"),
        (["--preset", "paper"], 64, None),
    ],
)
def test_the_frame_of_a_new_bank(tmp_path, network, options, size_px, tiles):
    folder = saved(tmp_path / "good", 3, 50, 150)
    result = run("fit", tmp_path / "bank", folder, "--backbone", network, "--no-calibrate", *options)
    assert result.returncode == 0
    shown = info(tmp_path / "bank")
    assert (shown["size_px"], shown["tiles"]) == (size_px, tiles)
    height, width = size_px if isinstance(size_px, list) else (size_px, size_px)
    assert f"at {height} x {width} px" in result.stderr


def test_images_are_added_to_a_bank_of_another_frame_only_if_no_option_says_otherwise(tmp_path, network):
    folder, more = saved(tmp_path / "good", 3, 50, 150), saved(tmp_path / "more", 5, 50, 170)
    fit = ("fit", tmp_path / "bank")
    assert run(*fit, folder, "--backbone", network, "--no-calibrate", "--size", 64).returncode == 0
    assert run(*fit, more, "--no-calibrate").returncode == 0  # scaled to the bank's frame
    assert run(*fit, folder, "--no-calibrate", "--fit-to", "proportions", "--size", 64).returncode == 0
    for options in (["--fit-to", "square"], ["--size", 96], ["--tile", 128]):
        result = run(*fit, folder, "--no-calibrate", *options)
        assert result.returncode == 2
        assert "was made with size_px [64, 192], resize_px None, not" in result.stderr
    assert info(tmp_path / "bank")["images"] == 3 + 5


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--fit-to", "round"], "--fit-to is 'round'; must be 'proportions' or 'square'"),
        (["--overlap", 16], "--overlap was given without --tile"),
        (["--tile", 50], "tile is 50 px; needs at least 64"),
        (["--size", 64, "--tile", 100, "--overlap", 16], "multiple of 16 px for this network: 96 or 112"),
        (["--tile", 64, "--overlap", 40], "half of the tile, 32"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, network, options, what):
    folder = saved(tmp_path / "good", 3, 50, 170)
    result = run("fit", tmp_path / "bank", folder, "--backbone", network, *options)
    assert result.returncode == 2
    assert what in result.stderr
    assert not (tmp_path / "bank").exists()


def test_images_of_shapes_that_surprise(tmp_path, network):
    """One far longer, one of a single row, one smaller than a tile, one turned: each is scaled to the frame."""
    folder = saved(tmp_path / "good", 20, 60, 180)
    bank = tmp_path / "bank"
    assert run("fit", bank, folder, "--backbone", network, "--tile", 64, "--overlap", 16).returncode == 0
    other = tmp_path / "other"
    other.mkdir()
    for name, shape in {"long": (20, 3000), "row": (1, 500), "small": (7, 20), "tall": (180, 60)}.items():
        Image.fromarray(texture(1, *shape)).save(other / f"{name}.png")
    result = run("inspect", bank, other, "--json", "--out", tmp_path / "out")
    assert result.returncode in (0, 1)
    found = {json.loads(line)["name"].split("/")[-1]: json.loads(line) for line in result.stdout.splitlines()}
    assert {name: (one["height"], one["width"]) for name, one in found.items()} == {
        "long.png": (20, 3000), "row.png": (1, 500), "small.png": (7, 20), "tall.png": (180, 60),
    }  # fmt: skip


def test_normal_images_so_long_that_a_frame_would_be_huge_are_refused(tmp_path, network):
    folder = tmp_path / "good"
    folder.mkdir()
    Image.fromarray(np.zeros((1, 40000), np.uint8)).save(folder / "line.png")
    result = run("fit", tmp_path / "bank", folder, "--backbone", network)
    assert result.returncode == 2
    assert "32 x 1280000 px" in result.stderr
    assert "or a square" in result.stderr
    assert not (tmp_path / "bank").exists()


def test_a_very_long_image_in_true_proportions(tmp_path, network):
    """30000 x 200: the frame is long, and a mark in it is found where it is."""
    folder = tmp_path / "good"
    folder.mkdir()
    scene = texture(0, 40, 6000).astype(float)
    for seed in range(12):
        noise = np.random.default_rng(seed).normal(0, 4, scene.shape)
        Image.fromarray(np.clip(scene + noise, 0, 255).astype(np.uint8)).save(folder / f"{seed:02}.png")
    marked = scene.astype(np.uint8)
    marked[10:26, 4000:4024] = 255, 0, 255
    Image.fromarray(marked).save(tmp_path / "marked.png")
    fit = ("fit", tmp_path / "bank", folder, "--backbone", network)
    assert run(*fit, "--size", 32, "--no-check").returncode == 0
    assert info(tmp_path / "bank")["size_px"] == [32, 4800]
    result = run("inspect", tmp_path / "bank", tmp_path / "marked.png", "--json")
    assert result.returncode == 1
    y, x = json.loads(result.stdout)["regions"][0]["peak"]
    assert 10 <= y < 26
    assert 4000 <= x < 4024
