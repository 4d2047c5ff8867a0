"""Cells become values, or null where they are none."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid5

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.recommendations.interactions.ingest import event_uuid
from recsys.imports import event_ids as ids
from recsys.imports.readers.validation import json_objects, moments, numbers
from recsys.imports.repeat_counter import Occurrences
from recsys.imports.slugs import slug

TEN = datetime(2017, 1, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2017-01-01", TEN.replace(hour=0)),
        ("2017-01-01T10:00:00", TEN),
        (" 2017-01-01 10:00 ", TEN),
        ("2017-01-01T10:00:00.123456789Z", TEN.replace(microsecond=123456)),
        ("2017-01-01t10:00:00z", TEN),
        ("2017-01-01T12:00:00+02:00", TEN),
        ("2017-01-01T04:30:00,5-0530", TEN.replace(microsecond=500000)),
        ("2017-01-01T12:00:00 +02", TEN),
        # as BigQuery writes it
        ("2017-01-01 10:00:00 UTC", TEN),
        ("2017-01-01 10:00:00.5 UTC", TEN.replace(microsecond=500000)),
        ("1483264800", TEN),
        # as Java and Spark write it; a spreadsheet has rounded the other
        ("1.4832648E9", TEN),
        ("1.48326480025E12", TEN.replace(microsecond=250000)),
        ("1.48E+09", None),
        ("1483264800.25", TEN.replace(microsecond=250000)),
        ("1483264800123", TEN.replace(microsecond=123000)),
        ("1483264800123456", TEN.replace(microsecond=123456)),
        ("1483264800123456789", TEN.replace(microsecond=123456)),
        ("20170101", None),
        ("2017", None),
        ("2017-02-30", None),
        ("2017-01-01T25:00:00", None),
        ("2017-01-01T10:00:00+99:00", None),
        ("01/02/2017", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_moments(text: str | None, expected: datetime | None) -> None:
    both = moments(pl.Series([text, "2017-01-01T10:00:00"], dtype=pl.String))
    assert both.to_list() == [expected, TEN]


def test_typed_moments_of_parquet() -> None:
    naive = datetime(2017, 1, 1, 10)  # noqa: DTZ001
    for series in (
        pl.Series([naive], dtype=pl.Datetime("ns")),
        pl.Series([naive], dtype=pl.Datetime("ms")),
        pl.Series([TEN]).dt.convert_time_zone("Asia/Tokyo"),
        pl.Series([1483264800]),
        pl.Series([1483264800000.0]),
    ):
        assert moments(series).to_list() == [TEN], series.dtype
    assert moments(pl.Series([TEN.date()])).to_list() == [TEN.replace(hour=0)]


def test_json_objects() -> None:
    given = ['{"a": 1}', "[1]", "{", None, '{"a":"\\u0000"}', '{"a":"\\ud800"}', '{"a": NaN}', '{"a":"é"}']
    assert json_objects(pl.Series(given)).to_list() == ['{"a":1}', *[None] * 6, '{"a":"é"}']


def test_numbers() -> None:
    given = ["1", " 2.5 ", "1e3", "1,5", "abc", None]
    assert numbers(pl.Series(given)).to_list() == [1.0, 2.5, 1000.0, None, None, None]


@given(st.lists(st.lists(st.integers(0, 5), max_size=20), max_size=8))
def test_occurrences_count_over_the_whole_stream(batches: list[list[int]]) -> None:
    numbering, before = Occurrences(), [0] * 6
    for batch in batches:
        expected = []
        for value in batch:
            expected.append(before[value])
            before[value] += 1
        assert numbering.number(np.array(batch, dtype=np.uint64)).tolist() == expected


def test_uuids_are_those_of_the_standard() -> None:
    names = ["", "a", "é\x1f1"] + [str(i) for i in range(200)]
    namespace = UUID(bytes=ids._NAMESPACE)
    assert [UUID(text) for text in ids.uuids(names)] == [uuid5(namespace, name) for name in names]


def test_event_ids_come_from_the_sender_or_from_the_content() -> None:
    same = {"user": "u", "product": "p", "interaction_type": "view", "created_at": TEN}
    given = "6FA459EA-EE8A-3CA4-894E-DB77E160355E"
    frame = pl.DataFrame(
        [
            {**same, "interaction_value": None, "session_id": None, "event_id": e}
            for e in (given, "x", None, None)
        ],
        schema_overrides={"interaction_value": pl.Float64, "session_id": pl.String},
    )
    made = [UUID(text) for text in ids.event_ids(frame, Occurrences())]
    assert made[:2] == [UUID(given), event_uuid("x")]
    assert len(set(made)) == 4
    assert [UUID(text) for text in ids.event_ids(frame, Occurrences())] == made


def test_slugs_of_different_texts_differ() -> None:
    texts = pl.Series(["green-tea", "Green Tea", "green tea", "Grün & Tee", "茶", "x" * 300, "-a"])
    exact = slug(texts, exact=True, longest=64)
    assert exact[0] == "green-tea"
    assert exact.n_unique() == len(texts)
    assert exact.str.contains("^[a-z0-9-]{1,64}$").all()
    assert slug(texts, exact=False, longest=64).to_list()[1:4] == ["green-tea", "green-tea", "grun-tee"]
