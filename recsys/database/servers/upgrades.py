"""The schemas of the shop's database and of each server beside it, as the command `migrate` treats them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg

from recsys.database import compatibility, migrate
from recsys.database.addresses import connect_arguments, direct_url, libpq_url, other_urls
from recsys.database.compatibility import SchemaCheck
from recsys.database.servers.placement import SERVER_NAMES, ServerName
from recsys.database.servers.relocation import add_deletion_trigger, has_deletion_trigger, move_rows
from recsys.database.session import reaching
from recsys.errors import Conflict, Invalid
from recsys.settings import Settings

__all__ = ["Checked", "Upgraded", "check", "move", "upgrade"]


@dataclass(frozen=True)
class Checked:
    """What the schemas mean for this program: of the shop's database, and of the other servers by name."""

    shop: SchemaCheck
    others: Mapping[ServerName, SchemaCheck] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0: usable, 3: migrations are pending somewhere, 2: one is too new for this program."""
        codes = {compatibility.exit_code(each) for each in (self.shop, *self.others.values())}
        return next(code for code in (2, 3, 0) if code in codes)

    def lines(self) -> list[str]:
        """The result for people."""
        described = [f"{name} server: {compatibility.describe(each)}" for name, each in self.others.items()]
        return [compatibility.describe(self.shop), *described]

    def as_json(self) -> dict[str, Any]:
        """The result for scripts; `servers` only where there are others."""
        others = {name: asdict(each) for name, each in self.others.items()}
        return asdict(self.shop) | ({"servers": others} if others else {})


@dataclass(frozen=True)
class Upgraded:
    """The schema versions before and after, of the shop's database and of the other servers by name."""

    shop: tuple[str | None, str | None]
    others: Mapping[ServerName, tuple[str | None, str | None]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The result for people."""
        described = [f"{name} server: {_change(*each)}" for name, each in self.others.items()]
        return [_change(*self.shop), *described]

    def as_json(self) -> dict[str, Any]:
        """The result for scripts; `servers` only where there are others."""
        others = {name: _pair(each) for name, each in self.others.items()}
        return _pair(self.shop) | ({"servers": others} if others else {})


def check(settings: Settings) -> Checked:
    """Compare each database with this program, and change nothing. Raises Unavailable."""
    others = {name: migrate.check(url) for name, url in other_urls(settings).items()}
    return Checked(migrate.check(direct_url(settings)), others)


def upgrade(settings: Settings, *, if_needed: bool = False) -> Upgraded:
    """Bring each database to the newest schema; raises like `migrate.upgrade`.

    Parameters
    ----------
    if_needed
        Change nothing where this program may run.
    """
    others = {name: _upgraded(url, name, if_needed=if_needed) for name, url in other_urls(settings).items()}
    upgraded = Upgraded(_upgraded(direct_url(settings), None, if_needed=if_needed), others)
    if others:
        url = libpq_url(settings)
        with reaching(url), psycopg.connect(url, **connect_arguments(url)) as shop:
            # it may be there already; replacing it would wait for all who write users
            if not has_deletion_trigger(shop):
                add_deletion_trigger(shop)
    return upgraded


def move(settings: Settings, name: str) -> dict[str, int]:
    """Move the rows of a server's tables from the shop's database to it.

    Returns
    -------
    dict of str to int
        Rows by table.

    Raises
    ------
    Invalid
        No such server, or its address is not set.
    Conflict
        Its schema is not this program's, it has rows already, or nothing is there to move.
    Unavailable
        A server does not answer, or something else holds the tables.
    """
    others = other_urls(settings)
    known = next((each for each in SERVER_NAMES if each == name), None)
    if known is None:
        raise Invalid(f"there is no server {name!r}; expected one of {', '.join(SERVER_NAMES)}")
    if known not in others:
        raise Invalid(f"RECSYS_DATABASE__{name.upper()}_URL is not set; set it to the address of the server")
    if not migrate.check(others[known]).usable:
        raise Conflict(f"the {name} server has another schema than this program; run `recsys migrate` first")
    source, target = libpq_url(settings), f"postgresql://{others[known].partition('://')[2]}"
    with (
        reaching(source),
        psycopg.connect(source, **connect_arguments(source)) as shop,
        reaching(target),
        psycopg.connect(target, **connect_arguments(target)) as other,
        # should this end between the commit of the other and the shop's, both have the rows, and a second
        # move says so
        shop.transaction(),
        other.transaction(),
    ):
        return move_rows(shop, other, known)


def _upgraded(url: str, server: ServerName | None, *, if_needed: bool) -> tuple[str | None, str | None]:
    before = migrate.current(url)
    if if_needed and before is not None and migrate.check(url).usable:
        return before, before
    return before, migrate.upgrade(url, server=server)


def _change(before: str | None, after: str | None) -> str:
    return f"schema {after} stands already" if before == after else f"schema {before or 'empty'} → {after}"


def _pair(versions: tuple[str | None, str | None]) -> dict[str, str | None]:
    return {"before": versions[0], "after": versions[1]}
