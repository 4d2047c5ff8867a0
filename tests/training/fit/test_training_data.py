"""Which interactions models are trained on."""

from __future__ import annotations

import pytest

from recsys.settings import Settings
from tests.models.data import dataset
from training.fit import training_data
from training.fit.training_data import LEAST_LIMIT, UNIT, USABLE, most_interactions, newest_interactions
from training.progress import Steps

GIB = 2**30
LOG = dataset([(user, user % 7, "purchase", float(user)) for user in range(50)], users=50, items=7)


class Lines(Steps):
    """Keeps what is printed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Keep the line."""
        self.lines.append(text)


def limited(monkeypatch: pytest.MonkeyPatch, count: int | None) -> None:
    settings = Settings(training={"most_interactions": count})  # type: ignore[arg-type]
    monkeypatch.setattr(training_data, "get_settings", lambda: settings)


def test_a_setting_bounds_what_is_trained_on_and_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 10)
    steps = Lines()
    newest = newest_interactions(LOG, ["tifu_knn"], steps)
    assert len(newest.events) == 10
    assert newest.events.time.min() > LOG.events.time[LOG.events.time.argsort()[-11]]
    assert len(steps.lines) == 1
    assert "newest 10 of 50 interactions" in steps.lines[0]
    assert "RECSYS_TRAINING__MOST_INTERACTIONS" in steps.lines[0]


@pytest.mark.parametrize("count", [0, 50, 51])
def test_no_limit_or_one_that_is_not_reached_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    limited(monkeypatch, count)
    steps = Lines()
    assert newest_interactions(LOG, ["hybrid"], steps) is LOG
    assert not steps.lines


def test_unset_the_memory_of_the_machine_bounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, None)
    monkeypatch.setattr(training_data, "UNIT", 1)
    monkeypatch.setattr(training_data, "LEAST_LIMIT", 1)
    need = training_data.NEEDS["hybrid"]
    monkeypatch.setattr(training_data, "total_bytes", lambda: (need.fixed + 20.5 * need.each) / USABLE)
    steps = Lines()
    assert len(newest_interactions(LOG, ["hybrid"], steps).events) == 20
    assert "memory" in steps.lines[0]


def test_the_most_demanding_algorithm_decides() -> None:
    assert most_interactions(["popularity", "hybrid"], 24 * GIB) == most_interactions(["hybrid"], 24 * GIB)
    assert most_interactions(["popularity"], 24 * GIB) > 1.5 * most_interactions(["hybrid"], 24 * GIB)


@pytest.mark.parametrize("memory", [0, GIB, 4 * GIB, 24 * GIB, 512 * GIB])
def test_small_shops_are_used_whole_and_large_ones_within_the_memory(memory: int) -> None:
    limit = most_interactions(["hybrid"], memory)
    assert limit >= LEAST_LIMIT
    assert limit % UNIT == 0
    if limit > LEAST_LIMIT:
        need = training_data.NEEDS["hybrid"]
        assert need.fixed + limit * need.each < memory
