"""Live lists: ranked once for all who wait, kept when late, never kept when personal and in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from serving.recommender.live_lists import PER_CALLER, LiveLists, _Recent
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.state.executor import LiveExecutor

RESPONSE = RecommendationResponse(RecommendationRequest(), [], "live")


class Ranking:
    """Counts how often it is ranked; waits for `go` where it is to be slow."""

    def __init__(self, *, slow: bool = False) -> None:
        self.times = 0
        self.go = threading.Event()
        if not slow:
            self.go.set()

    def __call__(self) -> RecommendationResponse:
        self.times += 1
        assert self.go.wait(20)
        return RESPONSE


def run(test: Callable[[LiveLists], object], deadline: float = 10.0) -> None:
    """Run an asynchronous test with lists of its own."""
    executor = LiveExecutor()
    try:
        asyncio.run(test(LiveLists(executor, deadline)))  # type: ignore[arg-type]
    finally:
        executor.close()


def test_a_list_for_everybody_is_ranked_once_for_all_who_wait_and_then_kept() -> None:
    async def test(lists: LiveLists) -> None:
        ranking = Ranking(slow=True)
        waiting = [asyncio.create_task(lists.get("key", ranking, shared=True)) for _ in range(50)]
        await asyncio.sleep(0.05)
        ranking.go.set()
        assert await asyncio.gather(*waiting) == [RESPONSE] * 50
        assert await lists.get("key", ranking, shared=True) is RESPONSE
        assert ranking.times == 1
        await lists.get("other", ranking, shared=True)
        assert ranking.times == 2

    run(test)


def test_a_personal_list_in_time_is_not_kept() -> None:
    async def test(lists: LiveLists) -> None:
        ranking = Ranking()
        for _ in range(3):
            await lists.get("key", ranking, shared=False)
        assert ranking.times == 3

    run(test)


@pytest.mark.parametrize("shared", [False, True])
def test_a_late_list_waits_for_the_next_request(shared: bool) -> None:
    async def test(lists: LiveLists) -> None:
        ranking = Ranking(slow=True)
        with pytest.raises(TimeoutError):
            await lists.get("key", ranking, shared=shared)
        with pytest.raises(TimeoutError):
            await lists.get("key", ranking, shared=shared)
        ranking.go.set()
        await asyncio.sleep(0.3)
        assert await lists.get("key", ranking, shared=shared) is RESPONSE
        assert ranking.times == 1

    run(test, 0.1)


def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    async def test(lists: LiveLists) -> None:
        go = threading.Event()

        def fail() -> RecommendationResponse:
            go.wait(20)
            raise FloatingPointError("no list")

        waiting = [asyncio.create_task(lists.get("key", fail, shared=True)) for _ in range(3)]
        await asyncio.sleep(0.05)
        go.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [FloatingPointError] * 3
        assert await lists.get("key", Ranking(), shared=True) is RESPONSE

    run(test)


def test_work_that_never_began_leaves_its_place() -> None:
    async def test(lists: LiveLists) -> None:
        blocked = Ranking(slow=True)
        busy = [asyncio.create_task(lists.get(n, blocked, shared=False)) for n in range(6)]
        await asyncio.sleep(0.01)
        ranking = Ranking()
        with pytest.raises(TimeoutError):
            await lists.get("key", ranking, shared=True)
        blocked.go.set()
        await asyncio.gather(*busy, return_exceptions=True)
        await asyncio.sleep(0.1)
        assert await lists.get("key", ranking, shared=True) is RESPONSE
        assert ranking.times == 1

    run(test, 0.2)


def test_a_caller_without_a_key_takes_no_more_than_a_part() -> None:
    async def test(lists: LiveLists) -> None:
        blocked = Ranking(slow=True)
        greedy = [
            asyncio.create_task(lists.get(n, blocked, shared=False, caller="10.0.0.1")) for n in range(40)
        ]
        await asyncio.sleep(0.1)
        assert blocked.times == PER_CALLER
        for caller in (None, "10.0.0.2"):
            assert await lists.get(caller, Ranking(), shared=False, caller=caller) is RESPONSE
        blocked.go.set()
        assert await asyncio.gather(*greedy) == [RESPONSE] * 40, (
            "the others of the same caller wait for their turn"
        )

    run(test)


def test_a_caller_waits_no_longer_than_the_deadline() -> None:
    async def test(lists: LiveLists) -> None:
        blocked = Ranking(slow=True)
        greedy = [lists.get(n, blocked, shared=False, caller="10.0.0.1") for n in range(5)]
        outcomes = await asyncio.gather(*greedy, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 5
        assert blocked.times == PER_CALLER
        blocked.go.set()

    run(test, 0.2)


class RecentMachine(RuleBasedStateMachine):
    """A cache of three values for ten seconds against a list of all that was put in."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("serving.recommender.live_lists.time.monotonic", lambda: self.now)
        self.recent: _Recent[int] = _Recent(3, 10.0)
        self.kept: list[tuple[str, int, float]] = []

    keys = st.sampled_from("abcde")

    @rule(seconds=st.sampled_from([0.5, 4.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=keys, value=st.integers(0, 9))
    def put(self, key: str, value: int) -> None:
        self.recent.put(key, value)
        self.kept = [*(one for one in self.kept if one[0] != key), (key, value, self.now)][-3:]
        assert len(self.recent) == sum(self.now < at + 10 for _, _, at in self.kept)

    @rule(key=keys, takes=st.booleans())
    def read(self, key: str, takes: bool) -> None:
        expected = [value for one, value, at in self.kept if one == key and self.now < at + 10]
        assert (self.recent.pop if takes else self.recent.get)(key) == (expected[0] if expected else None)
        if takes:
            self.kept = [one for one in self.kept if one[0] != key]

    def teardown(self) -> None:
        self.patch.undo()


TestRecent = RecentMachine.TestCase
