import pytest

from tests.service.delivery import broker


@pytest.fixture
def free_port():
    """A port on the loopback at which nothing listens."""
    return broker.free_port()
