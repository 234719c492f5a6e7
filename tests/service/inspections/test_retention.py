"""Records beyond an age go: at the start, again and again, also after the database was away."""

import contextlib
import threading
from datetime import datetime, timedelta, timezone

import pytest

from anomalign.errors import StoreError
from anomalign.service.inspections.retention import Retention
from anomalign.service.store import Filters
from tests.service.api.serving import serving
from tests.service.samples import until
from tests.service.store.making import new


def aged(store, *days):
    now = datetime.now(timezone.utc)
    return [record.id for record in store.add([new(time=now - timedelta(days=age)) for age in days])]


def kept(store):
    return {record.id for record in store.page(Filters()).records}


@pytest.fixture
def forget(store):
    with contextlib.ExitStack() as stack:

        def start(days, **options):
            retention = Retention(store, days, **options)
            stack.callback(retention.close)
            return retention

        yield start


def test_older_records_go_at_the_start_and_in_every_pass(store, forget):
    *_, young = aged(store, 31, 99, 29)
    forget(30, every_s=0.05)
    until(lambda: kept(store) == {young})
    (again,) = aged(store, 30.1)
    until(lambda: kept(store) == {young})
    assert store.get(again) is None
    assert [event.details["records"] for event in store.audit().events] == [1, 2]


def test_after_an_error_it_is_tried_again(store, forget, monkeypatch, caplog):
    aged(store, 31)
    real, failed = store.prune, threading.Event()

    def away(before):
        if not failed.is_set():
            failed.set()
            raise StoreError("the database is away")
        return real(before)

    monkeypatch.setattr(store, "prune", away)
    forget(30, retry_s=0.01)
    until(lambda: not kept(store))
    assert "the database is away" in caplog.text


def test_it_ends_in_the_middle_of_many(store, forget, monkeypatch):
    begun = threading.Event()

    def endless(before):
        begun.set()
        return 1000

    monkeypatch.setattr(store, "prune", endless)
    retention = forget(30)
    assert begun.wait(30)
    retention.close()
    assert not retention._thread.is_alive()


def test_a_service_forgets_only_if_it_is_told_to(bank, tmp_path):
    with serving(bank, tmp_path / "data") as served:
        old, young = aged(served.container.store, 31, 1)
    with serving(bank, tmp_path / "data") as served:
        assert kept(served.container.store) == {old, young}
        assert served.container.retention is None
    with serving(bank, tmp_path / "data", keep_days=30) as served:
        until(lambda: kept(served.container.store) == {young})
