"""Transactions on several servers at once: all of them take what was written, or none does.

What the other servers wrote is prepared there (`PREPARE TRANSACTION`), under a name that holds the number of
the transaction on the shop's server. Its commit decides for all. A process that ends between the two leaves
prepared transactions behind; `settle` asks the shop's server how the transaction of their name ended, and
ends them likewise (presumed abort: Mohan, Lindsay, Obermarck 1986, with the coordinator's log in PostgreSQL).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from recsys.database import after_commit
from recsys.database.servers.placement import ServerName, server_of_statement
from recsys.log import get_logger

__all__ = ["JointSession", "count_in_doubt", "settle"]

_log = get_logger(__name__)
_PREFIX = "recsys"
# a transaction without a number has written nothing
_HAS_WRITTEN = text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
# a commit without anything to log would not wait for the disk, and the others rely on it
_NUMBER = text("SELECT pg_current_xact_id()::text, pg_logical_emit_message(true, 'recsys', '')")
_PREPARED = text(
    "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND gid LIKE 'recsys %' ORDER BY 1"
)
_OUTCOME = text("SELECT pg_xact_status(CAST(:number AS xid8))")


class JointSession(Session):
    """A session whose statements go to the servers that their tables lie on; a commit is one for all.

    A server joins with the first statement for it. Reads of different servers do not share a snapshot.

    Parameters
    ----------
    shop
        The engine of the shop's server.
    others
        The engines of the other servers.
    begin
        What is done with the connection of a server when it joins.
    """

    def __init__(
        self,
        shop: Engine,
        others: Mapping[ServerName, Engine],
        begin: Callable[[Connection], object] = lambda _: None,
    ) -> None:
        # the transactions of the others are committed here, after the one of the shop's server
        super().__init__(shop, expire_on_commit=False, join_transaction_mode="rollback_only")
        self._others = others
        self._begin = begin
        self._members: dict[ServerName, Connection] = {}
        self._references: Connection | None = None

    def get_bind(  # noqa: D102 as in Session
        self, mapper: Any = None, *, clause: Any = None, bind: Any = None, **arguments: Any
    ) -> Engine | Connection:
        name = None if bind is not None else server_of_statement(clause, mapper and inspect(mapper))
        if name is None or name not in self._others:
            return super().get_bind(mapper, clause=clause, bind=bind, **arguments)
        return self._member(name)

    def connection_to(self, name: ServerName | None) -> Connection:
        """The connection to the tables of a server; None: of the shop's."""
        if name is None or name not in self._others:
            return self.connection()
        return self.connection(bind_arguments={"bind": self._member(name)})

    def connection_of_references(self) -> Connection:
        """A connection to the shop's server for locks on rows that rows of other servers refer to.

        The locks last until all commits are done. They are no writes, so that rows of one other server are
        committed without being prepared, which a transaction with temporary tables cannot be.
        """
        if self._references is None:
            engine = self.get_bind()
            assert isinstance(engine, Engine)
            self._references = self._joined(engine)
        return self._references

    def _joined(self, engine: Engine) -> Connection:
        connection = engine.connect()
        connection.begin()
        self._begin(connection)
        return connection

    def _member(self, name: ServerName) -> Connection:
        member = self._members.get(name)
        if member is None:
            member = self._members[name] = self._joined(self._others[name])
        return member

    def commit(self) -> None:  # noqa: D102 as in Session
        # What else is done right before a commit may write on any server. The commit of the shop's
        # transaction asks for it once more, when nothing is left to do.
        self.dispatch.before_commit(self)
        self.flush()
        written = {name: each for name, each in self._members.items() if each.execute(_HAS_WRITTEN).scalar()}
        with after_commit.held(self):
            if not written:
                super().commit()
            elif len(written) == 1 and not self.connection().execute(_HAS_WRITTEN).scalar():
                (only,) = written.values()
                _transaction(only).commit()
                super().commit()
            else:
                self._commit_all(written)
        self._leave()

    def close(self) -> None:  # noqa: D102 as in Session
        super().close()
        self._leave()

    def _commit_all(self, written: Mapping[ServerName, Connection]) -> None:
        number = self.connection().execute(_NUMBER).scalar_one()
        # each has a name of its own: two databases of one server may be among them
        token = secrets.token_hex(8)
        names = {server: f"{_PREFIX} {number} {token} {server}" for server in written}
        with ExitStack() as undo:
            for server, name in names.items():
                written[server].exec_driver_sql(f"PREPARE TRANSACTION '{name}'")
                undo.callback(_end, self._others[server], "ROLLBACK", name)
            try:
                super().commit()
            except DBAPIError as error:
                if error.connection_invalidated:
                    # it may have been committed all the same: `settle` asks
                    undo.pop_all()
                raise
            undo.pop_all()
        for server, name in names.items():
            _end(self._others[server], "COMMIT", name)

    def _leave(self) -> None:
        members, self._members = list(self._members.values()), {}
        if self._references is not None:
            members.append(self._references)
            self._references = None
        for member in members:
            member.close()


def settle(shop: Engine, others: Mapping[ServerName, Engine]) -> int:
    """End what processes that are gone have prepared, as the transaction of the shop's server ended.

    Returns
    -------
    int
        How many prepared transactions were ended.
    """
    ended = 0
    for engine in others.values():
        with engine.connect() as connection:
            prepared = list(connection.scalars(_PREPARED))
        for name in prepared:
            with shop.connect() as connection:
                outcome = connection.scalar(_OUTCOME, {"number": name.split()[1]})
            # None: so long ago that PostgreSQL does not know any more; an administrator has to decide
            if outcome in ("committed", "aborted"):
                ended += _end(engine, "COMMIT" if outcome == "committed" else "ROLLBACK", name)
    return ended


def count_in_doubt(connection: Connection) -> int:
    """How many transactions are prepared on a server and not ended."""
    return len(connection.scalars(_PREPARED).all())


def _end(engine: Engine, how: str, name: str) -> bool:
    """Commit or roll back a prepared transaction; False where it is gone already or has to wait."""
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"{how} PREPARED '{name}'")
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.UndefinedObject):
            return False
        _log.error("a prepared transaction waits for its end; it is tried again", error=str(error.orig))
        return False
    return True


def _transaction(connection: Connection) -> Any:
    transaction = connection.get_transaction()
    assert transaction is not None
    return transaction
