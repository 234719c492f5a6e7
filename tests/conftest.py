import pytest

from anomalign import Bank, Framing, load_backbone
from tests import tiny


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory):
    return load_backbone(tiny.write(tmp_path_factory.mktemp("backbone") / "tiny.onnx"))


@pytest.fixture
def empty_bank(tmp_path, tiny_backbone):
    return Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))
