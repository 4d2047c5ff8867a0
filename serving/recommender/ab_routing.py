"""A/B tests: the serving data and the request settings of a visitor's arm, and the label of the response."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recsys.domains.recommendations.ab_tests.assignment import fallback_label, label
from recsys.domains.recommendations.ab_tests.design import ArmDesign
from serving.ranking.eligibility import Novelty
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.state.ab_assignment import ArmModel, RunningTest
from serving.state.serving_data import ServingData

__all__ = ["Assignment", "assign", "assign_to"]


@dataclass(frozen=True, eq=False)
class Assignment:
    """The arm of a visitor, chosen before the path of the request begins.

    Attributes
    ----------
    data, request
        Those of the arm.
    original
        The request as it came.
    test, arm
        None where no test applies.
    arm_model
        The model of the arm, where it has its own.
    is_fallback
        Whether the serving model takes the place of the arm's.
    """

    data: ServingData
    request: RecommendationRequest
    original: RecommendationRequest
    test: RunningTest | None = None
    arm: ArmDesign | None = None
    arm_model: ArmModel | None = None
    is_fallback: bool = False

    def labelled(self, response: RecommendationResponse) -> RecommendationResponse:
        """Return the response to the original request, with its arm.

        It is a fallback where the list was ranked by another model than the arm's.
        """
        if self.test is None or self.arm is None:
            return response
        is_fallback = self.is_fallback or (self.arm_model is None and not self._is_by_control(response))
        return self._with_arm(self.test, self.arm, response, is_fallback)

    def labelled_page(self, response: RecommendationResponse) -> RecommendationResponse:
        """Return a later page with the arm of its first page, whichever model serves now."""
        if self.test is None or self.arm is None:
            return response
        expected = self.arm.variant.model or self.test.test.control
        is_fallback = response.model is not None and response.model != expected
        return self._with_arm(self.test, self.arm, response, is_fallback)

    def fallback(self, data: ServingData) -> Assignment:
        """Return the assignment of a list by the serving model, as it was requested."""
        return replace(self, data=data, request=self.original, arm_model=None, is_fallback=True)

    def _is_by_control(self, response: RecommendationResponse) -> bool:
        """Whether the serving model is still the control, and ranked the list if a model did."""
        assert self.test is not None
        model, control = self.data.model, self.test.test.control
        return (
            model is not None
            and model.registered.name == control
            and (response.source != "stored" or response.model in (None, control))
        )

    def _with_arm(
        self, test: RunningTest, arm: ArmDesign, response: RecommendationResponse, is_fallback: bool
    ) -> RecommendationResponse:
        name = test.test.name
        text = fallback_label(name, arm.name) if is_fallback else label(name, arm.name)
        # a cursor continues the request as it came, also after the test ended
        ranked_for = response.request
        return replace(response, request=self.original, arm=text, arm_propensity=arm.share, by_arm=ranked_for)


def assign(data: ServingData, request: RecommendationRequest) -> Assignment:
    """Return the visitor's arm, with the serving data and the request settings that it ranks by."""
    test = data.tests.get(request.placement)
    arm = None if test is None else test.arm(request)
    if test is None or arm is None:
        return Assignment(data, request, request)
    return assign_to(arm, test, data, request)


def assign_to(
    arm: ArmDesign, test: RunningTest, data: ServingData, request: RecommendationRequest
) -> Assignment:
    """Return an arm with the serving data and the request settings that it ranks by."""
    variant, arm_model = arm.variant, None
    if variant.model is not None:
        arm_model = test.models.get(variant.model)
        model = None if arm_model is None else arm_model.model
        if arm_model is None or model is None:
            return Assignment(data, request, request, test, arm, is_fallback=True)
        stored = arm_model.generation
        data = replace(
            data,
            model=model,
            cold_start=arm_model.cold_start,
            arm_generation=stored,
            uses_stored_lists=stored is not None,
        )
    without_rules = test.without_rules
    if not variant.rules and without_rules is not None:
        data = replace(data, rules=without_rules)
    if variant.rule_set is not None:
        data = replace(data, rules=data.rule_sets[variant.rule_set].of_visitor(request.user))
    settings = request
    if variant.diversity is not None:
        settings = replace(settings, diversity=variant.diversity)
    if variant.novelty is not None:
        settings = replace(settings, novelty=Novelty(variant.novelty))
    of_arm = label(test.test.name, arm.name)
    data = replace(data, arm=of_arm, uses_stored_lists=data.uses_stored_lists and not variant.live)
    return Assignment(data, settings, request, test, arm, arm_model)
