"""How experiments did before: from what was kept with their versions, in the report's own figure."""

from __future__ import annotations

from typing import Any

from models.registry import registry
from models.registry.registry import Registration
from recsys.database.session import unit_of_work
from tests.support.shop import Shop
from training.experiment import PromotionRule
from training.report.run_history import MOST, past_trainings


def plant(experiment: str, version: int, value: float | None, k: int = 20) -> None:
    figure = {"value": value, "low": 0.0, "high": 1.0}
    metrics: dict[str, Any] = {"all": {"ndcg": figure, "k": k}} if value is not None else {"all": {"k": k}}
    with unit_of_work() as session:
        registry.register(
            session,
            Registration(
                f"{experiment}-v{version}",
                version,
                "collaborative_filtering",
                "als",
                "c" * 64,
                "d" * 64,
                {"experiment": {"name": experiment}, "metrics": metrics},
                0.1,
                0.1,
                0.1,
                10,
            ),
        )


def test_only_what_can_be_compared_oldest_first(shop: Shop) -> None:
    for version, value in enumerate((0.1, 0.2, 0.3), 1):
        plant("als", version, value)
    plant("als", 4, 0.9, k=10)
    plant("als", 5, None)
    plant("other", 1, 0.5)
    found = past_trainings(["als"], PromotionRule(), 20)
    assert [(one.name, one.figure.value, one.figure.k) for one in found] == [
        ("als-v1", 0.1, 20),
        ("als-v2", 0.2, 20),
        ("als-v3", 0.3, 20),
    ]
    assert past_trainings(["als"], PromotionRule(view="new"), 20) == []


def test_the_newest_are_shown(shop: Shop) -> None:
    for version in range(1, MOST + 4):
        plant("als", version, version / 100)
    found = past_trainings(["als"], PromotionRule(), 20)
    assert [one.name for one in found] == [f"als-v{version}" for version in range(4, MOST + 4)]
