"""A/B tests: which serving data a visitor's list is made of, and which arm the response names."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recsys.domains.recommendations.ab_tests.service import Arm, label
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.state.ab_assignment import RunningTest
from serving.state.metrics import count_arm
from serving.state.serving_data import ServingData

__all__ = ["Assignment", "assign"]


@dataclass(frozen=True, eq=False)
class Assignment:
    """The arm of a visitor. data: what the arm's lists are made of; test: None where no test is involved."""

    data: ServingData
    test: RunningTest | None = None
    arm: Arm | None = None

    @property
    def is_challenger(self) -> bool:
        """Whether the challenger ranks."""
        return self.arm is Arm.CHALLENGER

    def labelled(self, response: RecommendationResponse) -> RecommendationResponse:
        """The response with its arm: `fallback` where its list is not by the model of the visitor's arm."""
        if self.test is None or self.arm is None:
            return response
        arm = self.arm
        if arm is Arm.CONTROL and not self._is_by_control(self.test, response):
            arm = Arm.FALLBACK
        return self._with_arm(self.test, response, arm)

    def labelled_page(self, response: RecommendationResponse) -> RecommendationResponse:
        """A later page with its arm: of the list that began, whichever model serves by now."""
        if self.test is None or self.arm is None:
            return response
        test = self.test.test
        other = test.control if self.arm is Arm.CHALLENGER else test.challenger
        return self._with_arm(self.test, response, Arm.FALLBACK if response.model == other else self.arm)

    def fallback(self, data: ServingData) -> Assignment:
        """The same visitor with a list by the serving model, which is not counted for either arm."""
        return replace(self, data=data, arm=Arm.FALLBACK)

    def _is_by_control(self, test: RunningTest, response: RecommendationResponse) -> bool:
        """Whether the serving model is still the control, and the list its own."""
        model, control = self.data.model, test.test.control
        return (
            model is not None
            and model.registered.name == control
            and (response.source != "stored" or response.model == control)
        )

    @staticmethod
    def _with_arm(test: RunningTest, response: RecommendationResponse, arm: Arm) -> RecommendationResponse:
        count_arm(arm.value)
        return replace(response, arm=label(test.test.name, arm))


def assign(data: ServingData, request: RecommendationRequest, *, later_page: bool = False) -> Assignment:
    """The visitor's arm, and the data for it: the challenger's are the same but for the model.

    later_page : a list that was ranked before keeps its arm, also where its model cannot rank any more.
    """
    test = data.test
    arm = None if test is None else test.arm(request)
    if test is None or arm is None:
        return Assignment(data)
    if later_page:
        return Assignment(data, test, arm)
    if arm is Arm.CONTROL:
        live = replace(data, uses_stored_lists=False) if test.test.live_control else data
        return Assignment(live, test, arm)
    challenger = test.challenger
    if challenger is None:
        return Assignment(data, test, Arm.FALLBACK)
    ranked_now = replace(data, model=challenger, cold_start=test.cold_start, uses_stored_lists=False)
    return Assignment(ranked_now, test, arm)
