"""URLs: a URL that is not valid is refused with a remedy, and no message shows a password."""

import builtins
import traceback

import pytest

from anomalign.errors import StoreError
from anomalign.service.bootstrap import open_container
from anomalign.service.configuration import Configuration
from anomalign.service.store import Store
from tests.service.store.server import PASSWORD

SECRET = "hunter2-of-the-line"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "records.sqlite",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////nowhere/at/all/records.sqlite",
        "sqlite+aiosqlite:///records.sqlite",
        f"mysql://ada:{SECRET}@localhost/records",
        f"postgresql+asyncpg://ada:{SECRET}@localhost/records",
        f"postgresql://ada:{SECRET}@localhost:port/records",
        f"postgresql://ada:{SECRET}@127.0.0.1:1/records",
        f"postgresql://127.0.0.1:1/records?user=ada&password={SECRET}",
        f"postgresql://127.0.0.1:1/records?user=ada&password={SECRET}&nonsense=1",
        f"postgresql://ada:{SECRET}@127.0.0.1:1/records?{SECRET}=1",
        f"postgres//ada:{SECRET}@localhost/records",
        f"{SECRET}\0",
    ],
)
def test_what_cannot_be_opened_is_refused_without_its_password(url):
    with pytest.raises(StoreError) as caught:
        Store.open(url)
    assert SECRET not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert ";" in str(caught.value)  # cause; remedy


def test_a_service_makes_no_folder_for_a_database_that_is_none(tmp_path):
    configuration = Configuration(banks=(tmp_path / "a.bank",), data=tmp_path / "data", database="mysql://x")
    with pytest.raises(StoreError, match="mysql: this kind of database is not supported"):
        open_container(configuration)
    assert not (tmp_path / "data").exists()


def test_a_wrong_password_is_not_told(server):
    url = server.new_schema().replace("p%40ss", SECRET)
    assert SECRET in url
    with pytest.raises(
        StoreError, match=r"records:\*\*\*@127.0.0.1.*password authentication failed.*; check the user and the database"
    ):
        Store.open(url)


def test_a_database_that_is_not_there_is_named(server):
    with pytest.raises(
        StoreError, match='database "nowhere" does not exist; check the user and the database'
    ) as caught:
        Store.open(server.url("nowhere"))
    assert PASSWORD not in str(caught.value)


def test_without_the_driver_the_extra_is_named(server, monkeypatch):
    def missing(name, *arguments, real=builtins.__import__, **options):
        if name.startswith("psycopg"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    url = server.new_schema()
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(StoreError, match=r"pip install 'anomalign\[postgres\]'"):
        Store.open(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_each_way_to_write_postgresql(server, scheme):
    store = Store.open(server.new_schema().replace("postgresql", scheme, 1))
    store.ping()
    store.close()
