"""The public face: names, start-up, and the shape of the package."""

import importlib
import os
import subprocess
import sys

import anomalign


def test_every_public_name_can_be_imported_and_is_listed():
    for name in anomalign.__all__:
        assert getattr(anomalign, name) is not None
    assert sorted(anomalign.__all__) == sorted(anomalign._HOME_OF)


def test_names_for_the_type_checker_are_those_at_run_time():
    """The imports under TYPE_CHECKING and the table of homes say the same."""
    source = importlib.util.find_spec("anomalign").loader.get_source("anomalign")
    block = source.split("if TYPE_CHECKING:\n")[1].split("\n\n")[0]
    for module, names in anomalign._HOME.items():
        listed = block.split(f"from {module} import ")[1].split("from ")[0]
        assert sorted(listed.replace("(", "").replace(")", "").replace(",", " ").split()) == sorted(names)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(anomalign, "nonsense")


def test_import_and_help_load_nothing_heavy():
    heavy = ["numpy", "onnxruntime", "PIL", "jinja2", "safetensors"]
    for code in ("import anomalign", "import anomalign.cli"):
        check = f"{code}; import sys; print([m for m in {heavy} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def test_no_torch_is_needed():
    check = (
        "import sys; sys.modules['torch'] = None; from anomalign import Bank, Detector, load_backbone; load_backbone()"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_running_a_network_leaves_nothing_in_the_home_folder(tmp_path):
    """ONNX Runtime's own telemetry, where it is not switched off, writes an identifier and a queue of events there."""
    given = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    code = (
        "import numpy as np; from anomalign import load_backbone; load_backbone().run(np.zeros((1, 64, 64, 3), 'u1'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**given, "HOME": str(tmp_path)})
    assert list(tmp_path.rglob("*")) == []


def test_dir_and_help_list_the_public_classes():
    assert set(anomalign.__all__) <= set(dir(anomalign))
    command = [sys.executable, "-c", "import anomalign; help(anomalign)"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("Bank", "Detector", "Inspection", "FeaturePyramid", "Settings"):
        assert f"class {name}(" in text


def test_imports_that_earlier_docs_named_go_on_working():
    from anomalign.alignment import FeaturePyramid, align
    from anomalign.detector import PRESETS, Detector, Settings

    assert (align, FeaturePyramid) == (anomalign.align, anomalign.FeaturePyramid)
    assert (PRESETS, Detector, Settings) == (anomalign.PRESETS, anomalign.Detector, anomalign.Settings)
