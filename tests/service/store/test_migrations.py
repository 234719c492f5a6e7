"""The schema: it is made once and migrated, and tables of other programs are not touched."""

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import column, create_engine, insert, inspect, select, text, update

from anomalign.errors import StoreError
from anomalign.service.store import Filters, Store, Watched, inspection_rows, migrations
from anomalign.service.store.database import Database
from anomalign.service.store.tables import VERSION_TABLE, inspections, metadata, reasons, watched
from tests.service.store.new_records import new_record

OPEN = """
import sys
from anomalign.service.store import Store
print("begun", flush=True)
Store.open(sys.argv[1]).close()
"""


@pytest.fixture
def engine(url):
    """Access to the database without the store."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()


def open_in_process(url):
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_migrations_make_the_tables_that_are_written_down(url, engine):
    Store.open(url).close()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, VERSION_TABLE}


def indices(engine):
    """Return the names of the indices; the two databases describe their order differently."""
    inspector = inspect(engine)
    return {index["name"] for table in metadata.tables for index in inspector.get_indexes(table)}


def test_the_indices_that_are_written_down_are_there(url, engine):
    Store.open(url).close()
    assert indices(engine) == {index.name for table in metadata.tables.values() for index in table.indexes}


def rows(engine, columns):
    """Return the rows of every table, with these columns."""
    with engine.connect() as connection:
        return {
            table: set(connection.execute(select(*(column(name) for name in names)).select_from(text(table))).all())
            for table, names in columns.items()
        }


def add_as_in_the_first_schema(database, file):
    """Add an inspection of a watched file, without the columns of later revisions; its id."""
    new = inspection_rows.prepare(new_record(watched=file))
    later = ("borderline", "regions", "region_count")
    values = {name: value for name, value in new.values.items() if name not in later}
    with database.writing() as connection:
        inspection_rows.remember(connection, file)
        connection.execute(insert(inspections), {**values, "folded": values["name"]})
        id = connection.execute(select(inspections.c.id)).scalar_one()
        connection.execute(insert(reasons), {"record": id, "entry": new.entry, "details": new.details})
        connection.execute(update(watched).values(record=id))
    return id


def test_records_of_the_first_schema_are_kept(url, engine):
    """A database of revision 1, with a row in each table, is migrated: its rows stay the same, new ones can follow."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    database = Database(url)
    old = Store(database)  # not migrated
    id = add_as_in_the_first_schema(database, Watched("/camera/1.png", 3, 4))
    decision = old.decisions.add(id, "defect", "seen", "ann")
    undone = old.edits.add("screws", 2, "add", images=[7], who="ann", record=id, note="dust", after={"a": 0.1})
    standing = old.edits.add("screws", 4, "remove", images=[1, 2], who="eve")
    old.rates.set("screws", 0.02, "eve")
    old.close()
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE edits SET undone_by = 'eve', undone_at = :at WHERE id = :id"),
            {"at": "2026-01-02 03:04:05.678000", "id": undone.id},
        )
    first_tables = set(metadata.tables) - {"outbox", "receivers"}
    columns = {name: [column["name"] for column in inspect(engine).get_columns(name)] for name in first_tables}
    assert "undone_version" not in columns["edits"]
    assert not {"borderline", "regions", "region_count"} & set(columns["inspections"])
    before = rows(engine, columns)
    assert all(before.values())
    store = Store.open(url)
    assert rows(engine, columns) == before
    assert store.get(id).decision == decision
    # Nobody knows whether it was borderline, and where it had heat.
    assert store.get(id).summary() == new_record(borderline=False, regions=(), region_count=0).summary()
    assert store.is_watched("/camera/1.png", 3, 4)
    first, second = store.edits.get(undone.id), store.edits.get(standing.id)
    assert (first.undone_by, first.undone_version, second) == ("eve", None, standing)
    assert store.edits.undo(standing.id, "bob", 5).undone_version == 5
    assert store.edits.add("screws", 6, "remove", images=[3], who="eve").id > standing.id
    (record,) = store.add([new_record(borderline=True)])
    assert record.borderline
    assert store.get(record.id) == record
    store.close()


def test_opening_again_changes_nothing(url):
    store = Store.open(url)
    (record,) = store.add([new_record()])
    other = Store.open(url)  # while the first is in use
    assert other.get(record.id) == record
    store.close()
    other.close()


def test_a_newer_schema_is_refused_and_left_as_it_is(url, engine):
    store = Store.open(url)
    (record,) = store.add([new_record()])
    store.close()
    with engine.begin() as connection:
        own = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"newer version of anomalign \(schema 9999\); install that version"):
        Store.open(url)
    with engine.begin() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one() == "9999"
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{own}'"))
    store = Store.open(url)
    assert store.get(record.id) == record
    store.close()


def test_tables_of_another_program_are_left_alone(url, engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE decisions (other INTEGER)"))
        connection.execute(text("INSERT INTO decisions VALUES (7)"))
    with pytest.raises(StoreError, match="decisions.*already exists"):
        Store.open(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT other FROM decisions")).scalar_one() == 7
        assert inspect(connection).get_table_names() == ["decisions"]  # nothing was left half made


def test_beside_another_program_that_uses_alembic(url, engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
    store = Store.open(url)
    store.ping()
    store.close()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "theirs"


def test_five_processes_open_a_new_database_at_once(url):
    processes = [open_in_process(url) for _ in range(5)]
    assert [(process.communicate(timeout=120)[1], process.returncode) for process in processes] == [("", 0)] * 5
    store = Store.open(url)
    assert store.count(Filters()) == 0
    store.close()


def test_opening_waits_while_another_process_makes_the_file(tmp_path):
    """SQLite itself refuses here at once: it does not wait before it changes the journal mode."""
    path = tmp_path / "records.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE other (x)")
    release = threading.Timer(0.3, other.execute, ["ROLLBACK"])
    release.start()
    Store.open(f"sqlite:///{path}").close()
    release.join()
    other.close()


@pytest.mark.slow
def test_kills_while_a_database_is_made(url):
    """Every kill comes at another moment; the next opening finishes the migration."""
    for pause in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3):
        with open_in_process(url) as process:
            assert process.stdout.readline() == "begun\n"
            time.sleep(pause)
            process.kill()
    store = Store.open(url)
    (record,) = store.add([new_record()])
    assert store.get(record.id) == record
    store.close()


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "records.sqlite"
    path.write_bytes(b"a letter, not a database\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"records\.sqlite: .*not a database; restore it from a copy"):
        Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["with space.sqlite", "a?b#c%20d.sqlite", "ümlaut.sqlite"])
def test_a_file_of_an_odd_name(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quoted = name.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
    store = Store.open(f"sqlite:///{quoted}")
    store.ping()
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == [quoted if not (tmp_path / name).exists() else name]
