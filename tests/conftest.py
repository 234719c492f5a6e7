import os
import shutil
import signal
import uuid
from pathlib import Path

import pytest
import threadpoolctl
from hypothesis import settings

from anomalign import Bank, Framing, load_backbone
from tests import s3_server, tiny

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as under nohup: processes of the tests would ignore Ctrl-C, too
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("any-machine", deadline=None)  # a busy machine is no fault of a test
settings.load_profile("any-machine")


_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 10**9


def pytest_configure():
    """Keep the temporary folders in memory, where it has room.

    Banks and records wait until they are on the disk, 5 to 10 ms at each commit: over half of the time of all tests.
    """
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory):
    return load_backbone(tiny.write(tmp_path_factory.mktemp("backbone") / "tiny.onnx"))


@pytest.fixture
def two_blas_threads():
    """`make test` starts BLAS with one thread; a test of its number of threads needs two."""
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        yield


@pytest.fixture
def empty_bank(tmp_path, tiny_backbone):
    return Bank.create(tmp_path / "bank", tiny_backbone, Framing(64))


@pytest.fixture(scope="session")
def s3_endpoint():
    if s3_server.MISSING:
        pytest.skip(s3_server.REASON)
    with s3_server.serving() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint, monkeypatch):
    """URL of a new bucket of an S3 server; the environment says where the server is."""
    from anomalign.storage.objects import filesystem

    for name, value in s3_server.environment(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    name = f"line-{uuid.uuid4().hex[:12]}"
    filesystem(f"s3://{name}")[0].mkdir(name)
    return f"s3://{name}"
