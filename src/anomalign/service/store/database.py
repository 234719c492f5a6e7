"""SQLite or PostgreSQL: durable commits, errors in this package's words, a schema that is up to date."""

import contextlib
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Insert, Table, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from anomalign.errors import StoreError
from anomalign.service.store.tables import VERSION_TABLE

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATING = threading.Lock()  # Alembic's `context` is one for the process
_ADVISORY_LOCK = 0x616E6F6D616C6967  # of PostgreSQL: one process migrates at a time
_WAIT_S = 30
_FORMS = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
_REMEDIES = (
    (("is full", "No space left", "disk full"), "make room on its disk"),
    (("is locked", "lock timeout"), "another program holds it; try again when that has finished"),
    (("readonly", "permission denied", "Permission denied"), "give this program's user the right to write it"),
    (("malformed", "not a database"), "restore it from a copy"),
    (("unable to open", "No such file", "irectory"), "see that its folder is there and may be written"),
    (("password authentication", "does not exist"), "see that its URL names a user and a database that exist"),
)


class Database:
    """One database, used from any thread.

    Raises
    ------
    StoreError
        On making it and in both contexts: the database cannot be reached or written.
    """

    def __init__(self, url: str) -> None:
        parsed = parse(url)
        self.shown = parsed.set(query={}).render_as_string(hide_password=True)
        self._secrets = _secrets(parsed)
        with self._told():
            self._engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
        self._writer = self._engine.execution_options(writes=True)

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self._told(), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, on the disk when the context ends, and undone if it ends by an error."""
        with self._told(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    def migrate(self) -> None:
        """Bring the schema to the newest revision, in one transaction.

        Raises
        ------
        StoreError
            It was made by a newer version of this package, or the tables are another program's.
        """
        from alembic import command
        from alembic.config import Config
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        script = ScriptDirectory.from_config(config)
        known = {revision.revision for revision in script.walk_revisions()}
        with _MIGRATING, self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            found = set(context.get_current_heads())
            if found - known:
                raise StoreError(
                    f"{self.shown}: made by a newer version of anomalign (schema {', '.join(sorted(found))}); "
                    "install that version, or name another database"
                )
            if found != set(script.get_heads()):
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError, OverflowError) as error:
            text, told = self._text(error)
            raise self._error(error, text) from (None if told else error)  # a log shows what it came from

    def _text(self, error: Exception) -> tuple[str, bool]:
        """What the driver said, and whether it told a password, which is then left out."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        said = getattr(getattr(cause, "diag", None), "message_primary", None)  # without the statement and its values
        said = said or (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        text = " ".join(said.split())
        hidden = text
        for secret in self._secrets:
            hidden = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", hidden)
        return hidden, hidden != text

    def _error(self, error: Exception, text: str) -> StoreError:
        away = isinstance(error, OperationalError | InterfaceError | PoolTimeoutError | OSError)
        otherwise = "see that the database is running and can be reached" if away else "nothing was kept"
        remedy = next((remedy for words, remedy in _REMEDIES if any(word in text for word in words)), otherwise)
        return StoreError(f"{self.shown}: {text}; {remedy}")


def parse(url: str) -> URL:
    """What a URL says; touches nothing.

    Raises
    ------
    StoreError
        Records cannot be kept in what it names.
    """
    try:
        parsed = make_url(url)
        backend, driver = parsed.get_backend_name(), parsed.drivername.partition("+")[2]
    except (SQLAlchemyError, ValueError):
        raise StoreError(f"the database's URL cannot be understood; it is {_FORMS}") from None  # it may hold a password
    if backend in ("postgresql", "postgres") and driver in ("", "psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or driver not in ("", "pysqlite"):
        raise StoreError(f"{parsed.drivername}: not a kind of database that records can be kept in; it is {_FORMS}")
    if parsed.database in (None, "", ":memory:"):
        raise StoreError("sqlite://: a database in memory would be lost at the end; name a file: sqlite:///FILE")
    return parsed


def _secrets(url: URL) -> list[str]:
    hidden = [value for key, value in url.query.items() if "pass" in key.lower() and isinstance(value, str)]
    return [secret for secret in (url.password, *hidden) if secret]


def _sqlite(url: URL) -> Engine:
    """Engine on a file. It is made here, once: later a missing file is an error and not a new database."""
    path = Path(str(url.database)).absolute()
    path.touch()
    name = f"{path.as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(name, uri=True, timeout=_WAIT_S, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def mark(_: object, record: ConnectionPoolEntry) -> None:
        record.info["file"] = _file(path)

    @event.listens_for(engine, "checkout")
    def compare(_: object, record: ConnectionPoolEntry, __: object) -> None:
        if record.info["file"] != _file(path):  # moved away: what was written to it now would be lost
            raise DisconnectionError

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Who reads first and writes then can be refused in between, so writers say so at once and wait their turn.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _file(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _postgresql(url: URL) -> Engine:
    # A server that has gone without a word is noticed within half a minute; what the URL says goes before.
    patience = {
        "connect_timeout": "10",
        "keepalives_idle": "20",
        "keepalives_interval": "5",
        "keepalives_count": "2",
        "tcp_user_timeout": "30000",
        "application_name": "anomalign",
    }
    patience = {key: value for key, value in patience.items() if key not in url.query}
    try:
        engine = create_engine(
            url, pool_pre_ping=True, isolation_level="READ COMMITTED", hide_parameters=True, connect_args=patience
        )
    except ImportError:
        raise StoreError("PostgreSQL needs its driver; install it with: pip install 'anomalign[postgres]'") from None

    @event.listens_for(engine, "connect")
    def settle(connection: Any, _: object) -> None:
        connection.execute(f"SET lock_timeout = '{_WAIT_S}s'")
        # A commit must be on the disk when it returns, whatever the server was set to.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        connection.commit()

    return engine


def insertion(connection: Connection, table: Table) -> sqlite_dialect.Insert | postgresql_dialect.Insert:
    """An INSERT that can say what to do where there is such a row; each dialect has its own."""
    return sqlite_dialect.insert(table) if connection.dialect.name == "sqlite" else postgresql_dialect.insert(table)


def new_id(connection: Connection, insertion: Insert, values: dict[str, Any]) -> int:
    """Insert one row; its id. Values beside the statement, not in it: only so is its SQL made once."""
    key = connection.execute(insertion, values).inserted_primary_key
    return int(key[0]) if key else 0
