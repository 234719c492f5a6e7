import pytest

from anomalign.service.store import Store
from tests.service.store.server import Server


@pytest.fixture(scope="session")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.sqlite'}"
    return request.getfixturevalue("server").new_schema()


@pytest.fixture
def store(url):
    store = Store.open(url)
    yield store
    store.close()
