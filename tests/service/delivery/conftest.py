import socket

import pytest


@pytest.fixture
def free_port():
    """A port on the loopback at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
