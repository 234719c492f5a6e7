import signal

import pytest

from anomalign import Bank, Framing, load_backbone
from tests import tiny

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as under nohup: processes of the tests would ignore Ctrl-C, too
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory):
    return load_backbone(tiny.write(tmp_path_factory.mktemp("backbone") / "tiny.onnx"))


@pytest.fixture
def empty_bank(tmp_path, tiny_backbone):
    return Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
