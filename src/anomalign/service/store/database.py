"""SQLite or PostgreSQL: durable commits, errors of the driver as `StoreError`, and schema migrations."""

import contextlib
import re
import sqlite3
import threading
import time
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
_MIGRATING = threading.Lock()  # Alembic has one `context` per process
_ADVISORY_LOCK = 0x616E6F6D616C6967  # in PostgreSQL: one process migrates at a time
_WAIT_S = 30
_FORMS = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
_REMEDIES = (
    (("is full", "No space left", "disk full"), "free space on its disk"),
    (("is locked", "lock timeout"), "another program holds the lock; try again when it has finished"),
    (("readonly", "permission denied", "Permission denied"), "give this program's user the right to write it"),
    (("malformed", "not a database"), "restore it from a copy"),
    (("unable to open", "No such file", "irectory"), "check that its folder exists and is writable"),
    (("password authentication", "does not exist"), "check the user and the database in its URL"),
)


class Database:
    """One database. Safe to use from several threads.

    Raises
    ------
    StoreError
        Here and in `reading` and `writing`: the database cannot be reached or written.
    """

    def __init__(self, url: str) -> None:
        parsed = parse(url)
        self.display_url = parsed.set(query={}).render_as_string(hide_password=True)
        self._secrets = _secrets(parsed)
        self.file = Path(str(parsed.database)).absolute() if parsed.get_backend_name() == "sqlite" else None
        with self.translate_errors():
            self._engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql(parsed)
        self._writer = self._engine.execution_options(writes=True)

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.translate_errors(), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction. It is on the disk when the context ends, and rolled back if the context ends with an error."""
        with self.translate_errors(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    def migrate(self) -> None:
        """Bring the schema to the newest revision, in one transaction.

        Raises
        ------
        StoreError
            A newer version of this package made the schema, or the tables belong to another program.
        """
        from alembic import command
        from alembic.config import Config
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        script = ScriptDirectory.from_config(config)
        revisions = {revision.revision for revision in script.walk_revisions()}
        with _MIGRATING, self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
            current = set(context.get_current_heads())
            if current - revisions:
                raise StoreError(
                    f"{self.display_url}: made by a newer version of anomalign (schema {', '.join(sorted(current))}); "
                    "install that version, or name another database"
                )
            if current != set(script.get_heads()):
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise the driver's errors as `StoreError`."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError, OverflowError) as error:
            text, has_secret = self._text(error)
            raise self._error(error, text) from (None if has_secret else error)  # a log shows the cause

    def _text(self, error: Exception) -> tuple[str, bool]:
        """Return the driver's message without passwords, and whether there was one in it."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        message = getattr(getattr(cause, "diag", None), "message_primary", None)  # without the statement and its values
        message = message or (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
        text = " ".join(message.split())
        censored = text
        for secret in self._secrets:
            censored = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", censored)
        return censored, censored != text

    def _error(self, error: Exception, text: str) -> StoreError:
        unreachable = isinstance(error, OperationalError | InterfaceError | PoolTimeoutError | OSError)
        default = "check that the database is running and can be reached" if unreachable else "nothing was written"
        remedy = next((remedy for words, remedy in _REMEDIES if any(word in text for word in words)), default)
        return StoreError(f"{self.display_url}: {text}; {remedy}")


def parse(url: str) -> URL:
    """Parse the URL of a database, without connecting to it.

    Raises
    ------
    StoreError
        The URL is not valid, or names a database that is not supported.
    """
    try:
        parsed = make_url(url)
        backend, driver = parsed.get_backend_name(), parsed.drivername.partition("+")[2]
    except (SQLAlchemyError, ValueError):
        raise StoreError(
            f"the URL of the database is not valid; use {_FORMS}"
        ) from None  # the cause may show a password
    if backend in ("postgresql", "postgres") and driver in ("", "psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or driver not in ("", "pysqlite"):
        raise StoreError(f"{parsed.drivername}: this kind of database is not supported; use {_FORMS}")
    if parsed.database in (None, "", ":memory:"):
        raise StoreError("sqlite://: a database in memory is lost when the service stops; name a file: sqlite:///FILE")
    return parsed


def _secrets(url: URL) -> list[str]:
    passwords = [value for key, value in url.query.items() if "pass" in key.lower() and isinstance(value, str)]
    return [secret for secret in (url.password, *passwords) if secret]


def _sqlite(url: URL) -> Engine:
    """Make an engine for a file. The file is made only here: later a missing file is an error, not a new database."""
    path = Path(str(url.database)).absolute()
    path.touch()
    name = f"{path.as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(name, uri=True, timeout=_WAIT_S, check_same_thread=False, isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def mark(_: object, record: ConnectionPoolEntry) -> None:
        record.info["file"] = _file(path)

    @event.listens_for(engine, "checkout")
    def compare(_: object, record: ConnectionPoolEntry, __: object) -> None:
        if record.info["file"] != _file(path):  # the file was moved: what is written to it now would be lost
            raise DisconnectionError

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # SQLite can refuse a write in a transaction that began with a read, so a writer waits for the lock first.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Set the journal mode. SQLite refuses at once, without a wait, where another process writes the new file."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _file(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _postgresql(url: URL) -> Engine:
    # A server that disappears is noticed within half a minute. Options in the URL take precedence.
    timeouts = {
        "connect_timeout": "10",
        "keepalives_idle": "20",
        "keepalives_interval": "5",
        "keepalives_count": "2",
        "tcp_user_timeout": "30000",
        "application_name": "anomalign",
    }
    timeouts = {key: value for key, value in timeouts.items() if key not in url.query}
    try:
        engine = create_engine(
            url, pool_pre_ping=True, isolation_level="READ COMMITTED", hide_parameters=True, connect_args=timeouts
        )
    except ImportError:
        raise StoreError("PostgreSQL needs its driver; install it with: pip install 'anomalign[postgres]'") from None

    @event.listens_for(engine, "connect")
    def settle(connection: Any, _: object) -> None:
        connection.execute(f"SET lock_timeout = '{_WAIT_S}s'")
        # A commit must be on the disk when it returns, whatever the settings of the server.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        connection.commit()

    return engine


def insertion(connection: Connection, table: Table) -> sqlite_dialect.Insert | postgresql_dialect.Insert:
    """Make an INSERT with an ON CONFLICT clause; each dialect has its own."""
    return sqlite_dialect.insert(table) if connection.dialect.name == "sqlite" else postgresql_dialect.insert(table)


def new_id(connection: Connection, insertion: Insert, values: dict[str, Any]) -> int:
    """Insert one row and return its id. With the values outside of the statement its SQL is compiled only once."""
    key = connection.execute(insertion, values).inserted_primary_key
    return int(key[0]) if key else 0
