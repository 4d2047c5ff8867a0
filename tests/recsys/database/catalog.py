"""What a database really holds, read from PostgreSQL's catalog as plain facts that compare and read well."""

from __future__ import annotations

from collections.abc import Collection

import psycopg

from recsys.database.base import SCHEMAS

Facts = dict[tuple[str, str], str]

COLUMNS = """
SELECT n.nspname || '.' || c.relname, a.attname,
       format_type(a.atttypid, a.atttypmod),
       CASE WHEN a.attnotnull THEN 'not null' ELSE 'null' END,
       coalesce(pg_get_expr(d.adbin, d.adrelid), 'none'),
       a.attidentity::text || a.attgenerated::text,
       coalesce(pg_get_serial_sequence(format('%%I.%%I', n.nspname, c.relname), a.attname), '')
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(schemas)s)
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
"""

# not-null constraints ('n') are compared as the nullability of their column
CONSTRAINTS = """
SELECT n.nspname || '.' || c.relname, k.conname, pg_get_constraintdef(k.oid),
       CASE WHEN k.convalidated THEN '' ELSE ' not validated' END
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(schemas)s)
WHERE k.contype <> 'n'
"""

RELATIONS = """
SELECT n.nspname || '.' || c.relname,
       c.relkind::text || c.relpersistence::text,
       coalesce(s.seqtypid::regtype::text, '')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(schemas)s)
LEFT JOIN pg_sequence s ON s.seqrelid = c.oid
WHERE c.relkind <> 'i'
"""

TRIGGERS = """
SELECT n.nspname || '.' || c.relname, t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(schemas)s)
WHERE NOT t.tgisinternal
"""

INDEXES = """
SELECT n.nspname || '.' || c.relname, x.relname, pg_get_indexdef(i.indexrelid)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(schemas)s)
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
WHERE k.oid IS NULL
"""

EVERYTHING = """
SELECT 'relation ' || oid::regclass::text FROM pg_class WHERE relnamespace <> ALL(%(system)s::regnamespace[])
UNION SELECT 'type ' || oid::regtype::text FROM pg_type WHERE typnamespace <> ALL(%(system)s::regnamespace[])
UNION SELECT 'function ' || oid::regprocedure::text FROM pg_proc
      WHERE pronamespace <> ALL(%(system)s::regnamespace[])
UNION SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
"""


def facts(connection: psycopg.Connection) -> Facts:
    """Tables, sequences, columns, constraints and triggers of the seven schemas; no indexes."""
    _unambiguous(connection)
    schemas = {"schemas": list(SCHEMAS)}
    found: Facts = {}
    for name, kind, sequence_type in connection.execute(RELATIONS, schemas):
        found[name, "kind"] = f"{kind} {sequence_type}".strip()
    for table, column, type_, null, default, identity, sequence in connection.execute(COLUMNS, schemas):
        found[table, f"column {column}: type"] = type_
        found[table, f"column {column}: nullability"] = null
        found[table, f"column {column}: default"] = default
        found[table, f"column {column}: identity, sequence"] = f"{identity} {sequence}".strip()
    for table, constraint, definition, state in connection.execute(CONSTRAINTS, schemas):
        found[table, f"constraint {constraint}"] = definition + state
    for table, trigger, definition in connection.execute(TRIGGERS, schemas):
        found[table, f"trigger {trigger}"] = definition
    return found


def indexes(connection: psycopg.Connection) -> dict[str, str]:
    """Indexes of the seven schemas that no constraint makes: `schema.index` → definition."""
    _unambiguous(connection)
    rows = connection.execute(INDEXES, {"schemas": list(SCHEMAS)})
    return {f"{table.partition('.')[0]}.{index}": definition for table, index, definition in rows}


def everything(connection: psycopg.Connection) -> set[str]:
    """Every schema, relation, type and function that PostgreSQL did not bring along."""
    _unambiguous(connection)
    system = ["pg_catalog", "information_schema", "pg_toast"]
    return {name for (name,) in connection.execute(EVERYTHING, {"system": system})}


def tables(found: Facts) -> set[str]:
    """The names of the ordinary tables."""
    return {name for (name, what), value in found.items() if what == "kind" and value.startswith("r")}


def without(found: Facts, names: Collection[str]) -> Facts:
    """The facts that are not about these tables or the sequences they own."""
    owned = {
        value.split()[-1]
        for (name, what), value in found.items()
        if name in names and what.endswith("identity, sequence") and value
    }
    return {key: value for key, value in found.items() if key[0] not in {*names, *owned}}


def differences(expected: Facts, built: Facts) -> list[str]:
    """One line for each fact that differs, is missing or is there without being expected."""
    lines = []
    for name, what in sorted(expected.keys() | built.keys()):
        wanted, got = expected.get((name, what), "nothing"), built.get((name, what), "nothing")
        if wanted != got:
            lines.append(f"{name} {what}: documented {wanted}, built {got}")
    return lines


def _unambiguous(connection: psycopg.Connection) -> None:
    # names in definitions are then always written with their schema
    connection.execute("SET LOCAL search_path TO pg_catalog")
