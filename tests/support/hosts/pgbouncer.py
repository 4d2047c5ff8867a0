"""PgBouncer of Debian in transaction mode, before the databases of a test server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
import pytest

from tests.support.servers import temporary_var

__all__ = ["pgbouncer", "through"]

_CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password='{password}'

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
server_check_delay = 0
logfile = {folder}/pgbouncer.log
"""


@contextmanager
def pgbouncer(database_url: str, *, size: int = 8) -> Iterator[int]:
    """Run PgBouncer before the server of the address.

    Skips the test where it is not installed.

    Parameters
    ----------
    size
        Sessions of PostgreSQL that all clients of one database share.

    Yields
    ------
    int
        Its port.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer)")
    parts = urlsplit(database_url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = free.getsockname()[1]
    # it refuses to run as root, and another user may not enter a folder of pytest's
    user = "nobody" if os.getuid() == 0 else None
    with temporary_var("recsys-pgbouncer-") as folder:
        if user is not None:
            shutil.chown(folder, user)
        configuration = Path(folder) / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(
                host=parts.hostname,
                port=parts.port,
                user=parts.username,
                password=unquote(parts.password or "").replace("'", "''"),
                listen=listen,
                size=size,
                folder=folder,
            )
        )
        process = subprocess.Popen([program, "--quiet", str(configuration)], user=user, cwd="/")
        try:
            _wait(through(listen, database_url), process, Path(folder) / "pgbouncer.log")
            yield listen
        finally:
            process.terminate()
            process.wait(30)


def through(port: int, database_url: str) -> str:
    """The address of the same database by way of PgBouncer."""
    return urlunsplit(urlsplit(database_url)._replace(netloc=f"shop@127.0.0.1:{port}"))


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(url, prepare_threshold=None).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"PgBouncer did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
