"""``--provider`` on the commands that run a network: passed on, told, refused."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from anomalign import BackboneError, Bank, InputError
from anomalign.backbones.providers import PROVIDERS, KnownProvider
from anomalign.cli import app
from tests import tiny
from tests.evaluation import trees
from tests.pictures import save, texture

TOLD = "tiny with provider twin: features within 0% of the CPU's (level1); the CPU runs no node"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in a folder where `twin` is another name for the CPU's provider; gives its lines to the person."""
    monkeypatch.setenv("ANOMALIGN_BACKBONES", str(tmp_path / "cache"))
    monkeypatch.setitem(PROVIDERS, "twin", KnownProvider("CPUExecutionProvider", "nothing"))
    monkeypatch.chdir(tmp_path)

    def command(*arguments, code=0):
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if isinstance(result.exception, (InputError, BackboneError)):
            raise result.exception
        assert result.exit_code == code, result.output
        return result.stderr

    return command


@pytest.fixture
def bank(tmp_path, run):
    tiny.write(tmp_path / "tiny.onnx")
    save(tmp_path / "train", 20)
    run("fit", "bank", "train", "--backbone", "tiny.onnx", "--size", 64)
    Image.fromarray(texture(50)).save("image.png")
    return "bank"


def test_every_command_that_runs_a_network_says_what_runs_it(bank, run, tmp_path):
    twin = ("--provider", "twin")
    assert TOLD in run("fit", "other", "train", "--backbone", "tiny.onnx", "--size", 64, *twin)
    assert TOLD in run("fit", bank, "train", *twin)
    assert TOLD in run("bank", "add", bank, "image.png", "--no-calibrate", *twin)
    assert TOLD in run("bank", "calibrate", bank, "--defects", "image.png", *twin)
    Image.fromarray(texture(51)).save("new.png")
    assert TOLD in run("explain", bank, "new.png", *twin)
    assert TOLD in run("inspect", bank, "train/000.png", "--records", "records.jsonl", *twin)
    assert TOLD in run("replay", "records.jsonl", "--bank", bank, *twin)
    for folder in ("train/good", "test/good", "test/bent"):
        trees.numbered(tmp_path / "screw" / folder, 8)  # without masks, hence exit code 2
    arguments = ("evaluate", "screw", "--backbone", "tiny.onnx", "--size", 64, "--json", "results.json")
    assert TOLD in run(*arguments, *twin, code=2)
    assert json.loads((tmp_path / "results.json").read_text())["provider"] == "twin"


def test_the_cpu_goes_without_saying(bank, run):
    assert "provider" not in run("inspect", bank, "train/000.png", "--provider", "cpu")


def test_what_cannot_be_had_is_refused_before_anything_is_made(bank, run, tmp_path):
    with pytest.raises(InputError, match="known are cpu, cuda"):
        run("inspect", bank, "image.png", "--provider", "abacus")
    with pytest.raises(InputError, match="known are cpu, cuda"):
        run("fit", "new", "train", "--provider", "abacus")
    assert not (tmp_path / "new").exists()


def test_features_are_the_same_through_either_name(bank, run):
    run("fit", "other", "train", "--backbone", "tiny.onnx", "--size", 64, "--provider", "twin")
    assert Bank.open("other").content == Bank.open(bank).content
    assert (Bank.open("other").vectors("pooled") == Bank.open(bank).vectors("pooled")).all()
