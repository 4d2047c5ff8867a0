"""A log has a line of a long scoring each minute; a terminal has a bar, and lines at both ends."""

from __future__ import annotations

from serving.batch.progress_lines import RateLines


def due(lines: RateLines) -> list[int]:
    """After how many seconds a line came, of a scoring of 1,000 users that makes 5 a second."""
    return [second for second in range(10, 201, 10) if lines.line(5 * second, 1000, float(second))]


def test_a_log_has_a_line_each_minute_and_at_the_end() -> None:
    assert due(RateLines(is_log=True)) == [10, 70, 130, 190, 200]


def test_a_terminal_has_the_first_and_the_last() -> None:
    assert due(RateLines(is_log=False)) == [10, 200]


def test_the_line_says_speed_and_time() -> None:
    line = RateLines(is_log=True).line(500, 10_000, 2.0)
    assert line == "250 users a second: 38 s left for 9,500 users"


def test_the_last_line_says_what_follows() -> None:
    lines = RateLines(is_log=False)
    lines.line(500, 10_000, 2.0)
    assert lines.line(10_000, 10_000, 90.0) == (
        "10,000 users ranked in 1 min 30 s; now the rows of their lists are written"
    )


def test_a_scoring_of_one_batch_says_nothing() -> None:
    assert RateLines(is_log=True).line(80, 80, 1.0) is None
