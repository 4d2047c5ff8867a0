"""Experiments beside each other: on different placements, also when two start at the same time."""

from __future__ import annotations

import threading
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.assignment import Running, arm_of
from recsys.domains.recommendations.ab_tests.design import ExperimentDesign, arms_of
from recsys.domains.recommendations.ab_tests.tables import AbTest
from recsys.domains.recommendations.rules.types import SHELF_NAMES
from recsys.domains.recommendations.tables import RecommendationModel
from recsys.errors import Conflict
from tests.support.shop import Shop


def design_on(*placements: str, model: str = "knn-v1", arms: tuple[str, ...] = ()) -> ExperimentDesign:
    return ExperimentDesign.of(arms=arms_of(arms or [f"b:0.5:model={model}"]), placements=placements)


def add_models(session: Session) -> None:
    session.add_all(
        RecommendationModel(name=name, version="1", is_active=name == "als-v1")
        for name in ("als-v1", "knn-v1", "ease-v1")
    )
    session.flush()


def start(session: Session, name: str, design: ExperimentDesign, salt: str = "s") -> AbTest:
    return ab_tests.start(session, name, design, salt=salt, actor="ann", reason="try")


def test_others_run_on_placements_that_are_free(session: Session) -> None:
    add_models(session)
    start(session, "first", design_on("for_you", "popular"))
    with pytest.raises(Conflict) as refused:
        start(session, "second", design_on("similar", "for_you"))
    assert "the A/B test first runs on for_you, and a placement is in one test" in refused.value.message
    assert "(similar, bought_together, buy_again, trending" in refused.value.message
    start(session, "second", design_on("similar"))
    others = ("trending", "bought_together", "buy_again", "new_arrivals", "because_you_viewed")
    start(session, "third", design_on(*others, arms=("a:0.5:rules=off",)))
    with pytest.raises(Conflict, match="none is"):
        start(session, "fourth", design_on("similar"))
    assert [test.name for test in ab_tests.running(session)] == ["first", "second", "third"]
    ab_tests.stop(session, "first", actor="bob", conclusion="a tie")
    start(session, "fifth", design_on("for_you"))
    with pytest.raises(Conflict, match="ab-test stop second"):
        ab_tests.check_promotion(session, "ease-v1", ends=False, actor="bob")
    ab_tests.check_promotion(session, "ease-v1", ends=True, actor="bob")
    assert ab_tests.running(session) == ()
    ended = [row.conclusion for row in ab_tests.listed(session) if row.name != "first"]
    assert ended == ["ended because ease-v1 began to serve"] * 3


@settings(max_examples=20)
@given(st.lists(st.sets(st.sampled_from(SHELF_NAMES), min_size=1), min_size=1, max_size=6))
def test_no_two_running_tests_ever_share_a_placement(wanted: list[set[str]]) -> None:
    taken: list[ExperimentDesign] = []
    for placements in wanted:
        design = design_on(*sorted(placements))
        assert set(design.tested_placements) == placements
        if not any(set(design.tested_placements) & set(other.tested_placements) for other in taken):
            taken.append(design)
    for one, other in combinations(taken, 2):
        assert not any(one.concerns(name) and other.concerns(name) for name in SHELF_NAMES)


def test_of_two_that_start_at_the_same_time_on_one_placement_one_runs(shop: Shop) -> None:
    with unit_of_work() as session:
        add_models(session)
    outcomes: list[str] = []
    gate = threading.Barrier(6)

    def starts(number: int) -> None:
        gate.wait()
        try:
            with unit_of_work() as session:
                start(session, f"t{number}", design_on("for_you" if number % 2 else "similar"))
            outcomes.append("runs")
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=starts, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 4 + ["runs"] * 2
    with unit_of_work() as session:
        placements = [test.design.tested_placements for test in ab_tests.running(session)]
    assert sorted(placements) == [("for_you",), ("similar",)]


@settings(max_examples=20)
@given(st.integers(0, 2**62), st.integers(0, 2**31 - 10_000))
def test_arms_of_two_tests_are_independent(seed: int, first: int) -> None:
    three = design_on("for_you", arms=("a:0.3:model=m", "b:0.2:rules=off"))
    four = design_on("similar", arms=("a:0.2:model=m", "b:0.25:rules=off", "c:0.25:diversity=0.5"))
    one = Running(1, "one", "m0", f"{seed:032x}", three)
    other = Running(2, "other", "m0", f"{seed + 1:032x}", four)
    rows, columns = list(three.shares), list(four.shares)
    counts = np.zeros((len(rows), len(columns)))
    for user in range(first, first + 4_000):
        unit = f"user:{user}"
        counts[rows.index(arm_of(one, unit).name), columns.index(arm_of(other, unit).name)] += 1
    # 20 examples: one false alarm in 5 million runs
    assert stats.chi2_contingency(counts).pvalue > 1e-8


def test_the_end_of_one_leaves_the_stored_lists_of_the_other(session: Session) -> None:
    add_models(session)
    start(session, "first", design_on("for_you"))
    start(session, "second", design_on("similar", model="ease-v1"))
    for model in ("knn-v1", "ease-v1"):
        session.execute(
            text(
                "INSERT INTO recommendations_db.recommendation_generations (model_name, model_version, "
                "status, users, rows, started_at, live_at, expires_at) VALUES (:model, '1', 'arm', 1, 1, "
                "now(), now(), now() + interval '1 day')"
            ),
            {"model": model},
        )
    ab_tests.stop(session, "first", actor="bob", conclusion="a tie")
    left = session.scalars(
        text("SELECT model_name FROM recommendations_db.recommendation_generations WHERE status = 'arm'")
    )
    assert left.all() == ["ease-v1"]
