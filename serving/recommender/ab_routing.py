"""Answers while an A/B test runs: by the model of the visitor's arm, and honest about which one it was."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from recsys.domains.recommendations.ab_tests.service import Arm, label
from recsys.errors import RecsysError
from recsys.settings import get_settings
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.state.ab_assignment import RunningTest
from serving.state.metrics import count_arm, count_deadline
from serving.state.serving_state import State

__all__ = ["in_arm", "of_page"]


async def in_arm(
    state: State,
    wish: RecommendationRequest,
    usual: Callable[[], Awaitable[RecommendationResponse]],
    made: Callable[[State], RecommendationResponse],
    at_hand: Callable[[], RecommendationResponse],
) -> RecommendationResponse:
    """The answer of the visitor's arm, if a test runs that is about this wish.

    usual    what the shop answers without any test
    made     in a thread: a list made now, by the model of the state it is given
    at_hand  the best list of the model that serves that costs no waiting

    A challenger that is not there, fails or takes longer than the deadline is stood in for by the model that
    serves; such an answer says `fallback` and is no one's in the figures of the test.
    """
    contest = state.ab.current
    arm = None if contest is None else contest.arm(wish)
    if contest is None or arm is None:
        return await usual()
    if arm is Arm.CONTROL:
        found = await (
            _within(state, partial(made, state), at_hand) if contest.test.live_control else usual()
        )
        return _told(contest, found, arm if _is_control(state, contest, found) else Arm.FALLBACK)
    if contest.loaded is not None:
        try:
            found = await _within(state, partial(made, _with_challenger(state, contest)), None)
        except TimeoutError:
            contest.failed()
            count_deadline()
            return _told(contest, replace(at_hand(), complete=False), Arm.FALLBACK)
        except RecsysError:
            raise  # about the question, not the model
        except Exception as error:  # noqa: BLE001 a model on trial may fail in ways of its own
            contest.failed(error)
        else:
            contest.succeeded()
            return _told(contest, found, arm)
    return _told(contest, await usual(), Arm.FALLBACK)


def of_page(
    state: State, wish: RecommendationRequest, found: RecommendationResponse
) -> RecommendationResponse:
    """A later page of a list that was ranked before: it belongs to the arm unless the other model made it."""
    contest = state.ab.current
    arm = None if contest is None else contest.arm(wish)
    if contest is None or arm is None:
        return found
    other = contest.test.control if arm is Arm.CHALLENGER else contest.test.challenger
    return _told(contest, found, Arm.FALLBACK if found.model == other else arm)


async def _within(
    state: State,
    made: Callable[[], RecommendationResponse],
    at_hand: Callable[[], RecommendationResponse] | None,
) -> RecommendationResponse:
    try:
        return await state.makers.within(get_settings().serving.deadline_ms / 1000, made)
    except TimeoutError:
        if at_hand is None:
            raise
        count_deadline()
        return replace(at_hand(), complete=False)


def _with_challenger(state: State, contest: RunningTest) -> State:
    """The same state for one answer, with the challenger in the place of the model that serves."""
    view = copy.copy(state)
    view.model, view.arrivals = contest.model, contest.arrivals  # type: ignore[method-assign]
    return view


def _is_control(state: State, contest: RunningTest, found: RecommendationResponse) -> bool:
    """Whether the model that serves is still the one that is tested against, and the list its own."""
    serving, control = state.model.current, contest.test.control
    return (
        serving is not None
        and serving.registered.name == control
        and (found.source != "stored" or found.model == control)
    )


def _told(contest: RunningTest, found: RecommendationResponse, arm: Arm) -> RecommendationResponse:
    count_arm(arm.value)
    return replace(found, arm=label(contest.test.name, arm))
