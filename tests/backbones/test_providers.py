"""Providers: known by name, refused where they cannot run the network or see something else than the CPU."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from anomalign import BackboneError, Bank, Detector, Framing, InputError, load_backbone
from anomalign.backbones import backbone as backbone_module
from anomalign.backbones import parity
from anomalign.backbones.providers import PROVIDERS, KnownProvider, Provider, find_provider
from anomalign.backbones.sessions import open_session
from anomalign.monitoring.replay import Replayer, make_record
from tests import tiny
from tests.pictures import texture

AVAILABLE = onnxruntime.get_available_providers()


class Altered:
    """A session whose outputs are changed on their way."""

    def __init__(self, session, change):
        self._session = session
        self._change = change

    def run(self, names, feed):
        return self._change([np.array(output) for output in self._session.run(names, feed)])

    def __getattr__(self, name):
        return getattr(self._session, name)


@pytest.fixture
def file(tmp_path):
    return tiny.write(tmp_path / "tiny.onnx")


@pytest.fixture(autouse=True)
def folder(cache_folder):
    return cache_folder


@pytest.fixture
def twin(monkeypatch):
    """A second name for the CPU's provider: everything of another provider, but other numbers."""
    monkeypatch.setitem(PROVIDERS, "twin", KnownProvider("CPUExecutionProvider", "nothing"))


@pytest.fixture
def alter(twin, monkeypatch):
    """Have the twin's outputs changed by a function while it is compared."""

    def install(change):
        def altered(path, provider, threads, options=None):
            session = open_session(path, provider, threads, options)
            return Altered(session, change) if provider.name == "twin" else session

        monkeypatch.setattr(parity, "open_session", altered)

    return install


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("abacus", "'abacus' is unknown; known are cpu, cuda, "),
        ("", "'' is unknown"),
        ("CPU", "'CPU' is unknown"),
        ("cpu:0", "cpu takes no device"),
        ("cuda:", "no device after the colon"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_those_that_can(file, name, message):
    with pytest.raises(InputError, match=message):
        load_backbone(file, name)


def test_a_provider_that_is_not_installed_is_refused_with_the_package_that_brings_it(file):
    missing = [name for name, known in PROVIDERS.items() if known.ort_name not in AVAILABLE]
    assert missing  # no build of ONNX Runtime has them all
    for name in missing:
        with pytest.raises(BackboneError, match=f"'{name}' is not in .* has cpu.* {PROVIDERS[name].package}"):
            load_backbone(file, name)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_onnx_runtime_drops_is_refused(file):
    absent = next(known for known in PROVIDERS.values() if known.ort_name not in AVAILABLE)
    with pytest.raises(BackboneError, match=r"tiny\.onnx: .*cannot use provider other here and would run .* the CPU"):
        open_session(file, Provider("other", absent), 1)


@pytest.mark.skipif("AzureExecutionProvider" not in AVAILABLE, reason="this build of ONNX Runtime lacks it")
def test_a_provider_that_leaves_every_node_to_the_cpu_is_refused(file, monkeypatch, folder):
    monkeypatch.setitem(PROVIDERS, "azure", KnownProvider("AzureExecutionProvider", "onnxruntime"))
    with pytest.raises(BackboneError, match=r"tiny\.onnx: .*every node of this network on the CPU; check"):
        load_backbone(file, "azure")
    assert not folder.exists()


def test_a_provider_that_agrees_is_taken_and_gives_its_features(file, twin):
    backbone, plain = load_backbone(file, "twin"), load_backbone(file)
    assert (backbone.provider, plain.provider, plain.parity) == ("twin", "cpu", None)
    assert [d.output for d in backbone.parity.differences] == ["level1", "level2", "level3", "pooled"]
    assert [d.relative for d in backbone.parity.differences] == [0] * 4
    # Three poolings, three convolutions, the mean and its reshaping; ONNX Runtime may add or fuse some.
    assert backbone.parity.placement.own >= 6
    assert (backbone.parity.placement.on_cpu, backbone.parity.placement.cpu_share) == (0, 0)
    images = [texture(seed) for seed in range(3)]
    for found, expected in zip(backbone.run(images), plain.run(images), strict=True):
        np.testing.assert_array_equal(found.levels[1], expected.levels[1])
        np.testing.assert_array_equal(found.pooled, expected.pooled)


def test_only_the_first_use_compares_and_every_other_file_version_or_device_anew(file, tmp_path, twin, monkeypatch):
    first = load_backbone(file, "twin")

    def again(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(parity, "compare", again)
    assert load_backbone(file, "twin").parity == first.parity
    with pytest.raises(ZeroDivisionError):
        load_backbone(tiny.write(tmp_path / "other.onnx", seed=1), "twin")
    for name, value in [
        ("_hardware", lambda: "another"),
        ("_onnxruntime_version", lambda: "0.9"),
        ("BOUND", 0.001),
        ("REVISION", 2),
    ]:
        with monkeypatch.context() as changed:
            changed.setattr(parity, name, value)
            with pytest.raises(ZeroDivisionError):
                load_backbone(file, "twin")


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "null", '{"key": 1, "parity": {}}', "\x00"])
def test_a_damaged_note_is_written_again(file, folder, twin, content):
    first = load_backbone(file, "twin")
    (note,) = (folder / "parity").iterdir()
    whole = note.read_text()
    note.write_text(content)
    assert load_backbone(file, "twin").parity == first.parity
    assert note.read_text() == whole


def test_a_folder_that_cannot_be_written_costs_only_the_note(file, tmp_path, twin, monkeypatch):
    (tmp_path / "no_folder").write_text("")
    monkeypatch.setenv("ANOMALIGN_BACKBONES", str(tmp_path / "no_folder"))
    assert load_backbone(file, "twin").parity.placement.on_cpu == 0


def shifted(output, part):
    """Add to one number of the second picture's output `part` of that output's length."""

    def change(outputs):
        place = (1, 0, 3, 5)[: outputs[output].ndim]
        outputs[output][place] += part * np.linalg.norm(outputs[output][1])
        return outputs

    return change


@pytest.mark.parametrize(
    ("output", "where"),
    [
        (0, r"level1 by 5\.00% \(picture 2 of \d+ px, most at row 3 and column 5 of \d+ x \d+\)"),
        (3, r"pooled by 5\.00% \(picture 2 of \d+ px\)"),
    ],
)
def test_other_features_are_refused_by_how_much_and_where(file, folder, alter, output, where):
    alter(shifted(output, 0.05))
    for _ in range(2):  # a refusal is not remembered as a pass
        with pytest.raises(
            BackboneError, match=rf"tiny\.onnx: with provider twin features differ .* 1%: {where}; verd"
        ):
            load_backbone(file, "twin")
    assert not (folder / "parity").exists()


def test_a_difference_within_the_bound_passes_and_is_told(file, alter):
    alter(shifted(1, 0.005))
    worst = load_backbone(file, "twin").parity.worst
    assert (worst.output, round(worst.relative, 4)) == ("level2", 0.005)
    assert "row 3 and column 5 of" in worst.where


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda outputs: [x * np.float32(np.nan) for x in outputs], r"level1 by inf%.*pooled by inf%"),
        (lambda outputs: [x[:, :-1] for x in outputs], r"level1 by inf% \(shape \(3, 3, "),
        (lambda outputs: [np.zeros_like(x) for x in outputs], r"level1 by 100\.00%.*pooled by 100\.00%"),
        (lambda outputs: [x.swapaxes(-1, -2) if x.ndim == 4 else x for x in outputs], r"level1 by \d+\.\d+%"),
        (lambda outputs: [x * np.float32(1.02) for x in outputs], r"level1 by 2\.00%.*level2 by 2\.00%"),
    ],
)
def test_outputs_that_are_wrong_in_other_ways_are_refused(file, alter, change, message):
    alter(change)
    with pytest.raises(BackboneError, match=message):
        load_backbone(file, "twin")


def test_a_provider_that_fails_while_it_runs_is_named(file, alter):
    def fail(outputs):
        raise RuntimeError("out of memory")

    alter(fail)
    with pytest.raises(BackboneError, match=r"tiny\.onnx: cannot be run with .*out of memory"):
        load_backbone(file, "twin")


def test_calls_take_turns_where_a_session_takes_one_at_a_time(file, monkeypatch):
    running, most = [], []

    def slow(outputs):
        running.append(threading.get_ident())
        most.append(len(running))
        time.sleep(0.01)
        running.pop()
        return outputs

    monkeypatch.setitem(PROVIDERS, "single", KnownProvider("CPUExecutionProvider", "nothing", one_at_a_time=True))
    monkeypatch.setattr(backbone_module, "open_session", lambda *given: Altered(open_session(*given), slow))
    backbone = load_backbone(file, "single")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: backbone.run([texture(seed)]), range(8)))
    assert max(most) == 1
    assert len(found) == 8


def test_a_device_is_told_to_the_provider_and_threads_only_where_it_has_them():
    known = KnownProvider("CPUExecutionProvider", "nothing", "device_id", "threads")
    assert Provider("x", known).options(3) == {"threads": "3"}
    assert Provider("x:CPU", known, "CPU").options(3) == {"device_id": "CPU", "threads": "3"}
    assert Provider("x:1", known, "1").options(3) == {"device_id": "1"}
    assert find_provider("cpu").options(3) == {}


def test_a_bank_is_read_with_the_provider_asked_for(tmp_path, file, twin):
    bank = Bank.create(tmp_path / "bank", file, Framing(64))
    bank.add([texture(seed) for seed in range(12)])
    opened = Bank.open(bank.path, provider="twin")
    assert (bank.provider, opened.provider, opened.backbone.provider) == ("cpu", "twin", "twin")
    assert Bank.open(bank.path, load_backbone(file, "twin")).provider == "twin"
    assert Bank.open(bank.path, file, provider="twin").backbone.provider == "twin"
    with pytest.raises(InputError, match="provider is 'cpu', but the backbone given runs with 'twin'"):
        Bank.open(bank.path, load_backbone(file, "twin"), provider="cpu")
    with pytest.raises(InputError, match="unknown"):
        Bank.open(bank.path, provider="abacus")


def test_a_record_names_the_provider_and_a_replay_the_change(tmp_path, file, twin):
    bank = Bank.create(tmp_path / "bank", file, Framing(64))
    bank.add([texture(seed) for seed in range(12)])
    detector = Detector(Bank.open(bank.path, provider="twin"), target_fpr=0.2)
    Image.fromarray(texture(20)).save(tmp_path / "image.png")
    record = make_record(detector.inspect(tmp_path / "image.png"), detector)
    assert record["software"]["provider"] == "twin"
    replay = Replayer(bank).replay(record)
    assert replay.same
    assert [(d.what, d.recorded, d.now) for d in replay.differences] == [("software.provider", "twin", "cpu")]


@pytest.mark.skipif("OpenVINOExecutionProvider" not in AVAILABLE, reason="needs onnxruntime-openvino")
class TestOpenVINO:
    """A second provider, for real."""

    def test_it_runs_the_bundled_network_as_the_cpu_does(self):
        backbone, plain = load_backbone(provider="openvino"), load_backbone()
        assert 0 < backbone.parity.worst.relative < 1e-3
        assert backbone.parity.placement.own > 0
        images = [texture(seed, 224, 224) for seed in range(5)]
        together = backbone.run_together(images)
        for image, found, expected in zip(images, together, plain.run(images), strict=True):
            (alone,) = backbone.run([image], threads=2)
            for a, b, c in zip(found.levels, expected.levels, alone.levels, strict=True):
                assert np.linalg.norm(a.astype(float) - b) < 1e-3 * np.linalg.norm(b.astype(float))
                np.testing.assert_array_equal(a, c)

    def test_devices_that_are_not_there_are_refused(self):
        with pytest.raises(BackboneError, match="every node of this network on the CPU; check"):
            load_backbone(provider="openvino:ABC")

    def test_brain_floats_are_refused(self, monkeypatch):
        known = KnownProvider("OpenVINOExecutionProvider", "onnxruntime-openvino", "load_config")
        monkeypatch.setitem(PROVIDERS, "brain", known)
        with pytest.raises(BackboneError, match=r"provider brain.* differ .* level1 by \d+\.\d+%"):
            load_backbone(provider='brain:{"CPU":{"INFERENCE_PRECISION_HINT":"bf16"}}')
