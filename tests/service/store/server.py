"""A real PostgreSQL of our own, in a new folder on a free port."""

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
    """The folder of `initdb` and `postgres`, or None."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


class Server:
    """PostgreSQL refuses to run as root, so then it runs as its own user, or as nobody."""

    def __init__(self):
        self.programs = programs()
        if self.programs is None:
            pytest.skip("PostgreSQL is not installed")
        self.user = None
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            self.user = "postgres" if "postgres" in names else "nobody"
        self.folder = Path(tempfile.mkdtemp(prefix="anomalign-postgresql-"))
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
        self.made = 0
        self.start()

    def own(self, *paths):
        for path in paths:
            if self.user is not None:
                shutil.chown(path, self.user)

    def start(self, *settings):
        """Start and wait until it answers; after a kill, until what is left of the last one is gone."""
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
        """SIGINT ends every connection and stops in order, SIGQUIT does not tidy up, SIGKILL is a crash."""
        self.process.send_signal(how)
        self.process.wait(60)

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.stop(signal.SIGQUIT)  # nobody needs its files any more, so they need not be written out
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database, password=PASSWORD):
        return f"postgresql://records:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement, database="postgres"):
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            return connection.execute(statement).pgresult

    def database(self, options=""):
        """URL of a new database."""
        self.made += 1
        self.execute(f"CREATE DATABASE test{self.made} {options}")
        return self.url(f"test{self.made}")

    def new(self):
        """URL of a new schema, which is as good as a database and made in a hundredth of the time."""
        self.made += 1
        self.execute(f"CREATE SCHEMA test{self.made}")
        return f"{self.url('postgres')}?options=-csearch_path%3Dtest{self.made}"
