"""A log has a line of a long scoring each minute; a terminal, which has a bar, has one."""

from __future__ import annotations

from serving.batch.progress_lines import RateLines


def due(lines: RateLines) -> list[int]:
    """After how many seconds a line came, of a scoring of 1,000 users that makes 5 a second."""
    return [second for second in range(10, 201, 10) if lines.line(5 * second, 1000, float(second))]


def test_a_log_has_a_line_each_minute_and_none_at_the_end() -> None:
    assert due(RateLines(is_log=True)) == [10, 70, 130, 190]


def test_a_terminal_has_one() -> None:
    assert due(RateLines(is_log=False)) == [10]


def test_the_line_says_speed_and_time() -> None:
    line = RateLines(is_log=True).line(500, 10_000, 2.0)
    assert line == "250 users a second: 38 s left for 9,500 users"


def test_a_scoring_of_one_batch_says_nothing() -> None:
    assert RateLines(is_log=True).line(80, 80, 1.0) is None
