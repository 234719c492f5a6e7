"""One small bank for the tests of this folder that only read it."""

import pytest

from anomalign import Bank, Framing
from tests.pictures import save

NORMALS = 24


@pytest.fixture(scope="session")
def normal_files(tmp_path_factory):
    return save(tmp_path_factory.mktemp("files"), NORMALS)


@pytest.fixture(scope="session")
def bank_of_files(tmp_path_factory, tiny_backbone, normal_files):
    """A bank of 24 textures at 64 px, whose files are there. Nobody may change it."""
    bank = Bank.create(tmp_path_factory.mktemp("textures") / "bank", tiny_backbone, Framing(64))
    bank.add(normal_files)
    return bank
