"""Which programs may run on which schema: pending migrations, and the oldest program that a schema serves.

Expand, then contract: a migration only adds, so that programs of the version before go on working on the new
schema. A migration that takes away or restricts something states `oldest_program` in its module: the schema
version of the oldest program that works on the result. The migrated database carries the highest of these
numbers as the comment on its table of versions, and a program that does not know the schema's version yet
reads there whether it may run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, text

__all__ = [
    "PendingMigration",
    "SchemaCheck",
    "compare_schema",
    "describe",
    "exit_code",
    "oldest_program_of",
    "write_oldest_program",
]

SchemaState = Literal["current", "empty", "behind", "newer", "incompatible"]

_FIRST = "0001"
_COMMENT = re.compile(r"recsys: programs of schema version (\w+) and later may run")
_READ = text("SELECT obj_description(to_regclass('alembic_version'), 'pg_class')")


@dataclass(frozen=True)
class PendingMigration:
    """A migration that the database lacks.

    Attributes
    ----------
    revision
        The schema version that it leads to.
    summary
        What it does, in a sentence.
    oldest_program
        Programs of an older schema version must have ended before it runs; None: it only adds.
    """

    revision: str
    summary: str
    oldest_program: str | None


@dataclass(frozen=True)
class SchemaCheck:
    """The schema of a database, as this program sees it.

    Attributes
    ----------
    state
        current; empty; behind (`pending` has what is missing); newer: migrated by a newer version, and this
        program may run on it; incompatible: likewise, and it may not.
    current, head
        The schema versions of the database (None: empty) and of this program.
    pending
        The migrations that the database lacks.
    stops_running
        Programs of the version that is in the database would fail after the pending migrations.
    """

    state: SchemaState
    current: str | None
    head: str
    pending: tuple[PendingMigration, ...] = ()
    stops_running: bool = False

    @property
    def usable(self) -> bool:
        """Whether this program may run on the database as it is."""
        return self.state in ("current", "newer")


def oldest_program_of(scripts: Iterable[Script]) -> str:
    """The schema version of the oldest program that works after these migrations."""
    return max((_declared(script) or _FIRST for script in scripts), default=_FIRST)


def write_oldest_program(connection: Connection, scripts: Iterable[Script]) -> None:
    """Note in the database which programs may run, after the migrations `scripts` (all that it has)."""
    oldest = oldest_program_of(scripts)
    connection.exec_driver_sql(
        f"COMMENT ON TABLE alembic_version IS 'recsys: programs of schema version {oldest} and later may run'"
    )


def compare_schema(connection: Connection, current: str | None, directory: ScriptDirectory) -> SchemaCheck:
    """What the schema version `current` of the connection's database means for this program."""
    newest_first = list(directory.walk_revisions())
    head = newest_first[0].revision
    if current == head:
        return SchemaCheck("current", current, head)
    known = [script.revision for script in newest_first]
    if current is not None and current not in known:
        noted = _COMMENT.search(connection.execute(_READ).scalar_one_or_none() or "")
        runs = noted is not None and head >= noted[1]
        return SchemaCheck("newer" if runs else "incompatible", current, head)
    missing = newest_first if current is None else newest_first[: known.index(current)]
    pending = tuple(
        PendingMigration(script.revision, script.doc.partition("\n")[0], _declared(script))
        for script in reversed(missing)
    )
    stops = current is not None and oldest_program_of(missing) > current
    return SchemaCheck("empty" if current is None else "behind", current, head, pending, stops)


def exit_code(found: SchemaCheck) -> int:
    """What `recsys migrate --check` ends with: 0 usable, 3 migrations pending, 2 too new for this program."""
    return 0 if found.usable else 2 if found.state == "incompatible" else 3


def describe(found: SchemaCheck) -> str:
    """The result for people; one line, and one for each pending migration."""
    if found.state == "current":
        return f"schema {found.current}, the newest"
    if found.current is not None and not found.pending:
        may = (
            "this program may run on it"
            if found.usable
            else "this program may not run on it; run the version that migrated it"
        )
        return f"schema {found.current} is newer than this program, which has {found.head}; {may}"
    head = "the database is empty" if found.current is None else f"schema {found.current}"
    advice = (
        "stop the running programs first"
        if found.stops_running
        else "run `recsys migrate`; running programs go on working"
    )
    lines = [f"{head}; pending up to {found.head}: {advice}"]
    for each in found.pending:
        needs = "" if each.oldest_program is None else f" (for programs of {each.oldest_program} and later)"
        lines.append(f"  {each.revision} {each.summary}{needs}")
    return "\n".join(lines)


def _declared(script: Script) -> str | None:
    declared: str | None = getattr(script.module, "oldest_program", None)
    return declared
