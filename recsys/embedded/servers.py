"""Both embedded servers together: start, stop, look, and tell their addresses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from recsys import clock
from recsys.embedded.account import Account, home_of, server_account, settle
from recsys.embedded.postgres import Postgres
from recsys.embedded.server import Server
from recsys.embedded.state import EmbeddedState, exclusive, load
from recsys.embedded.valkey import Valkey
from recsys.errors import Unavailable
from recsys.private_folder import keep_private
from recsys.settings import Settings

__all__ = [
    "Addresses",
    "ServerStatus",
    "addresses",
    "database_address",
    "redis_address",
    "remove",
    "start",
    "status",
    "stop",
]

KINDS: tuple[type[Server], ...] = (Postgres, Valkey)


@dataclass(frozen=True)
class Addresses:
    """URLs with their passwords (kept out of `repr`), for `postgresql://` and `redis://` clients."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    started: tuple[str, ...] = ()
    """Titles of the servers that the call started."""
    notes: tuple[str, ...] = ()
    """What the user should know: a damaged state file, data outside `var/`."""


@dataclass(frozen=True)
class ServerStatus:
    """What `recsys status` shows of one server; `external` means that a configured address is used."""

    name: str
    title: str
    state: Literal["running", "stopped", "external"]
    address: str | None = None
    """host:port, never a password."""
    pid: int | None = None
    port: int | None = None
    uptime_seconds: float | None = None
    version: str | None = None
    data_bytes: int | None = None
    folder: str | None = None
    log: str | None = None
    durable: bool | None = None


def start(settings: Settings, *, throwaway: bool = False) -> Addresses:
    """Start what does not run yet and return the addresses; calling it again changes nothing.

    Parameters
    ----------
    settings
        A server whose address they have is not started.
    throwaway
        For tests: new servers give up durability for speed.

    Raises
    ------
    Unavailable
        A server does not start; with the log's last lines.
    """
    own = {kind: _configured(settings, kind) for kind in KINDS}
    if all(own.values()):
        return addresses(settings)
    var = settings.var.resolve()
    notes, started = [], []
    account = server_account(var)
    _make(var, account)
    with exclusive(var):
        state, damage = load(var)
        if damage is not None:
            notes.append(f"{damage}; the servers were given new passwords, their data is untouched")
        home = settle(var, account, throwaway=throwaway)
        if var not in home.parents:
            notes.append(
                f"the servers' files lie in {home}, because the user that runs them "
                f"({account.name if account else 'this one'}) may not enter {var}"
            )
        for kind in KINDS:
            if own[kind] is None:
                server = kind(home, account)
                if server.ensure(state, throwaway=throwaway):
                    started.append(server.title)
    found = addresses(settings)
    return Addresses(found.database_url, found.redis_url, tuple(started), tuple(notes))


def stop(settings: Settings, *, only: Collection[str] = ("postgres", "valkey")) -> list[str]:
    """Stop the embedded servers (those named by `only`) cleanly and return the titles of those that ran."""
    var = settings.var.resolve()
    home = home_of(var)
    if home is None:
        return []
    stopped = []
    with exclusive(var):
        state, _ = load(var)
        for kind in KINDS:
            if kind.name not in only:
                continue
            server = kind(home, None)
            record = state.records.get(kind.name)
            process = server.process(record)
            if process is not None:
                server.stop(process)
                stopped.append(server.title)
            if record is not None and record.pid is not None:
                record.pid = record.created = record.started_at = None
                state.save()
    return stopped


def remove(settings: Settings) -> Path | None:
    """Stop the servers and delete their data for good; returns the folder that was deleted."""
    stop(settings)
    var = settings.var.resolve()
    home = home_of(var)
    if home is None:
        return None
    with exclusive(var):
        EmbeddedState(var).path.unlink(missing_ok=True)
        shutil.rmtree(home)
        link = var / "servers"
        if link.is_symlink():
            link.unlink()
    return home


def addresses(settings: Settings) -> Addresses:
    """Of the configured or running servers. Raises Unavailable naming `recsys up` when one is down."""
    return Addresses(database_address(settings), redis_address(settings))


def redis_address(settings: Settings) -> str:
    """The Redis URL alone, whatever the state of PostgreSQL. Raises Unavailable like `addresses`."""
    return _address(settings, Valkey)


def database_address(settings: Settings) -> str:
    """The PostgreSQL URL alone, whatever the state of Redis. Raises Unavailable like `addresses`."""
    return _address(settings, Postgres)


def status(settings: Settings, *, sizes: bool = True) -> list[ServerStatus]:
    """One entry for each server; never a password. Without `sizes` the data is not measured."""
    var = settings.var.resolve()
    state, _ = load(var)
    home = home_of(var)
    return [_status(kind, settings, state, home, sizes) for kind in KINDS]


def _status(
    kind: type[Server], settings: Settings, state: EmbeddedState, home: Path | None, sizes: bool
) -> ServerStatus:
    external = _configured(settings, kind)
    if external is not None:
        if external.partition("://")[0].endswith("+cluster"):
            # several places; the log-in stays out of sight
            return ServerStatus(
                kind.name, kind.title, "external", external.rpartition("/")[2].rpartition("@")[2]
            )
        parts = urlsplit(external)
        where = (
            f"{parts.hostname or 'localhost'}:{parts.port}"
            if parts.port
            else parts.hostname or "local socket"
        )
        return ServerStatus(kind.name, kind.title, "external", where)
    if home is None:
        return ServerStatus(kind.name, kind.title, "stopped")
    server = kind(home, None)
    record = state.records.get(kind.name)
    process = server.process(record)
    running = process is not None
    port = record.port if record is not None and running else None
    return ServerStatus(
        kind.name,
        kind.title,
        "running" if running else "stopped",
        address=f"127.0.0.1:{port}" if port else None,
        pid=process.pid if process else None,
        port=port,
        uptime_seconds=round(max(0.0, clock.now().timestamp() - process.create_time()), 1)
        if process
        else None,
        version=record.version if record else None,
        data_bytes=sum(_sizes(server.data)) if sizes else None,
        folder=str(server.data),
        log=str(server.log),
        durable=not record.throwaway if record else None,
    )


def _address(settings: Settings, kind: type[Server]) -> str:
    configured = _configured(settings, kind)
    if configured is not None:
        return configured
    var = settings.var.resolve()
    state, damage = load(var)
    if damage is not None:
        raise Unavailable(f"{damage}; run `recsys up`, which mends it")
    home = home_of(var)
    server = kind(home, None) if home is not None else None
    record = state.records.get(kind.name)
    if server is None or record is None or server.process(record) is None:
        raise Unavailable(
            f"the embedded {kind.title} is not running; start it with `recsys up`, "
            f"or set {_VARIABLE[kind.name]} to a server of your own"
        )
    return server.url(record)


_VARIABLE = {"postgres": "RECSYS_DATABASE__URL", "valkey": "RECSYS_REDIS__URL"}


def _configured(settings: Settings, kind: type[Server]) -> str | None:
    url: SecretStr | None = settings.database.url if kind.name == "postgres" else settings.redis.url
    return url.get_secret_value() if url is not None else None


def _make(var: Path, account: Account | None) -> None:
    """`var/` itself, private; the servers' account may pass through it."""
    try:
        keep_private(var, group=None if account is None else account.gid)
    except OSError as error:
        raise Unavailable(
            f"the folder {var} cannot be made ({error.strerror}); choose another one with RECSYS_VAR"
        ) from error


def _sizes(folder: Path) -> Iterator[int]:
    """Sizes of all files below; those that go away meanwhile count nothing."""
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(path, name)).st_size
            except OSError:
                continue
