"""Every documented column, key and stream has a writer and a reader, or its entry in `docs/spec/flows.md`."""

from __future__ import annotations

import inspect
import re
from functools import cache
from importlib.metadata import entry_points

import pytest

from recsys.cache import keys
from recsys.database.custom_tables import OWN_TABLES
from recsys.database.metadata import metadata
from recsys.events.envelope import stream_of
from recsys.events.vocabulary import FAMILIES, event_types
from recsys.subscriptions import POSTS, SUBSCRIPTIONS
from tests.architecture.flows import ROOT, called_functions, sources, written_columns

PAGE = (ROOT / "docs" / "spec" / "flows.md").read_text(encoding="utf-8")


@cache
def columns() -> dict[str, set[str]]:
    """The columns that some module writes, by table."""
    return written_columns(sources())


def listed(heading: str) -> set[str]:
    """The names in the first column of the table below a heading of the page."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert section, f"the page has no section {heading!r}"
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


def test_every_documented_column_has_a_writer_or_an_entry() -> None:
    without = {
        f"{table.fullname}.{column.name}"
        for table in metadata.tables.values()
        if table.fullname not in OWN_TABLES
        for column in table.columns
        if not column.primary_key and column.name not in columns().get(table.fullname, set())
    }
    assert without == listed("Columns without a writer") | listed("Columns written under a computed name")


def test_a_column_that_nothing_writes_would_be_found() -> None:
    trees = {name: tree for name, tree in sources().items() if "domains/orders" not in name}
    written = written_columns(trees)["orders_db.orders"]
    assert {"status", "total_price"} <= written, "imports write these"
    assert not {"internal_notes", "cancel_reason"} & written


def test_every_event_is_handled_or_has_an_entry() -> None:
    handled = set(SUBSCRIPTIONS)
    for entry in entry_points(group="recsys.consumers"):
        handled |= set(entry.load())
    unhandled = {
        name
        for name, kind in event_types().items()
        if kind not in handled and kind.__module__.startswith("recsys.")
    }
    assert unhandled == listed("Events without a handler")


def test_every_stream_has_a_group_or_an_entry() -> None:
    read = {stream_of(kind.family) for kind in SUBSCRIPTIONS}
    assert {stream_of(family) for family in FAMILIES} - read == listed("Streams without a group")


@pytest.mark.parametrize("name", ["cart_analytics", "live_orders"])
def test_streams_of_live_data_are_written_and_read(name: str) -> None:
    files = called_functions(sources(), "keys")[name]
    assert files - {"recsys/domains/orders/live.py"}, "nothing writes it"
    assert "recsys/domains/orders/live.py" in files


def test_every_documented_key_is_used() -> None:
    documented = re.findall(
        r"^(\S+) ->", (ROOT / "docs" / "spec" / "redis_keys.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    calls = called_functions(sources(), "keys")
    functions = {name for name, _ in inspect.getmembers(keys, inspect.isfunction)}
    assert len(documented) == 25
    assert {name for name in functions if not calls.get(name)} == set()


def test_the_kinds_of_posts_are_described() -> None:
    assert listed("Posts") == set(POSTS)
