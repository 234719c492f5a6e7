"""A database that goes away, fills up or is held: an error with a remedy, nothing half kept, back by itself."""

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
from tests.service.store.making import new
from tests.service.store.server import PASSWORD, Server

LARGE = random.Random(0).randbytes(100_000)  # PostgreSQL compresses what can be compressed

ADD = """
import sys
from anomalign.service.store import Store
from tests.service.store.making import new
store = Store.open(sys.argv[1])
print("begun", flush=True)
while True:
    records = store.add([new(details=b"d" * 20_000) for _ in range(3)])
    store.decide(records[0].id, "defect", "", "ada")
    print(*(record.id for record in records), flush=True)
"""


def adding(url):
    command = [sys.executable, "-c", ADD, url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def acknowledged(output):
    """Ids of which the whole line came through."""
    return [int(id) for line in output.splitlines(keepends=True) if line.endswith("\n") for id in line.split()]


def whole(store, ids):
    """Every record of these is there with all that belongs to it."""
    for id in ids:
        assert store.details(store.get(id).id) == b"d" * 20_000
        assert store.entry(id)["format"] == 1
    assert all(store.get(id).decision.kind == "defect" for id in ids[::3])


def decided(store):
    """How many decisions the audit has."""
    page = store.audit(None, 1000, "decide")
    number = len(page.events)
    while page.next:
        page = store.audit(page.next, 1000, "decide")
        number += len(page.events)
    return number


@pytest.mark.slow
def test_kills_of_a_writer_lose_nothing_acknowledged(url):
    """Every kill falls at another moment. A call is there whole or not at all: records come in threes."""
    Store.open(url).close()
    known = []
    for pause in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4):
        with adding(url) as process:
            assert process.stdout.readline() == "begun\n"
            time.sleep(pause)
            process.kill()
            known += acknowledged(process.stdout.read())
    store = Store.open(url)
    assert known
    whole(store, known)
    count = store.count(Filters())
    assert count % 3 == 0
    assert len(known) <= count <= len(known) + 8 * 3
    assert store.count(Filters(reviewed=True)) == decided(store) <= count // 3
    store.close()


@pytest.mark.slow
def test_a_killed_server_loses_nothing_acknowledged(server):
    """The server itself, with synchronous_commit off in its settings: a commit waits for the disk all the same."""
    server.stop()
    server.start("synchronous_commit=off", "wal_writer_delay=10s")
    url = server.new()
    Store.open(url).close()
    with adding(url) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(1.5)
        server.stop(signal.SIGKILL)
        output, error = process.communicate(timeout=60)
    assert "StoreError" in error
    assert PASSWORD not in error
    server.start()
    store = Store.open(url)
    known = acknowledged(output)
    assert known
    whole(store, known)
    store.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_server_that_goes_away_and_comes_back(server, how):
    store = Store.open(server.new())
    (record,) = store.add([new()])
    server.stop(how)
    try:
        for call in (store.ping, lambda: store.add([new()]), lambda: store.get(record.id), lambda: store.log("a", "b")):
            with pytest.raises(StoreError, match="127.0.0.1.*; see that the database is running") as caught:
                call()
            assert PASSWORD not in str(caught.value)
    finally:
        server.start()
    store.ping()
    assert store.get(record.id) == record
    store.add([new()])
    assert store.count(Filters()) == 2
    store.close()


def test_connections_cut_by_the_server_are_replaced(server):
    store = Store.open(server.database())
    store.add([new()])
    server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'test{server.made}'")
    store.add([new()])
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
    """While it is gone nothing is acknowledged: what would be written went to a file that nobody finds again."""
    (record,) = on_file.add([new()])
    aside = tmp_path / "aside"
    aside.mkdir()
    for file in tmp_path.glob("records.sqlite*"):
        shutil.move(file, aside / file.name)
    for call in (on_file.ping, lambda: on_file.add([new()]), lambda: on_file.get(record.id)):
        with pytest.raises(StoreError, match=r"records\.sqlite.*; "):
            call()
    assert not path.exists()  # no new one was begun in its place
    for file in aside.iterdir():
        shutil.move(file, tmp_path / file.name)
    assert on_file.get(record.id) == record
    on_file.add([new()])
    assert on_file.count(Filters()) == 2


def test_a_copy_put_in_its_place_is_used_from_then_on(on_file, path, tmp_path):
    (record,) = on_file.add([new()])
    copy = tmp_path / "copy.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as there, contextlib.closing(sqlite3.connect(copy)) as target:
        there.backup(target)
    on_file.add([new()])
    for file in tmp_path.glob("records.sqlite*"):
        file.unlink()
    copy.rename(path)
    assert on_file.count(Filters()) == 1
    assert on_file.get(record.id) == record
    on_file.add([new()])
    assert on_file.count(Filters()) == 2


def fill(store):
    """Add until it does not go on; the error, and what was acknowledged."""
    kept = []
    for number in range(2000):
        file = Watched(f"/line/{number}.png", 1, 1)
        try:
            kept += store.add([new(details=LARGE, watched=file), new(details=LARGE)])
        except StoreError as error:
            assert kept
            return str(error), kept
    raise AssertionError("it was never full")


def check_full(store, error, kept, make_room):
    assert error.endswith("; make room on its disk")
    assert store.count(Filters()) == len(kept)  # no half of a pair
    assert store.get(kept[-1].id) == kept[-1]
    assert not store.is_watched(f"/line/{len(kept) // 2}.png", 1, 1)  # so the file is taken again
    make_room()
    (record,) = store.add([new(details=LARGE)])
    assert store.details(record.id) == LARGE
    assert store.count(Filters()) == len(kept) + 1


def test_a_full_database_file(on_file, path):
    """SQLite's own limit on its pages gives the error of a full disk."""
    limit = [300]
    engine = on_file._database._engine
    event.listen(engine, "checkout", lambda connection, *_: connection.execute(f"PRAGMA max_page_count = {limit[0]}"))
    error, kept = fill(on_file)
    check_full(on_file, error, kept, lambda: limit.__setitem__(0, 100_000))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@contextlib.contextmanager
def small_disk(folder, megabytes):
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this process may not mount a file system: {done.stderr.strip()}")
    try:
        yield lambda larger: subprocess.run(["mount", "-o", f"remount,size={larger}m", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_under_sqlite(tmp_path):
    with small_disk(tmp_path / "disk", 3) as resize:
        store = Store.open(f"sqlite:///{tmp_path}/disk/records.sqlite")
        error, kept = fill(store)
        check_full(store, error, kept, lambda: resize(50))
        store.close()


def test_a_full_disk_under_postgresql():
    own = Server()
    try:
        with small_disk(own.folder / "disk", 24) as resize:
            own.own(own.folder / "disk")
            own.execute(f"CREATE TABLESPACE small LOCATION '{own.folder / 'disk'}'")
            store = Store.open(own.database("TABLESPACE small"))
            error, kept = fill(store)
            check_full(store, error, kept, lambda: resize(60))
            store.close()
    finally:
        own.close()


def test_a_writer_that_holds_the_file_is_waited_for_and_then_named(path, monkeypatch):
    monkeypatch.setattr(database, "_WAIT_S", 0.2)
    store = Store.open(f"sqlite:///{path}")
    (record,) = store.add([new()])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked; another program holds it"):
            store.add([new()])
        assert store.get(record.id) == record  # who reads does not wait
        other.execute("ROLLBACK")
    store.add([new()])
    assert store.count(Filters()) == 2
    store.close()


def test_a_lock_in_postgresql_is_waited_for_and_then_named(server, monkeypatch):
    monkeypatch.setattr(database, "_WAIT_S", 0.2)
    url = server.new()
    store = Store.open(url)
    store.add([new()])
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE inspections IN EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="lock timeout; another program holds it"):
            store.add([new()])
        assert store.count(Filters()) == 1
    store.add([new()])
    assert store.count(Filters()) == 2
    store.close()


def add_and_decide(url, first, number, queue):
    store = Store.open(url)
    ids = [store.add([new(name=f"{number}/{turn}")])[0].id for turn in range(15)]
    decided = [store.decide(first, "unsure", f"{turn}", f"{number}").id for turn in range(5)]
    store.set_target_fpr("screws", 0.01 + number / 100, f"{number}")
    queue.put((ids, decided))
    store.close()


def test_several_processes_write_at_once(url):
    store = Store.open(url)
    (first,) = store.add([new()])
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=add_and_decide, args=(url, first.id, number, queue)) for number in range(3)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    ids = [id for given, _ in results for id in given]
    decided = [id for _, given in results for id in given]
    assert len(set(ids)) == 45
    assert store.count(Filters()) == 46
    assert all(store.get(id) is not None for id in ids)
    assert store.get(first.id).decision.id == max(decided)
    assert len(store.audit(None, 1000, "decide").events) == 15
    assert store.target_fpr("screws") == store.audit(None, 1, "rate").events[0].details["after"]
    store.close()
