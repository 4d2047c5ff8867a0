"""A/B tests: selects the serving data of a visitor's arm, and labels the response."""

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
    """The arm of a visitor. data: the serving data of the arm; test: None where no test applies."""

    data: ServingData
    test: RunningTest | None = None
    arm: Arm | None = None

    @property
    def is_challenger(self) -> bool:
        """Whether the challenger ranks."""
        return self.arm is Arm.CHALLENGER

    def labelled(self, response: RecommendationResponse) -> RecommendationResponse:
        """Return the response with its arm: `fallback` where the model of the arm did not rank its list."""
        if self.test is None or self.arm is None:
            return response
        arm = self.arm
        if arm is Arm.CONTROL and not self._is_by_control(self.test, response):
            arm = Arm.FALLBACK
        return self._with_arm(self.test, response, arm)

    def labelled_page(self, response: RecommendationResponse) -> RecommendationResponse:
        """Return a later page with the arm of its first page, whichever model serves now."""
        if self.test is None or self.arm is None:
            return response
        test = self.test.test
        other_model = test.control if self.arm is Arm.CHALLENGER else test.challenger
        return self._with_arm(
            self.test, response, Arm.FALLBACK if response.model == other_model else self.arm
        )

    def fallback(self, data: ServingData) -> Assignment:
        """Return the assignment of a list by the serving model, which counts for neither arm."""
        return replace(self, data=data, arm=Arm.FALLBACK)

    def _is_by_control(self, test: RunningTest, response: RecommendationResponse) -> bool:
        """Whether the serving model is still the control, and ranked the list."""
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
    """Return the visitor's arm and its serving data, which differ in the model only.

    later_page : a list that was ranked earlier keeps its arm, even if its model is no longer available.
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
    challenger_data = replace(data, model=challenger, cold_start=test.cold_start, uses_stored_lists=False)
    return Assignment(challenger_data, test, arm)
