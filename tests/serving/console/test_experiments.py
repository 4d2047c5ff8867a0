"""The screen of experiments: the sample, starting, the verdict and its alarm, stopping, keeping."""

from __future__ import annotations

import httpx
import pytest

from models.registry import registry
from models.registry.measurement import MeasuredArm, MeasuredDifference, MeasuredTest
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.sample_size import users_needed
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from tests.serving.console.conftest import measured
from tests.support.web.pages import send_form

TERMS = {
    "name": "two-against-one",
    "arm1_arm_name": "challenger",
    "arm1_model": "knn-v2",
    "arm1_share_percent": 30,
    "days": 14,
    "metric": "bought",
    "reason": "more neighbours",
}
PATH = "/console/experiments/two-against-one"


def an_arm(name: str, share: float, observed: float) -> MeasuredArm:
    return MeasuredArm(name=name, variant=name, share=share, counted=500, waiting=20, observed_share=observed,
                       fallback_share=0.01)  # fmt: skip


def a_verdict(**changes: object) -> MeasuredTest:
    now = clock.now()
    difference = MeasuredDifference(metric="bought", arm="challenger", control=0.1, treatment=0.12,
                                    difference=0.02, low=0.005, high=0.035, relative=0.2, p_value=0.01,
                                    variance_removed=0.3)  # fmt: skip
    plain = {
        "name": "two-against-one", "control": "knn-v1", "metric": "bought", "unit": "user",
        "state": "running", "since": now, "until": now, "days": 14.0, "planned_days": 14.0,
        "outcome": "treatment", "winner": "challenger", "reason": "challenger is better in bought",
        "arms": [an_arm("control", 0.7, 0.7), an_arm("challenger", 0.3, 0.3)], "in_both": 0,
        "mismatch": False, "mismatch_p_value": 0.9, "differences": [difference],
    }  # fmt: skip
    return MeasuredTest.model_validate({**plain, **changes})


def active() -> str | None:
    with unit_of_work() as session:
        found = registry.active(session)
        return None if found is None else found.name


def test_the_sample_that_is_needed_is_computed_from_what_was_measured(second: httpx.Client) -> None:
    asked = {"metric": "bought", "share_percent": 50, "days": 14, "effect_percent": 20, "format": "json"}
    unknown = second.get("/console/experiments", params=asked).json()["sample"]
    assert (unknown["needed"], "Nothing was measured" in unknown["explanation"]) == (None, True)
    measured()
    sample = second.get("/console/experiments", params=asked).json()["sample"]
    assert (sample["baseline"], sample["needed"]) == (0.1, users_needed(0.1, 0.2, (0.5, 0.5)))
    assert (sample["expected"], sample["enough"]) == (2800, False)
    assert sample["days_needed"] == pytest.approx(sample["needed"] / 200)
    money = second.get("/console/experiments", params={**asked, "metric": "revenue"}).json()["sample"]
    assert (money["needed"], "Money" in money["explanation"]) == (None, True)


def test_an_experiment_is_started_followed_and_stopped(second: httpx.Client) -> None:
    started = send_form(second, "/console/experiments/start", TERMS)
    assert started.headers["location"] == PATH, started.text
    assert "Not measured yet" in second.get(PATH).text
    again = send_form(second, "/console/experiments/start", {**TERMS, "name": "another"})
    assert (again.status_code, "choose among the free ones" in again.text) == (409, True)
    measured(a_verdict())
    content = second.get(PATH, params={"format": "json"}).json()
    assert content["test"]["outcome_words"] == "an arm is better"
    assert content["measured"]["differences"][0]["low"] == 0.005
    assert [(arm["name"], arm["share"]) for arm in content["test"]["arms"]] == [
        ("control", 0.7), ("challenger", 0.3),
    ]  # fmt: skip
    page = second.get(PATH).text
    assert "0.50% to 3.50%" in page
    assert "samples are not as they should be" not in page
    assert send_form(second, f"{PATH}/stop", {"reason": ""}).status_code == 422
    assert send_form(second, f"{PATH}/stop", {"reason": "seen enough"}).status_code == 303
    listed = second.get("/console/experiments", params={"format": "json"}).json()
    assert listed["running"] == []
    assert [row["conclusion"] for row in listed["former"]] == ["seen enough"]


def test_unequal_samples_raise_an_alarm(second: httpx.Client) -> None:
    send_form(second, "/console/experiments/start", TERMS)
    wrong = [an_arm("control", 0.7, 0.55), an_arm("challenger", 0.3, 0.45)]
    measured(a_verdict(mismatch=True, outcome="invalid", arms=wrong))
    text = second.get(PATH).text
    assert 'role="alert"' in text
    assert "challenger got 45.0% of the users where 30.0% should be" in text
    assert second.get("/console/experiments", params={"format": "json"}).json()["running"][0]["mismatch"]


def test_a_challenger_that_is_kept_serves_and_the_experiment_ends(second: httpx.Client) -> None:
    send_form(second, "/console/experiments/start", TERMS)
    assert send_form(second, f"{PATH}/keep", {"arm": "none", "reason": "it sold more"}).status_code == 404
    kept = send_form(second, f"{PATH}/keep", {"arm": "challenger", "reason": "it sold more"})
    assert kept.status_code == 303
    assert active() == "knn-v2"
    with unit_of_work() as session:
        assert ab_tests.running(session) == ()
        row = ab_tests.get(session, "two-against-one")
        assert (row.state, row.winner) == ("stopped", "challenger")
        assert registry.history(session)[0].reason == "two-against-one: it sold more"


@pytest.mark.parametrize(
    "wrong",
    [{"arm1_share_percent": 0}, {"days": 0}, {"metric": "joy"}, {"name": "No Good"}, {"reason": ""},
     {"arm1_model": "knn-v1"}, {"days": 3000}, {"arm1_arm_name": ""}, {"arm1_diversity": 2},
     {"arm2_arm_name": "other", "arm2_share_percent": 70}, {"unit": "session", "metric": "spent"}],
)  # fmt: skip
def test_wrong_terms_start_nothing(second: httpx.Client, wrong: dict[str, object]) -> None:
    answer = send_form(second, "/console/experiments/start", {**TERMS, **wrong})
    assert answer.status_code == 422, answer.text
    with unit_of_work() as session:
        assert ab_tests.listed(session) == []


def test_an_unknown_model_or_experiment_is_a_page_that_says_so(second: httpx.Client) -> None:
    unknown = send_form(second, "/console/experiments/start", {**TERMS, "arm1_model": "none"})
    assert unknown.status_code == 404
    assert second.get("/console/experiments/none").status_code == 404


def test_several_arms_with_rules_and_settings_are_started_by_the_form(second: httpx.Client) -> None:
    more = {
        "arm2_arm_name": "bare", "arm2_share_percent": 20, "arm2_without_rules": "true",
        "arm3_arm_name": "varied", "arm3_share_percent": 10, "arm3_diversity": 0.4, "guardrail_percent": 15,
    }  # fmt: skip
    assert send_form(second, "/console/experiments/start", {**TERMS, **more}).status_code == 303
    with unit_of_work() as session:
        design = ab_tests.design_of(ab_tests.get(session, "two-against-one"))
    assert [(arm.name, str(arm.variant)) for arm in design.arms] == [
        ("control", "as it is"), ("challenger", "knn-v2"), ("bare", "no business rules"),
        ("varied", "diversity 0.4"),
    ]  # fmt: skip
    assert design.control.share == pytest.approx(0.4)
    assert [(each.metric, each.largest_drop) for each in design.guardrails] == [("bought", 0.15)]
    text = second.get("/console/experiments").text
    assert "varied 10% (diversity 0.4)" in text
    assert send_form(second, f"{PATH}/keep", {"arm": "bare", "reason": "same sales"}).status_code == 303
    assert active() == "knn-v1"
    assert "kept: bare" in second.get("/console/experiments").text


def test_an_interleaved_experiment_is_started_by_the_form_and_its_preference_displayed(
    second: httpx.Client,
) -> None:
    mixed = {**TERMS, "kind": "interleaved", "traffic_percent": 40, "metric": "clicked"}
    two = {**mixed, "arm2_arm_name": "bare", "arm2_without_rules": "true"}
    assert send_form(second, "/console/experiments/start", two).status_code == 422
    assert send_form(second, "/console/experiments/start", {**mixed, "metric": "spent"}).status_code == 422
    assert send_form(second, "/console/experiments/start", mixed).status_code == 303
    with unit_of_work() as session:
        design = ab_tests.design_of(ab_tests.get(session, "two-against-one"))
    assert (design.kind, design.traffic, design.arms[1].share) == ("interleaved", 0.4, 0.5)
    assert "for 40% of the visitors" in second.get("/console/experiments").text
    assert "Not every list is compared" not in second.get(PATH).text
    with unit_of_work() as session:
        cap = RuleIn.model_validate({"name": "Two", "kind": "cap", "cap_by": "brand", "most": 2})
        rules.create(session, cap, actor="ann")
    page = second.get(PATH).text
    assert "Not every list is compared" in page
    assert "“Two”" in page
    row = MeasuredDifference(metric="clicked", arm="challenger", control=0.01, treatment=0.03,
                             difference=0.02, low=0.005, high=0.035, relative=0.5, p_value=0.01,
                             variance_removed=0.0)  # fmt: skip
    measured(a_verdict(kind="interleaved", metric="clicked", differences=[row]))
    page = second.get(PATH).text
    assert "25.0%" in page
    assert "75.0%" in page
    assert "0.0050 to 0.0350" in page
    asked = {"metric": "clicked", "kind": "interleaved", "effect_percent": 20, "format": "json"}
    sample = second.get("/console/experiments", params=asked).json()["sample"]
    assert sample["kind"] == "interleaved"
    assert send_form(second, f"{PATH}/keep", {"arm": "challenger", "reason": "preferred"}).status_code == 303
    assert active() == "knn-v2"
    assert "interleaved with knn-v1" in second.get("/console/experiments").text


def test_a_set_of_rules_is_tried_and_applied_to_everybody(second: httpx.Client) -> None:
    rule = {"name": "no socks", "kind": "hide", "tag": "socks", "enabled": "yes", "rule_set": "winter"}
    assert send_form(second, "/console/rules", {**rule, "rule_set": "No Good"}).status_code == 422
    assert send_form(second, "/console/rules", rule).status_code == 303
    assert "only with the set winter" in second.get("/console/rules").text
    assert "also winter" in second.get("/console/experiments").text
    terms = {**TERMS, "arm1_model": "", "arm1_rule_set": "winter"}
    both = send_form(second, "/console/experiments/start", {**terms, "arm1_without_rules": "true"})
    assert (both.status_code, "give one of the two" in both.text) == (422, True)
    assert send_form(second, "/console/experiments/start", terms).status_code == 303
    assert "rules of winter" in second.get(PATH).text
    released = "/console/rules/sets/winter/release"
    assert send_form(second, released, {}).status_code == 409
    assert send_form(second, f"{PATH}/keep", {"arm": "challenger", "reason": "better"}).status_code == 303
    page = second.get(PATH).text
    assert "hold for nobody yet" in page
    assert released in page
    assert send_form(second, released, {}).status_code == 303
    assert "hold for nobody yet" not in second.get(PATH).text
    assert "set of rules: winter → none" in second.get("/console/rules", params={"view": "changes"}).text
    assert send_form(second, released, {}).status_code == 404
