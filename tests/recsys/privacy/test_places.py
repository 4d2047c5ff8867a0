"""Every table and every Redis key is in the registry of places, or in its list of those without a person."""

from __future__ import annotations

import inspect

import pytest
from sqlalchemy import Table
from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.database.metadata import metadata
from recsys.privacy.person import PARAMETERS, Person
from recsys.privacy.places.redis_keys import KEY_PLACES, NOT_PERSONAL_KEYS
from recsys.privacy.places.tables import NOT_PERSONAL, TABLE_PLACES, TablePlace

PERSONAL_COLUMNS = {
    "user_id", "session_id", "email", "to_email", "cc_email", "bcc_email", "phone", "phone_number", "address",
    "address1", "ip_address", "user_agent", "owner", "actor", "created_by", "started_by", "ended_by",
    "granted_by", "requested_by", "stop_requested_by", "processed_by", "resolved_by", "full_name", "username",
}  # fmt: skip
"""Columns that hold or name a person."""
BY_THEIR_ROW = {"recommendations_db.feedback_exposures"}
"""Tables with such a column whose rows go with the row that they refer to (ON DELETE CASCADE)."""
PERSONAL_ARGUMENTS = {"user_id", "email", "username", "session_id", "owner", "who"}


def test_every_table_has_places_or_a_reason() -> None:
    placed = {place.table for place in TABLE_PLACES}
    assert placed & set(NOT_PERSONAL) == set()
    assert placed | set(NOT_PERSONAL) == set(metadata.tables)


@pytest.mark.parametrize("table", metadata.tables.values(), ids=str)
def test_a_table_that_names_people_has_a_place(table: Table) -> None:
    personal = PERSONAL_COLUMNS & set(table.columns.keys())
    names_a_user = any(
        key.target_fullname == "users_db.users.id" for column in table.columns for key in column.foreign_keys
    )
    if (personal or names_a_user) and table.fullname not in BY_THEIR_ROW:
        assert table.fullname not in NOT_PERSONAL
        assert table.fullname in {place.table for place in TABLE_PLACES}


@pytest.mark.parametrize("table", sorted(BY_THEIR_ROW))
def test_rows_that_go_with_another_row_cascade(table: str) -> None:
    cascades = [
        key.target_fullname.rpartition(".")[0]
        for column in metadata.tables[table].columns
        for key in column.foreign_keys
        if key.ondelete == "CASCADE"
    ]
    assert set(cascades) & {place.table for place in TABLE_PLACES if not place.cleared}


def test_each_column_that_refers_to_users_is_cleared_or_its_row_deleted() -> None:
    treated: dict[str, set[str]] = {}
    for place in TABLE_PLACES:
        treated.setdefault(place.table, set()).update(place.cleared or {"*"})
    missing = [
        f"{name}.{column.name}"
        for name, table in metadata.tables.items()
        for column in table.columns
        if any(key.target_fullname == "users_db.users.id" for key in column.foreign_keys)
        if not {column.name, "*"} & treated.get(name, set())
    ]
    assert missing == []


def test_places_have_names_of_their_own_and_columns_that_are_there() -> None:
    names = [place.name for place in TABLE_PLACES]
    assert len(names) == len(set(names))
    for place in TABLE_PLACES:
        assert {*place.cleared, *place.hidden} <= set(metadata.tables[place.table].columns.keys()), place.name


def test_every_key_function_has_a_place_or_a_reason() -> None:
    functions = {name for name, each in vars(keys).items() if inspect.isfunction(each)}
    assert set(KEY_PLACES) & set(NOT_PERSONAL_KEYS) == set()
    assert set(KEY_PLACES) | set(NOT_PERSONAL_KEYS) == functions


def test_a_key_that_names_people_has_a_place() -> None:
    personal = {
        name
        for name, each in vars(keys).items()
        if inspect.isfunction(each) and PERSONAL_ARGUMENTS & set(inspect.signature(each).parameters)
    }
    # hashes of an address or an API key that expire within seconds
    assert personal - set(KEY_PLACES) == {"rate_limit"}


def test_the_parameters_of_conditions_are_those_of_a_person() -> None:
    assert {each.key for each in PARAMETERS} == set(Person(5, is_known=True).parameters)


@pytest.mark.parametrize("place", TABLE_PLACES, ids=lambda place: place.name)
def test_a_place_is_empty_of_a_person_without_traces(session: Session, place: TablePlace) -> None:
    person = Person(7, is_known=True, emails=("a@example.org",), sessions=("s",), orders=(1,), payments=(2,))
    assert place.count(session, person) == 0
    assert list(place.rows(session, person)) == []
    assert place.erase(session, person) == 0
