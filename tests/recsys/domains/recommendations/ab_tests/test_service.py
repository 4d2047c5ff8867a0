"""Who is in which arm, and how tests start and end."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.design import (
    ArmDesign,
    ExperimentDesign,
    Variant,
    arms_of,
    interleaved_arms,
    model_against_control,
)
from recsys.domains.recommendations.ab_tests.service import (
    Running,
    arm_of,
    design_of,
    draw,
    interleaves,
    unit_of,
)
from recsys.domains.recommendations.ab_tests.tables import AbTest
from recsys.domains.recommendations.tables import ModelPromotion, RecommendationModel
from recsys.errors import Conflict, Invalid, NotFound, RecsysError

few = settings(max_examples=20)
salts = st.text(min_size=1, max_size=64)


@st.composite
def shares(draw_from: st.DrawFn) -> list[float]:
    weights = draw_from(st.lists(st.floats(0.05, 1.0), min_size=2, max_size=8))
    return [weight / sum(weights) for weight in weights]


def running_with(of_arms: list[float], salt: str = "s") -> Running:
    arms = [ArmDesign(name=f"arm-{number}", share=share) for number, share in enumerate(of_arms)]
    return Running(1, "t", "a", salt, ExperimentDesign.of(arms=arms))


@few
@given(salts, st.integers(0, 2**31 - 5_000), shares())
def test_each_arm_gets_its_share(salt: str, first: int, of_arms: list[float]) -> None:
    users, test = 4_000, running_with(of_arms, salt)
    names = [arm_of(test, f"user:{user}").name for user in range(first, first + users)]
    for number, share in enumerate(of_arms):
        # six standard errors: one false alarm in 500 million examples
        bound = 6 * math.sqrt(users * share * (1 - share))
        assert abs(names.count(f"arm-{number}") - users * share) <= bound


def test_two_arms_are_divided_as_the_version_before_divides_them() -> None:
    test = Running(1, "t", "a", "salt", ExperimentDesign.of(arms=model_against_control("b", 0.3)))
    for user in range(500):
        is_challenger = draw("salt", f"user:{user}") < 0.3
        assert (arm_of(test, f"user:{user}").name == "challenger") is is_challenger


@few
@given(salts, st.integers(0, 2**31 - 10_000))
def test_draws_are_even_over_their_whole_range(salt: str, first: int) -> None:
    draws, parts = 5_000, 20
    counts = [0] * parts
    for user in range(first, first + draws):
        counts[int(draw(salt, f"user:{user}") * parts)] += 1
    chi_square = sum((count - draws / parts) ** 2 / (draws / parts) for count in counts)
    assert chi_square < 77  # 19 degrees of freedom: p < 1e-8


@few
@given(salts, salts, st.sampled_from(["user", "session"]))
def test_two_tests_share_out_their_visitors_independently(one: str, other: str, kind: str) -> None:
    if one == other:
        return
    users, cells = 4_000, [0, 0, 0, 0]
    for user in range(users):
        unit = f"{kind}:{user}"
        cells[2 * (draw(one, unit) < 0.5) + (draw(other, unit) < 0.5)] += 1
    chi_square = sum((cell - users / 4) ** 2 / (users / 4) for cell in cells)
    assert chi_square < 41  # 3 degrees of freedom: p < 1e-8


def test_every_process_and_every_version_of_this_program_draws_the_same() -> None:
    # any other number would shuffle the visitors of a test that runs
    assert draw("s", "user:7") == 0.2405475628041888
    assert draw("s", "user:8") == pytest.approx(
        int.from_bytes(blake2b(b"s\0user:8", digest_size=8).digest()) / 2**64
    )


def test_a_user_is_the_same_on_every_device_and_a_guest_is_the_session() -> None:
    assert unit_of(7, None) == unit_of(7, "phone") == "user:7"
    assert unit_of(None, "phone") == "session:phone"
    assert unit_of(None, None) is None
    # by session the log-in changes no arm, and a user without a session is the user
    assert unit_of(7, "phone", by_session=True) == unit_of(None, "phone", by_session=True) == "session:phone"
    assert unit_of(7, None, by_session=True) == "user:7"
    assert 0 <= draw("s", "session:\ud800") < 1, "whatever a program calls its sessions"


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


def test_interleaved_lists_are_for_their_share_of_the_visitors_whatever_else_runs(models: Session) -> None:
    arms = interleaved_arms(Variant(model="knn-v1"))
    for traffic in (0.25, 1.0):
        design = ExperimentDesign.of(kind="interleaved", arms=arms, metric="clicked", traffic=traffic)
        test = Running(1, "t", "a", "salt", design)
        mixed = sum(interleaves(test, f"user:{user}") for user in range(4_000))
        assert abs(mixed - 4_000 * traffic) <= 6 * math.sqrt(4_000 * traffic * (1 - traffic))
    arms_only = Running(1, "t", "a", "salt", ExperimentDesign.of(arms=model_against_control("b", 0.3)))
    assert not any(interleaves(arms_only, f"user:{user}") for user in range(100))


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
