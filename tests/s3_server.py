"""A real S3 server on loopback for the tests: moto, in a process of its own."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

_MODULES = ("fsspec", "s3fs", "pyarrow", "moto", "flask")
MISSING = [name for name in _MODULES if find_spec(name) is None]
REASON = f"needs {', '.join(MISSING)}: pip install 'anomalign[remote]' 'moto[server]'"

_SERVE = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
input()
"""


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Start the server; yield its URL. It ends with its standard input, so also when the tests are killed."""
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", _SERVE], **quiet, env=os.environ | environment("")) as server:
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


def environment(endpoint: str) -> dict[str, str]:
    """What tells every client where the server is, by the store's own conventions."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
