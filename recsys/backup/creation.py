"""Makes a backup: one snapshot of the database, the files, and what only Redis has."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import LiteralString

import psycopg
import redis
from psycopg import sql

from recsys import clock
from recsys.artifacts.store import ArtifactStore, artifact_store
from recsys.backup.files import Progress, copied, digest_of, kept_files, streamed
from recsys.backup.manifest import DATABASE, FILES, MANIFEST, REDIS, BackupFile, Manifest, dump_of
from recsys.backup.postgres_tools import PostgresTool, find_tool, run_tool
from recsys.backup.redis_keys import save_keys
from recsys.cache.client import connect, redis_url
from recsys.database import migrate
from recsys.database.addresses import libpq_url, other_urls
from recsys.database.base import SCHEMAS
from recsys.database.session import reaching
from recsys.errors import Conflict, Invalid, NotFound, Unavailable
from recsys.settings import Settings

__all__ = ["count_lists", "count_rows", "create"]

_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%s) ORDER BY 1, 2
"""
_LISTS = """
SELECT g.id::text, count(s.user_id) FROM recommendations_db.recommendation_generations g
LEFT JOIN recommendations_db.stored_lists s ON s.generation_id = g.id
WHERE g.status IN ('live', 'former') GROUP BY g.id ORDER BY g.id
"""
_ACTIVE = """
SELECT name, coalesce(parameters ->> 'artifact', 'models/' || name)
FROM recommendations_db.recommendation_models WHERE is_active ORDER BY id DESC LIMIT 1
"""
# what other programs put beside our schemas is not ours to back up, and would stop a restore
_FOREIGN_SCHEMAS: LiteralString = """
SELECT nspname FROM pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> ALL(%s) AND nspname NOT IN ('information_schema', 'public')
"""
_FOREIGN_TABLES: LiteralString = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relname <> 'alembic_version'
"""


def create(settings: Settings, destination: Path, progress: Progress = lambda *_: None) -> Manifest:
    """Write the folder `destination` whole or not at all, while the shop serves.

    Raises
    ------
    Conflict
        The folder is there already and is not empty, the schema is not of this program, or the files of the
        active model are not below `var/`.
    Invalid
        The folder is inside of what is backed up, or cannot be made.
    Unavailable
        A server, the store of artifacts or pg_dump does not answer, or the folder cannot be written.
    """
    var, destination = settings.var.resolve(), destination.resolve()
    if destination.is_relative_to(var):
        raise Invalid(f"{destination} lies in {var}, which is backed up; choose a folder outside of it")
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise Conflict(f"{destination} is there already; choose a new folder for each backup")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        # closed to others: it holds everything that the shop knows about persons
        staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
    except OSError as error:
        raise Invalid(f"{destination} cannot be made: {error.strerror}; choose another folder") from error
    try:
        manifest = _fill(settings, staging, progress)
        manifest.write(staging)
        for path in (staging / MANIFEST, staging):
            _sync(path)
        if destination.exists():
            destination.rmdir()
        os.replace(staging, destination)
    except OSError as error:
        raise Unavailable(f"the backup could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def count_rows(connection: psycopg.Connection) -> dict[str, int]:
    """The rows of each table of the shop, as this transaction sees them."""
    counts = {}
    for schema, table in connection.execute(_TABLES, [list(SCHEMAS)]).fetchall():
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
        row = connection.execute(query).fetchone()
        assert row is not None
        counts[f"{schema}.{table}"] = int(row[0])
    return counts


def count_lists(connection: psycopg.Connection) -> dict[str, int]:
    """The stored lists of each generation that is live or kept."""
    return dict(connection.execute(_LISTS).fetchall())


def _fill(settings: Settings, staging: Path, progress: Progress) -> Manifest:
    url, var = libpq_url(settings), settings.var.resolve()
    schema = migrate.check(url)
    if schema.state != "current":
        raise Conflict(
            f"the database has schema {schema.current or 'none'}, and this program {schema.head}; "
            "run `recsys migrate` first, or the version that the database is of"
        )
    # Waiting writes move from the disk to Redis to PostgreSQL: saved in this order, none is missed. A write
    # that is saved twice is a repeat, which the intake recognises.
    waiting = _files(var, [path for path in kept_files(var) if _is_waiting(path, var)], staging, progress)
    try:
        with connect(redis_url(settings)) as client:
            saved = save_keys(client, staging / REDIS)
    except (redis.RedisError, OSError) as error:
        raise Unavailable(
            f"Redis does not answer ({error}); carts and waiting writes are only there"
        ) from error
    urls = {name: f"postgresql://{other.partition('://')[2]}" for name, other in other_urls(settings).items()}
    with ExitStack() as snapshots:
        # At the same moment, however long the dumps take. The shop's first: what its events lead to is stored
        # on other servers once, and may be brought again. Who comes in between is left out by the restore.
        of_shop = snapshots.enter_context(_snapshot(url))
        of_others = {name: snapshots.enter_context(_snapshot(other)) for name, other in urls.items()}
        shop = _dumped(of_shop, url, staging / DATABASE, progress)
        others = {
            name: _dumped(of_others[name], other, staging / dump_of(name), progress)
            for name, other in urls.items()
        }
    store = artifact_store(settings)
    names = frozenset(store.names() if store.is_shared else ())
    own = [
        path
        for path in kept_files(var)
        if not _is_waiting(path, var) and not _is_copy(path.relative_to(var), names)
    ]
    files = [*_published(store, names, staging, progress), *_files(var, own, staging, progress)]
    of_lists = others.get("recommendations", shop)
    active = of_lists.active
    if active is not None and f"{FILES}/{active[1]}/model.json" not in {each.path for each in files}:
        raise Conflict(
            f"{active[0]} is active and its files are not below {var / active[1]}; "
            "is RECSYS_VAR the shop's? Links are not followed"
        )
    return Manifest(
        created_at=clock.now().isoformat(timespec="seconds"),
        program=installed_version("recsys"),
        schema=schema.head,
        server=max(each.server for each in (shop, *others.values())),
        tool=max(each.tool for each in (shop, *others.values())),
        tables=shop.tables,
        lists=of_lists.lists,
        redis_keys=saved,
        files=(
            shop.file,
            *(each.file for each in others.values()),
            *waiting,
            *files,
            digest_of(staging / REDIS, REDIS),
        ),
        servers={name: each.tables for name, each in others.items()},
    )


@dataclass(frozen=True)
class _Dumped:
    """The dump of a database, and what its snapshot holds.

    Attributes
    ----------
    active
        Name and folder of the model that serves.
    """

    file: BackupFile
    server: int
    tool: int
    tables: dict[str, int]
    lists: dict[str, int]
    active: tuple[str, str] | None


@contextmanager
def _snapshot(url: str) -> Iterator[psycopg.Connection]:
    """A connection that sees a database as it is now, however long it reads."""
    with reaching(url), psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute("SELECT 1")  # the first statement takes the snapshot
        yield connection


def _dumped(connection: psycopg.Connection, url: str, target: Path, progress: Progress) -> _Dumped:
    with reaching(url):
        server = connection.info.server_version
        tool = find_tool("pg_dump", server // 10000, server=server // 10000)
        # the rows are counted in the snapshot that is dumped
        dump = _dump(connection, tool, url, target, progress)
        active = connection.execute(_ACTIVE).fetchone()
        return _Dumped(dump, server, tool.major, count_rows(connection), count_lists(connection), active)


def _dump(
    connection: psycopg.Connection, tool: PostgresTool, url: str, target: Path, progress: Progress
) -> BackupFile:
    """Dump our schemas as the transaction of `connection` sees them."""
    row = connection.execute("SELECT pg_export_snapshot()").fetchone()
    assert row is not None
    left_out = [
        f"--exclude-schema={_pattern(name)}"
        for (name,) in connection.execute(_FOREIGN_SCHEMAS, [list(SCHEMAS)])
    ]
    left_out += [
        f"--exclude-table=public.{_pattern(name)}" for (name,) in connection.execute(_FOREIGN_TABLES)
    ]
    options = ["--format=custom", "--compress=1", "--no-owner", "--no-privileges", *left_out]
    with (
        target.open("wb") as dump,
        run_tool(tool, [*options, f"--snapshot={row[0]}"], url) as process,
    ):
        assert process.stdout is not None
        return streamed(process.stdout, target.name, progress, dump)


def _is_waiting(path: Path, var: Path) -> bool:
    """Whether a file holds writes that wait on disk for Redis."""
    return path.is_relative_to(var / "spool")


def _files(var: Path, sources: list[Path], staging: Path, progress: Progress) -> list[BackupFile]:
    entries = []
    for source in sources:
        name = f"{FILES}/{source.relative_to(var).as_posix()}"
        entry = copied(source, staging / name, name, progress)
        if entry is not None:
            entries.append(entry)
    return entries


def _is_copy(path: Path, names: Collection[str]) -> bool:
    """Whether a path below var is of what the store has, perhaps as it was before."""
    return any(each.as_posix() in names for each in (path, *path.parents))


def _published(
    store: ArtifactStore, names: Collection[str], staging: Path, progress: Progress
) -> list[BackupFile]:
    """What hosts share, from its store, under the paths where it would lie below var."""
    entries = []
    for name in sorted(names):
        try:
            with store.some_files(name, lambda _: True) as folder:
                for file in store.manifest(name).files:
                    source = folder / file.path if file.path else folder
                    path = "/".join((FILES, name, file.path)).rstrip("/")
                    entries.append(copied(source, staging / path, path, progress))
        except NotFound:
            # withdrawn meanwhile
            continue
    return [entry for entry in entries if entry is not None]


def _pattern(name: str) -> str:
    """A name as pg_dump's pattern for exactly this name."""
    return '"' + name.replace('"', '""') + '"'


def _sync(path: Path) -> None:
    with suppress(PermissionError):  # Windows opens no folder
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
