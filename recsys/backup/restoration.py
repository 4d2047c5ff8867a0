"""Restores a backup into a database, a `var/` and a Redis, and compares what is there afterwards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from psycopg import sql
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from recsys import environment
from recsys.artifacts.store import ArtifactStore, artifact_store
from recsys.backup.creation import count_lists, count_rows
from recsys.backup.files import Progress, kept_parts
from recsys.backup.manifest import DATABASE, FILES, REDIS, Manifest, dump_of
from recsys.backup.postgres_tools import CHUNK, find_tool, run_tool
from recsys.backup.redis_keys import check_empty, check_readable, restore_keys
from recsys.backup.verification import verify
from recsys.cache.client import connect, redis_url
from recsys.database import migrate
from recsys.database.addresses import libpq_url, other_urls
from recsys.database.base import BEFORE_RESTORE, SCHEMAS
from recsys.database.servers.placement import ServerName
from recsys.database.servers.shop_references import drop_missing_references
from recsys.database.session import reaching
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.errors import Conflict, Invalid, Unavailable
from recsys.settings import Settings

__all__ = ["Restoration", "restore"]

_TAKEN = """
SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)
UNION SELECT 'alembic_version' WHERE to_regclass('public.alembic_version') IS NOT NULL
"""
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@dataclass(frozen=True)
class Restoration:
    """What was restored; counts are those of the restored servers, and equal to the manifest's.

    Attributes
    ----------
    schema
        Version of the database now.
    tables, rows
        Number of the tables, and of the rows of all of them.
    lists
        Stored lists by generation.
    cached_lists
        Stored lists that were written to Redis from PostgreSQL.
    redis_keys
        Number of the keys of Redis.
    files
        Number of the files below `var/`.
    left_out
        Rows of other servers that were left out, or without their reference: what they refer to is not in the
        shop's database, as it came while the backup began.
    """

    schema: str
    tables: int
    rows: int
    lists: dict[str, int]
    cached_lists: int
    redis_keys: int
    files: int
    left_out: int = 0


def restore(
    settings: Settings,
    folder: Path,
    *,
    overwrite: bool = False,
    migrate_after: bool = False,
    progress: Progress = lambda *_: None,
) -> Restoration:
    """Bring the shop of a backup into the servers and the `var/` of `settings`.

    The backup is verified first. Where something fails before Redis is filled, nothing has changed. Where
    Redis fails then, the database and `var/` are those of the backup, and a second restore fills Redis.

    Raises
    ------
    Invalid
        The backup is damaged, or the database, `var/` or Redis is not empty (without `overwrite`).
    Conflict
        The backup is of a newer schema, of an older one (without `migrate_after`) or of a newer
        PostgreSQL, something uses the database, or a former restore was interrupted.
    Unavailable
        A server or pg_restore does not answer, or the counts differ afterwards.
    """
    found = verify(folder, progress)
    manifest = found.manifest
    if found.faults:
        raise Invalid(f"{folder} is damaged: {found.faults[0]}; nothing was changed, use another backup")
    _check_schema(manifest, found.restorable, migrate_after=migrate_after)
    url, var = libpq_url(settings), settings.var.resolve()
    if api := environment.running_api(var):
        raise Conflict(f"an API runs at {api}; stop it, the relay and the consumers before a restore")
    others = _matching_servers(manifest, settings)
    _check_redis(settings, folder, overwrite=overwrite)
    _check_store(artifact_store(settings), overwrite=overwrite)
    # the database is final first: the files of a shop are put back when its schemas are
    with (
        _replaced_files(folder, var, overwrite=overwrite),
        _replaced_schemas(url, manifest, overwrite=overwrite),
        ExitStack() as replaced,
    ):
        for other in others.values():
            replaced.enter_context(_replaced_schemas(other, manifest, overwrite=overwrite))
        _load(url, folder / DATABASE, manifest, progress)
        has_lists = "recommendations" not in others
        _compare(url, manifest.tables, manifest.lists if has_lists else {})
        for name, other in others.items():
            _load(other, folder / dump_of(name), manifest, progress)
            _compare(other, manifest.servers[name], manifest.lists if name == "recommendations" else {})
            migrate.upgrade(other, server=name)
        schema = migrate.upgrade(url)
        # a new user would otherwise get the id, and with it what is stored of somebody else
        left_out = sum(_drop_missing_references(name, url, other) for name, other in others.items())
    restored_keys, cached = _fill_redis(settings, folder, others.get("recommendations", url))
    _fill_store(artifact_store(settings))
    return Restoration(
        schema=schema,
        tables=len(manifest.tables),
        rows=sum(sum(rows.values()) for rows in manifest.dumps.values()),
        lists=manifest.lists,
        cached_lists=cached,
        redis_keys=restored_keys,
        files=sum(each.path.startswith(f"{FILES}/") for each in manifest.files),
        left_out=left_out,
    )


def _matching_servers(manifest: Manifest, settings: Settings) -> dict[ServerName, str]:
    """The addresses of the servers beside the shop's; Conflict where they are not those of the backup."""
    others = {name: f"postgresql://{url.partition('://')[2]}" for name, url in other_urls(settings).items()}
    if missing := sorted(set(manifest.servers) - set(others)):
        raise Conflict(
            f"the backup is of a shop with servers of their own for {', '.join(missing)}; "
            f"set RECSYS_DATABASE__{missing[0].upper()}_URL"
        )
    if added := sorted(set(others) - set(manifest.servers)):
        raise Conflict(
            f"the backup has the rows of {', '.join(added)} in the shop's database; restore without "
            f"RECSYS_DATABASE__{added[0].upper()}_URL, then set it and run `recsys migrate` and "
            f"`recsys migrate --move {added[0]}`"
        )
    return others


def _check_redis(settings: Settings, folder: Path, *, overwrite: bool) -> None:
    """Raise Invalid or Unavailable where Redis cannot be filled; nothing has changed then."""
    try:
        with connect(redis_url(settings)) as client:
            check_empty(client, overwrite=overwrite)
            check_readable(client, folder / REDIS)
    except redis.RedisError as error:
        raise Unavailable(f"Redis does not answer ({error}); nothing was changed") from error


def _fill_redis(settings: Settings, folder: Path, url: str) -> tuple[int, int]:
    """The number of keys that were restored, and of stored lists that were written from PostgreSQL."""
    remedy = (
        "the database and the files are restored; restore again with --overwrite for carts and waiting writes"
    )
    try:
        with connect(redis_url(settings)) as client:
            client.flushdb()
            restored = restore_keys(client, folder / REDIS)
            with reaching(url), psycopg.connect(url) as connection:
                return restored, list_cache.rebuild(client, connection)
    except redis.RedisError as error:
        raise Unavailable(f"Redis does not answer ({error}); {remedy}") from error
    except Unavailable as error:
        raise Unavailable(f"{error.message}; {remedy}") from error


def _check_store(store: ArtifactStore, *, overwrite: bool) -> None:
    """Raise Invalid or Unavailable where the store of artifacts cannot be filled; nothing changed then."""
    if not store.is_shared:
        return
    store.check()
    if not overwrite and (names := store.names()):
        raise Invalid(
            f"{store.address} has {names[0]} and {len(names) - 1} more already; restore with "
            "RECSYS_ARTIFACTS__ADDRESS at an empty place, or add --overwrite to replace them"
        )


def _fill_store(store: ArtifactStore) -> None:
    """Publish what the backup has brought, and withdraw what it does not have."""
    if not store.is_shared:
        return
    try:
        names = store.local_names()
        for name in names:
            store.publish(name)
        for name in sorted({*store.names()} - {*names}):
            store.withdraw(name)
    except Unavailable as error:
        raise Unavailable(
            f"{error.message}; the database, Redis and var are restored; restore again with --overwrite for "
            "what other hosts read"
        ) from error


def _check_schema(manifest: Manifest, restorable: str, *, migrate_after: bool) -> None:
    if restorable == "no":
        raise Conflict(
            f"the backup has schema {manifest.schema} (recsys {manifest.program}), which is newer than this "
            f"program's {migrate.head()}; restore it with that version"
        )
    if restorable != "yes" and not migrate_after:
        raise Conflict(
            f"the backup has schema {manifest.schema}, which is older than this program's {migrate.head()}; "
            "add --migrate to bring it up to date, or restore it with the version that made it"
        )


@contextmanager
def _replaced_schemas(url: str, manifest: Manifest, *, overwrite: bool) -> Iterator[None]:
    """Set our schemas aside, and drop them at the end, or put them back when the block fails."""
    with reaching(url), psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute("SELECT nspname FROM pg_namespace").fetchall()
        migrate.check_not_interrupted(name for (name,) in names)
        if connection.info.server_version // 10000 < manifest.server // 10000:
            raise Conflict(
                f"the backup is of PostgreSQL {manifest.server // 10000}, the server has "
                f"{connection.info.server_version // 10000}; restore into the same or a newer version"
            )
        taken = {name for (name,) in connection.execute(_TAKEN, [list(SCHEMAS)])}
        if taken and not overwrite:
            raise Invalid(
                f"the database has {', '.join(sorted(taken))} already; restore into an empty database, "
                "or add --overwrite to replace them"
            )
        others = connection.execute(_OTHERS).fetchone()
        if others is not None and others[0]:
            raise Conflict(
                f"{others[0]} other connections use the database; stop the API, the relay, the consumers and "
                "other programs before a restore"
            )
        schemas = sorted(taken & set(SCHEMAS))
        _set_aside(connection, schemas)
        try:
            yield
            with connection.transaction():
                for schema in schemas:
                    connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(_aside(schema)))
        except BaseException:
            _put_back(connection, schemas)
            raise


def _set_aside(connection: psycopg.Connection, schemas: list[str]) -> None:
    with connection.transaction():
        for schema in schemas:
            connection.execute(
                sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(sql.Identifier(schema), _aside(schema))
            )
        if schemas:
            connection.execute(
                sql.SQL("ALTER TABLE IF EXISTS public.alembic_version SET SCHEMA {}").format(
                    _aside(schemas[0])
                )
            )


def _put_back(connection: psycopg.Connection, schemas: list[str]) -> None:
    with connection.transaction():
        for schema in SCHEMAS:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
        connection.execute("DROP TABLE IF EXISTS public.alembic_version")
        if schemas:
            connection.execute(
                sql.SQL("ALTER TABLE IF EXISTS {}.alembic_version SET SCHEMA public").format(
                    _aside(schemas[0])
                )
            )
        for schema in schemas:
            connection.execute(
                sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(_aside(schema), sql.Identifier(schema))
            )


def _aside(schema: str) -> sql.Identifier:
    return sql.Identifier(f"{schema}{BEFORE_RESTORE}")


def _load(url: str, path: Path, manifest: Manifest, progress: Progress) -> None:
    with reaching(url), psycopg.connect(url) as connection:
        server = connection.info.server_version // 10000
    # comments on extensions belong to their owner; the migration writes those of ours again
    options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", "--no-comments"]
    with (
        run_tool(find_tool("pg_restore", max(manifest.tool, server), server=server), options, url) as process,
        path.open("rb") as dump,
    ):
        assert process.stdin is not None
        while part := dump.read(CHUNK):
            process.stdin.write(part)
            progress("into PostgreSQL", len(part))
        process.stdin.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")


def _drop_missing_references(name: ServerName, shop_url: str, url: str) -> int:
    urls = [f"postgresql+psycopg://{each.partition('://')[2]}" for each in (url, shop_url)]
    other, shop = (create_engine(each, poolclass=NullPool) for each in urls)
    with reaching(url), other.begin() as connection, shop.connect() as to_shop:
        return drop_missing_references(name, connection, to_shop)


def _compare(url: str, tables: dict[str, int], stored: dict[str, int]) -> None:
    with psycopg.connect(url) as connection:
        rows, lists = count_rows(connection), count_lists(connection)
    wrong = sorted(table for table in rows.keys() | tables.keys() if rows.get(table) != tables.get(table))
    if wrong or lists != stored:
        raise Unavailable(
            f"after the restore {', '.join(wrong) or 'the stored lists'} differ from the manifest; "
            "the database was put back as it was"
        )


@contextmanager
def _replaced_files(folder: Path, var: Path, *, overwrite: bool) -> Iterator[None]:
    """Exchange the files below `var` for the backup's, and put them back when the block fails."""
    old = kept_parts(var)
    if old and not overwrite:
        raise Invalid(
            f"{var} has {', '.join(path.relative_to(var).as_posix() for path in old)} already; restore with "
            "RECSYS_VAR at an empty folder, or add --overwrite to replace them"
        )
    try:
        var.mkdir(mode=0o700, parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".restore-", dir=var))
        new = staging / "new"
        shutil.copytree(folder / FILES, new) if (folder / FILES).is_dir() else new.mkdir()
    except OSError as error:
        raise Unavailable(f"the files could not be copied to {var}: {error}") from error
    try:
        added = _exchange(var, old, staging / "old", new)
        try:
            yield
        except BaseException:
            _exchange(var, added, staging / "failed", staging / "old")
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _exchange(var: Path, parts: list[Path], aside: Path, new: Path) -> list[Path]:
    """Move `parts` of `var` to `aside`, and those of the folder `new` to `var`; the latter."""
    for part in parts:
        target = aside / part.relative_to(var)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.rename(target)
    added = []
    for part in kept_parts(new):
        target = var / part.relative_to(new)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.rename(target)
        added.append(target)
    return added
