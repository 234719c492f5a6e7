"""A PostgreSQL server for the tests, in a new folder on a free port."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

PASSWORD = "p@ss:w/rd %1?"


def programs():
    """Return the folder of `initdb` and `postgres`, or None."""
    initdb = shutil.which("initdb")
    folders = [Path(initdb).resolve().parent] if initdb else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


class Server:
    """A PostgreSQL server. It refuses to run as root, so root starts it as `postgres` or `nobody`."""

    def __init__(self):
        self.programs = programs()
        if self.programs is None:
            pytest.skip("PostgreSQL is not installed")
        self.user = None
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            self.user = "postgres" if "postgres" in names else "nobody"
        self.folder = Path(
            tempfile.mkdtemp(prefix="anomalign-postgresql-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
        )
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        self.own(self.folder, secret)
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--username=records", "--encoding=UTF8", "--locale=C"]
        initdb = [self.programs / "initdb", "-D", self.folder / "data", "--no-sync", *options]
        subprocess.run(initdb, check=True, capture_output=True, cwd=self.folder, user=self.user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = None
        self.count = 0
        self.start()

    def own(self, *paths):
        for path in paths:
            if self.user is not None:
                shutil.chown(path, self.user)

    def start(self, *settings):
        """Start and wait until the server answers; after a kill this includes its recovery."""
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", "", *(f"-c{setting}" for setting in settings)]
        deadline = time.monotonic() + 60
        while True:
            if self.process is None or self.process.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    command = [self.programs / "postgres", "-D", self.folder / "data", *options]
                    self.process = subprocess.Popen(command, stderr=log, stdout=log, cwd=self.folder, user=self.user)
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self, how=signal.SIGINT):
        """Stop the server: SIGINT closes connections and shuts down, SIGQUIT skips the clean-up, SIGKILL is a crash."""
        self.process.send_signal(how)
        self.process.wait(60)

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.stop(signal.SIGQUIT)  # its files are not needed any more
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database, password=PASSWORD):
        return f"postgresql://records:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement, database="postgres"):
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            return connection.execute(statement).pgresult

    def new_database(self, options=""):
        """Make a database and return its URL."""
        self.count += 1
        self.execute(f"CREATE DATABASE test{self.count} {options}")
        return self.url(f"test{self.count}")

    def new_schema(self):
        """Make a schema and return its URL: it is as separate as a database, and a hundred times faster to make."""
        self.count += 1
        self.execute(f"CREATE SCHEMA test{self.count}")
        return f"{self.url('postgres')}?options=-csearch_path%3Dtest{self.count}"
