"""How tests start and end."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.design import (
    ExperimentDesign,
    Variant,
    arms_of,
    model_against_control,
)
from recsys.domains.recommendations.ab_tests.service import design_of
from recsys.domains.recommendations.ab_tests.tables import AbTest
from recsys.domains.recommendations.tables import ModelPromotion, RecommendationModel
from recsys.errors import Conflict, Invalid, NotFound, RecsysError


@pytest.fixture
def models(session: Session) -> Session:
    """als-v1 serves; knn-v1 is registered."""
    session.add_all(
        RecommendationModel(name=name, version="1", is_active=name == "als-v1")
        for name in ("als-v1", "knn-v1")
    )
    session.flush()
    return session


def start(session: Session, name: str = "first", challenger: str = "knn-v1", **terms: Any) -> AbTest:
    given: dict[str, Any] = {"salt": "s", "actor": "ann", "reason": "try"}
    given |= {key: terms.pop(key) for key in ("salt", "actor", "reason") if key in terms}
    arms = model_against_control(challenger, terms.pop("share", 0.2))
    fields: dict[str, Any] = {"arms": arms, "days": 7, "outcome_days": 2} | terms
    return ab_tests.start(session, name, ExperimentDesign.of(**fields), **given)


def test_a_test_has_a_beginning_and_an_end_that_are_written_down(models: Session) -> None:
    assert ab_tests.running(models) == ()
    start(models)
    (test,) = ab_tests.running(models)
    assert (test.name, test.control, test.design.models) == ("first", "als-v1", ("knn-v1",))
    assert test.design.shares == {"control": 0.8, "challenger": 0.2}
    row = ab_tests.stop(models, "first", actor="bob", conclusion="a tie")
    assert (row.state, row.ended_by, row.conclusion) == ("stopped", "bob", "a tie")
    assert ab_tests.running(models) == ()
    promotions = models.scalars(select(ModelPromotion).order_by(ModelPromotion.id)).all()
    assert [(one.action, one.from_name, one.to_name, one.actor, one.reason) for one in promotions] == [
        ("ab_start", "als-v1", "knn-v1", "ann", "try"),
        ("ab_stop", "als-v1", "knn-v1", "bob", "a tie"),
    ]
    with pytest.raises(Conflict, match="stopped already, by bob: a tie"):
        ab_tests.stop(models, "first", actor="bob", conclusion="again")
    with pytest.raises(Conflict, match="was an A/B test named first already"):
        start(models)
    start(models, "second")
    assert [one.name for one in ab_tests.listed(models)] == ["second", "first"]


@pytest.mark.parametrize(
    ("terms", "error", "message"),
    [
        ({"challenger": "als-v1"}, Invalid, "is the model that serves"),
        ({"challenger": "als-v9"}, NotFound, "registered: knn-v1, als-v1"),
        ({"share": 0.0}, Invalid, "above 0 and below 1"),
        ({"share": 1.0}, Invalid, "above 0 and below 1"),
        ({"share": -0.5}, Invalid, "above 0 and below 1"),
        ({"share": 1.5}, Invalid, "above 0 and below 1"),
        ({"share": math.nan}, Invalid, "above 0 and below 1"),
        ({"days": 0}, Invalid, "greater than 0"),
        ({"days": 91}, Invalid, "at most 90"),
        ({"metric": "luck"}, Invalid, "metric: Input should be 'clicked'"),
        ({"unit": "planet"}, Invalid, "unit: Input should be 'user' or 'session'"),
        ({"unit": "session", "metric": "spent"}, Invalid, "money is known of users only"),
        ({"outcome_days": 8}, Invalid, "at most the planned 7 days"),
        ({"placements": ["window"]}, Invalid, "placements.0"),
        ({"guardrails": [{"metric": "bought", "largest_drop": 1}]}, Invalid, "less than 1"),
        ({"reason": " "}, Invalid, "--reason is empty"),
        ({"name": "Big Test"}, Invalid, "is not a valid name"),
        ({"name": "x" * 61}, Invalid, "is not a valid name"),
    ],
)
def test_what_can_not_be_tested_is_refused(
    models: Session, terms: dict[str, Any], error: type[RecsysError], message: str
) -> None:
    assert error.exit_code == 2
    with pytest.raises(error, match=message):
        start(models, **terms)
    assert ab_tests.running(models) == ()


def test_a_placement_is_in_one_test_and_a_test_needs_a_model_that_serves(models: Session) -> None:
    start(models)
    with pytest.raises(Conflict, match="the A/B test first runs on for_you, similar, bought_together"):
        start(models, "second")
    with pytest.raises(NotFound, match="there are: first"):
        ab_tests.stop(models, "third", actor="bob", conclusion="x")
    with pytest.raises(Conflict, match="ab-test stop first"):
        ab_tests.check_promotion(models, "knn-v1", ends=False, actor="bob")
    ab_tests.check_promotion(models, "knn-v1", ends=True, actor="bob")
    assert ab_tests.get(models, "first").conclusion == "ended because knn-v1 began to serve"
    for model in models.scalars(select(RecommendationModel)):
        model.is_active = False
    models.flush()
    with pytest.raises(Conflict, match="no model serves"):
        start(models, "second")


def test_lists_of_a_third_model_would_spoil_the_comparison(models: Session) -> None:
    models.execute(
        text(
            "INSERT INTO recommendations_db.recommendation_generations "
            "(model_name, model_version, status, users, rows, started_at, live_at) "
            "VALUES ('older-v1', '1', 'live', 0, 0, now(), now())"
        )
    )
    with pytest.raises(Conflict, match=r"still those of older-v1.*recsys serve score"):
        start(models)


def test_a_design_is_stored_as_the_version_before_reads_it(models: Session) -> None:
    row = start(models)
    assert row.design is not None
    assert not row.design.keys() & {"kind", "credit", "traffic"}


def test_rows_of_the_version_before_have_the_same_two_arms(models: Session) -> None:
    row = start(models, share=0.3)
    written = design_of(row)
    row.design = None
    models.flush()
    assert design_of(row).arms == written.arms
    (test,) = ab_tests.running(models)
    assert test.design.days == 7


def test_a_winner_is_recorded(models: Session) -> None:
    start(models)
    with pytest.raises(NotFound, match="there are: control, challenger"):
        ab_tests.stop(models, "first", actor="bob", conclusion="x", winner="third")
    assert ab_tests.get(models, "first").winner is None
    assert ab_tests.note_winner(models, "first", "challenger").winner == "challenger"


ARM = {"name": "als", "share": 0.5}


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ([{"name": "control", "share": 0.5}], "at least 2"),
        ([{"name": f"a{number}", "share": 1 / 9} for number in range(9)], "at most 8"),
        ([{"name": "control", "share": 0.6}, ARM], "expected 1 as their sum"),
        ([ARM, ARM], "the same name"),
        ([{"name": "fallback", "share": 0.5}, ARM], "named fallback"),
        ([ARM | {"variant": {"model": "knn-v1"}}, ARM | {"name": "b"}], "is the control and changes nothing"),
        ([ARM | {"variant": {"rules": False}}, ARM | {"name": "b"}], "is the control and changes nothing"),
        ([ARM, ARM | {"name": "b", "variant": {"diversity": 1.5}}], "less than or equal to 1"),
        ([ARM, ARM | {"name": "b", "variant": {"colour": "red"}}], "Extra inputs"),
        ([ARM, ARM | {"name": "B"}], "pattern"),
    ],
)
def test_designs_that_do_not_fit_together_are_refused(arms: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        ExperimentDesign.of(arms=arms)


def test_arms_are_read_from_the_command_line() -> None:
    control, als, bare = arms_of(
        ["als:0.3:model=als-v4,diversity=0.3,live=on", "bare:0.2:rules=off,novelty=new"]
    )
    assert (control.name, control.share, control.variant) == ("control", 0.5, Variant())
    assert als.variant == Variant(model="als-v4", diversity=0.3, live=True)
    assert bare.variant == Variant(rules=False, novelty="new")
    assert str(bare.variant) == "no business rules, novelty new"
    assert arms_of(["same:0.5"])[1].variant == Variant()
    for wrong in ("als", "als:x", "als:0.2:model", "als:0.2:joy=1", "als:1.2", "a b:0.2"):
        with pytest.raises(Invalid):
            arms_of([wrong])


def test_placements_are_those_that_a_variant_concerns_or_those_given() -> None:
    def concerned(*arms: str, **terms: Any) -> set[str]:
        design = ExperimentDesign.of(arms=arms_of(arms), **terms)
        return {each for each in ("for_you", "similar", "popular", "buy_again") if design.concerns(each)}

    assert concerned("a:0.5:model=m") == {"for_you", "similar"}
    assert concerned("a:0.5:rules=off") == {"for_you", "similar", "popular", "buy_again"}
    assert concerned("a:0.5:rules=off", placements=["popular"]) == {"popular"}
