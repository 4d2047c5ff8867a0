"""Whether the servers beside the shop's are whole: schema, prepared transactions, references to the shop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from sqlalchemy import Connection, Table, create_engine, text
from sqlalchemy.pool import NullPool

from recsys.database import migrate
from recsys.database.absence import refusal_of_writes
from recsys.database.addresses import connect_arguments, other_urls
from recsys.database.servers.joint_commit import count_in_doubt
from recsys.database.servers.placement import ServerName
from recsys.database.servers.relocation import has_deletion_trigger, left_behind
from recsys.database.servers.shop_references import missing_ids, shop_references
from recsys.database.session import reaching
from recsys.diagnosis.finding import Finding
from recsys.errors import RecsysError
from recsys.settings import Settings

__all__ = ["connection_to", "findings"]

_DOCUMENT = "see docs/operations/scaling.md, Servers of their own"
_MOST_REFERENCES = 10_000
_ALLOWED = text("SELECT current_setting('max_prepared_transactions')::integer")


def findings(settings: Settings, shop: Connection) -> list[Finding]:
    """A finding for each server that holds some of the tables, beside the shop's."""
    return [_finding(name, url, shop) for name, url in other_urls(settings).items()]


@contextmanager
def connection_to(settings: Settings, name: ServerName, shop: Connection) -> Iterator[Connection | None]:
    """A connection to the tables of a server: `shop` where they lie beside all others; None: not usable."""
    url = other_urls(settings).get(name)
    if url is None:
        yield shop
        return
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_arguments(url))
    with ExitStack() as opened:
        connection = None
        # the finding of the server itself says why
        with suppress(RecsysError):
            if migrate.check(url).usable:
                with reaching(url):
                    connection = opened.enter_context(engine.connect())
        yield connection


def _finding(name: ServerName, url: str, shop: Connection) -> Finding:
    part = f"{name} server"
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_arguments(url))
    try:
        schema = migrate.check(url)
        with reaching(url), engine.connect() as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
            found = f"version {version} answers"
            if refused := refusal_of_writes(connection):
                return Finding(part, "broken", f"{found}, but takes no writes: {refused}", "let it write")
            if not schema.usable:
                state = schema.current or "none"
                return Finding(
                    part, "broken", f"{found}; its schema is {state}, not {schema.head}", "recsys migrate"
                )
            if not connection.scalar(_ALLOWED):
                return Finding(
                    part,
                    "broken",
                    f"{found}; max_prepared_transactions is 0, so there is no commit on several servers",
                    f"set it to the number of its connections and restart it; {_DOCUMENT}",
                )
            in_doubt = count_in_doubt(connection)
            missing = _missing_references(name, connection, shop)
    except RecsysError as error:
        return Finding(part, "broken", error.message, f"start it; {_DOCUMENT}")
    if in_doubt:
        remedy = "a running relay ends them within a minute: recsys events relay"
        return Finding(
            part, "attention", f"{found}; {in_doubt} prepared transactions wait for their end", remedy
        )
    driver = shop.connection.driver_connection
    assert driver is not None
    if left := left_behind(driver, name):
        return Finding(
            part,
            "attention",
            f"{found}; the shop's server still has rows of {', '.join(left)}",
            f"stop the shop and run: recsys migrate --move {name}",
        )
    if not has_deletion_trigger(driver):
        found += "; the shop's server does not say which users are deleted"
        return Finding(part, "attention", found, "recsys migrate")
    if missing:
        return Finding(
            part,
            "attention",
            f"{found}; of its newest rows {', '.join(missing)}",
            "delete or clear these rows; what refers to a deleted user is that user's data",
        )
    return Finding(part, "ok", f"{found}, schema {schema.current}; references to the shop's rows are whole")


def _missing_references(name: ServerName, connection: Connection, shop: Connection) -> list[str]:
    """Which references of the newest rows lead to nothing on the shop's server, and how many."""
    missing = []
    for reference in shop_references(name):
        ids = _referred(connection, reference.table, reference.column.name)
        if several := len(missing_ids(shop, reference, ids)):
            missing.append(f"{several} in {reference.table.fullname} name missing {reference.target.name}")
    return missing


def _referred(connection: Connection, table: Table, column: str) -> list[int]:
    order = ", ".join(f"{each.name} DESC" for each in table.primary_key.columns)
    newest = f"SELECT {column} FROM {table.fullname} ORDER BY {order} LIMIT {_MOST_REFERENCES}"  # noqa: S608
    query = f"SELECT DISTINCT {column} FROM ({newest}) AS newest WHERE {column} IS NOT NULL"  # noqa: S608
    return list(connection.scalars(text(query)))
