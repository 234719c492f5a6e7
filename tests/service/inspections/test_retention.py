"""Old records are deleted: at the start, regularly, and also after the database was unreachable."""

import contextlib
import threading
from datetime import datetime, timedelta, timezone

import pytest

from anomalign.errors import StoreError
from anomalign.service.inspections.retention import Retention
from anomalign.service.store import Filters
from tests.service.api.live_service import run_service
from tests.service.samples import until
from tests.service.store.new_records import new_record


def add_records(store, *days):
    now = datetime.now(timezone.utc)
    return [record.id for record in store.add([new_record(time=now - timedelta(days=age)) for age in days])]


def record_ids(store):
    return {record.id for record in store.page(Filters()).records}


@pytest.fixture
def start_retention(store):
    with contextlib.ExitStack() as stack:

        def start(days, **options):
            retention = Retention(store, days, **options)
            stack.callback(retention.close)
            return retention

        yield start


def test_older_records_go_at_the_start_and_in_every_pass(store, start_retention):
    *_, young = add_records(store, 31, 99, 29)
    start_retention(30, every_s=0.05)
    until(lambda: record_ids(store) == {young})
    (again,) = add_records(store, 30.1)
    until(lambda: record_ids(store) == {young})
    assert store.get(again) is None
    assert [event.details["records"] for event in store.audit().events] == [1, 2]


def test_after_an_error_it_is_tried_again(store, start_retention, monkeypatch, caplog):
    add_records(store, 31)
    real, failed = store.prune, threading.Event()

    def away(before):
        if not failed.is_set():
            failed.set()
            raise StoreError("the database is away")
        return real(before)

    monkeypatch.setattr(store, "prune", away)
    start_retention(30, retry_s=0.01)
    until(lambda: not record_ids(store))
    assert "the database is away" in caplog.text


def test_it_ends_in_the_middle_of_many(store, start_retention, monkeypatch):
    started = threading.Event()

    def endless(before):
        started.set()
        return 1000

    monkeypatch.setattr(store, "prune", endless)
    retention = start_retention(30)
    assert started.wait(30)
    retention.close()
    assert not retention._thread.is_alive()


def test_a_service_forgets_only_if_it_is_told_to(bank, tmp_path):
    with run_service(bank, tmp_path / "data") as service:
        old, young = add_records(service.container.store, 31, 1)
    with run_service(bank, tmp_path / "data") as service:
        assert record_ids(service.container.store) == {old, young}
        assert service.container.retention is None
    with run_service(bank, tmp_path / "data", keep_days=30) as service:
        until(lambda: record_ids(service.container.store) == {young})
