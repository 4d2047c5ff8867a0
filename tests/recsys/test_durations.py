"""Spans of time as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.durations import MOST_SECONDS, UNITS, format_seconds, parse_seconds
from recsys.errors import Invalid

READ = {"s": "s", "min": "m", "h": "h"}


@given(st.integers(1, 720), st.sampled_from(sorted(UNITS)))
def test_a_number_with_a_unit_is_so_many_seconds(number: int, unit: str) -> None:
    assert parse_seconds(f"{number}{unit}", "--budget") == number * UNITS[unit]


@given(st.text(max_size=12))
def test_anything_is_read_as_a_span_or_refused_in_one_line(given_text: str) -> None:
    try:
        seconds, complaint = parse_seconds(given_text, "--budget"), ""
    except Invalid as error:
        seconds, complaint = 0.0, error.message
    if complaint:
        assert complaint.startswith("--budget ")
        assert "\n" not in complaint
    else:
        assert given_text[-1] in UNITS
        assert 0 < seconds <= MOST_SECONDS


@pytest.mark.parametrize(
    "wrong", ["", "10", "m", "-1m", "0s", "1 m", "10M", "1e3s", "nan s", "inf", "10m ", "10m\n", "١m", "721h"]
)
def test_wrong_spans_are_refused(wrong: str) -> None:
    with pytest.raises(Invalid, match="expected"):
        parse_seconds(wrong, "--budget")


@given(st.floats(1.0, 3599.0))
def test_what_is_written_is_the_time_to_the_second(seconds: float) -> None:
    parts = format_seconds(seconds).split()
    read = sum(
        float(number) * UNITS[READ[unit]] for number, unit in zip(parts[::2], parts[1::2], strict=True)
    )
    assert abs(read - seconds) <= 0.5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "under 1 s"), (55.2, "55 s"), (60.0, "1 min"), (100.0, "1 min 40 s"), (7500.0, "2 h 5 min")],
)
def test_seconds_in_words(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
