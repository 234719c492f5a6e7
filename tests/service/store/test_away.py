"""A database that is unreachable, full or locked: an error with a remedy, no partial write, automatic recovery."""

import contextlib
import multiprocessing
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import psycopg
import pytest
from sqlalchemy import event

from anomalign.errors import StoreError
from anomalign.service.store import Filters, Store, Watched, database
from tests.service.store.new_records import new_record
from tests.service.store.server import PASSWORD, Server

LARGE = random.Random(0).randbytes(100_000)  # PostgreSQL compresses what can be compressed

ADD = """
import sys
from anomalign.service.store import Store
from tests.service.store.new_records import new_record
store = Store.open(sys.argv[1])
print("begun", flush=True)
while True:
    records = store.add([new_record(details=b"d" * 20_000) for _ in range(3)])
    store.decisions.add(records[0].id, "defect", "", "ada")
    print(*(record.id for record in records), flush=True)
"""


def start_writer(url):
    command = [sys.executable, "-c", ADD, url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def acknowledged_ids(output):
    """Return the ids in complete lines."""
    return [int(id) for line in output.splitlines(keepends=True) if line.endswith("\n") for id in line.split()]


def check_complete(store, ids):
    """Check that these records exist with their details, entries and decisions."""
    for id in ids:
        assert store.details(store.get(id).id) == b"d" * 20_000
        assert store.entry(id)["format"] == 1
    assert all(store.get(id).decision.kind == "defect" for id in ids[::3])


def count_decisions(store):
    """Return the number of decisions in the audit log."""
    page = store.audit(None, 1000, "decide")
    number = len(page.events)
    while page.next:
        page = store.audit(page.next, 1000, "decide")
        number += len(page.events)
    return number


@pytest.mark.slow
def test_kills_of_a_writer_lose_nothing_acknowledged(url):
    """Every kill comes at another moment. A call is complete or absent: each adds three records."""
    Store.open(url).close()
    ids = []
    for pause in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4):
        with start_writer(url) as process:
            assert process.stdout.readline() == "begun\n"
            time.sleep(pause)
            process.kill()
            ids += acknowledged_ids(process.stdout.read())
    store = Store.open(url)
    assert ids
    check_complete(store, ids)
    count = store.count(Filters())
    assert count % 3 == 0
    assert len(ids) <= count <= len(ids) + 8 * 3
    assert store.count(Filters(reviewed=True)) == count_decisions(store) <= count // 3
    store.close()


@pytest.mark.slow
def test_a_killed_server_loses_nothing_acknowledged(server):
    """The server has synchronous_commit off in its settings; a commit waits for the disk nevertheless."""
    server.stop()
    server.start("synchronous_commit=off", "wal_writer_delay=10s")
    url = server.new_schema()
    Store.open(url).close()
    with start_writer(url) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(1.5)
        server.stop(signal.SIGKILL)
        output, error = process.communicate(timeout=60)
    assert "StoreError" in error
    assert PASSWORD not in error
    server.start()
    store = Store.open(url)
    ids = acknowledged_ids(output)
    assert ids
    check_complete(store, ids)
    store.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_server_that_goes_away_and_comes_back(server, how):
    store = Store.open(server.new_schema())
    (record,) = store.add([new_record()])
    server.stop(how)
    try:
        for call in (
            store.ping,
            lambda: store.add([new_record()]),
            lambda: store.get(record.id),
            lambda: store.log("a", "b"),
        ):
            with pytest.raises(StoreError, match="127.0.0.1.*; check that the database is running") as caught:
                call()
            assert PASSWORD not in str(caught.value)
    finally:
        server.start()
    store.ping()
    assert store.get(record.id) == record
    store.add([new_record()])
    assert store.count(Filters()) == 2
    store.close()


def test_connections_cut_by_the_server_are_replaced(server):
    store = Store.open(server.new_database())
    store.add([new_record()])
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'test{server.count}'")
    store.add([new_record()])
    assert store.count(Filters()) == 2
    store.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.sqlite"


@pytest.fixture
def on_file(path):
    store = Store.open(f"sqlite:///{path}")
    yield store
    store.close()


def test_a_file_that_is_moved_away_and_back(on_file, path, tmp_path):
    """While the file is away nothing is acknowledged: a write would go to a file that is lost."""
    (record,) = on_file.add([new_record()])
    aside = tmp_path / "aside"
    aside.mkdir()
    for file in tmp_path.glob("records.sqlite*"):
        shutil.move(file, aside / file.name)
    for call in (on_file.ping, lambda: on_file.add([new_record()]), lambda: on_file.get(record.id)):
        with pytest.raises(StoreError, match=r"records\.sqlite.*; "):
            call()
    assert not path.exists()  # no new one was begun in its place
    for file in aside.iterdir():
        shutil.move(file, tmp_path / file.name)
    assert on_file.get(record.id) == record
    on_file.add([new_record()])
    assert on_file.count(Filters()) == 2


def test_a_copy_put_in_its_place_is_used_from_then_on(on_file, path, tmp_path):
    (record,) = on_file.add([new_record()])
    copy = tmp_path / "copy.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as there, contextlib.closing(sqlite3.connect(copy)) as target:
        there.backup(target)
    on_file.add([new_record()])
    for file in tmp_path.glob("records.sqlite*"):
        file.unlink()
    copy.rename(path)
    assert on_file.count(Filters()) == 1
    assert on_file.get(record.id) == record
    on_file.add([new_record()])
    assert on_file.count(Filters()) == 2


def fill(store):
    """Add records until the disk is full; return the error and the acknowledged records."""
    records = []
    for number in range(2000):
        file = Watched(f"/line/{number}.png", 1, 1)
        try:
            records += store.add([new_record(details=LARGE, watched=file), new_record(details=LARGE)])
        except StoreError as error:
            assert records
            return str(error), records
    raise AssertionError("it was never full")


def check_full(store, error, records, make_space):
    assert error.endswith("; free space on its disk")
    assert store.count(Filters()) == len(records)  # no half of a pair
    assert store.get(records[-1].id) == records[-1]
    assert not store.is_watched(f"/line/{len(records) // 2}.png", 1, 1)  # so the file is taken again
    make_space()
    (record,) = store.add([new_record(details=LARGE)])
    assert store.details(record.id) == LARGE
    assert store.count(Filters()) == len(records) + 1


def test_a_full_database_file(on_file, path):
    """SQLite's limit on the number of pages gives the same error as a full disk."""
    limit = [300]
    engine = on_file._database._engine
    event.listen(engine, "checkout", lambda connection, *_: connection.execute(f"PRAGMA max_page_count = {limit[0]}"))
    error, records = fill(on_file)
    check_full(on_file, error, records, lambda: limit.__setitem__(0, 100_000))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@contextlib.contextmanager
def small_disk(folder, megabytes):
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"this process may not mount a file system: {result.stderr.strip()}")
    try:
        yield lambda larger: subprocess.run(["mount", "-o", f"remount,size={larger}m", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_under_sqlite(tmp_path):
    with small_disk(tmp_path / "disk", 3) as resize:
        store = Store.open(f"sqlite:///{tmp_path}/disk/records.sqlite")
        error, records = fill(store)
        check_full(store, error, records, lambda: resize(50))
        store.close()


def test_a_full_disk_under_postgresql():
    own = Server()
    try:
        with small_disk(own.folder / "disk", 24) as resize:
            own.own(own.folder / "disk")
            own.execute(f"CREATE TABLESPACE small LOCATION '{own.folder / 'disk'}'")
            store = Store.open(own.new_database("TABLESPACE small"))
            error, records = fill(store)
            check_full(store, error, records, lambda: resize(60))
            store.close()
    finally:
        own.close()


def test_a_writer_that_holds_the_file_is_waited_for_and_then_named(path, monkeypatch):
    monkeypatch.setattr(database, "_WAIT_S", 0.2)
    store = Store.open(f"sqlite:///{path}")
    (record,) = store.add([new_record()])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked; another program holds the lock"):
            store.add([new_record()])
        assert store.get(record.id) == record  # who reads does not wait
        other.execute("ROLLBACK")
    store.add([new_record()])
    assert store.count(Filters()) == 2
    store.close()


def test_a_lock_in_postgresql_is_waited_for_and_then_named(server, monkeypatch):
    monkeypatch.setattr(database, "_WAIT_S", 0.2)
    url = server.new_schema()
    store = Store.open(url)
    store.add([new_record()])
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE inspections IN EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="lock timeout; another program holds the lock"):
            store.add([new_record()])
        assert store.count(Filters()) == 1
    store.add([new_record()])
    assert store.count(Filters()) == 2
    store.close()


def add_and_decide(url, first, number, queue):
    store = Store.open(url)
    ids = [store.add([new_record(name=f"{number}/{turn}")])[0].id for turn in range(15)]
    decisions = [store.decisions.add(first, "unsure", f"{turn}", f"{number}").id for turn in range(5)]
    store.rates.set("screws", 0.01 + number / 100, f"{number}")
    queue.put((ids, decisions))
    store.close()


def test_several_processes_write_at_once(url):
    store = Store.open(url)
    (first,) = store.add([new_record()])
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=add_and_decide, args=(url, first.id, number, queue)) for number in range(3)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    ids = [id for record_ids, _ in results for id in record_ids]
    decisions = [id for _, decision_ids in results for id in decision_ids]
    assert len(set(ids)) == 45
    assert store.count(Filters()) == 46
    assert all(store.get(id) is not None for id in ids)
    assert store.get(first.id).decision.id == max(decisions)
    assert len(store.audit(None, 1000, "decide").events) == 15
    assert store.rates.get("screws") == store.audit(None, 1, "rate").events[0].details["after"]
    store.close()
