"""The threads that make lists: in time, or not at all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from serving.state.executor import LiveExecutor


@pytest.fixture
def makers() -> Iterator[LiveExecutor]:
    """With one thread."""
    executor = LiveExecutor(1)
    yield executor
    assert executor.close()


def test_what_is_made_in_time_is_the_answer_and_a_failure_is_raised(makers: LiveExecutor) -> None:
    def fail() -> int:
        raise ValueError("no such list")

    assert asyncio.run(makers.within(30, lambda: 7)) == 7
    with pytest.raises(ValueError, match="no such list"):
        asyncio.run(makers.within(30, fail))


def test_what_nobody_waits_for_any_more_is_never_begun(makers: LiveExecutor) -> None:
    free, made = threading.Event(), []

    async def crowd() -> None:
        first = asyncio.create_task(makers.within(30, free.wait))
        await asyncio.sleep(0.05)
        others = [makers.within(0.05, lambda: made.append(1)) for _ in range(20)]
        late = await asyncio.gather(*others, return_exceptions=True)
        assert [type(error) for error in late] == [TimeoutError] * 20
        free.set()
        assert await first

    asyncio.run(crowd())
    assert asyncio.run(makers.within(30, lambda: "next")) == "next"
    assert made == []


def test_what_would_begin_late_is_not_begun(makers: LiveExecutor) -> None:
    free, made = threading.Event(), []

    async def crowd() -> None:
        first = asyncio.create_task(makers.within(30, free.wait))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(makers.within(2, lambda: made.append(1)))
        # more than half of its time is over, and somebody still waits for it
        await asyncio.sleep(1.1)
        free.set()
        with pytest.raises(TimeoutError):
            await second
        assert await first

    asyncio.run(crowd())
    assert made == []


def test_no_more_is_admitted_than_can_end_in_time() -> None:
    async def look() -> None:
        executor = LiveExecutor()
        go = threading.Event()

        def calculate() -> None:
            until = time.thread_time() + 0.05
            while time.thread_time() < until:
                pass

        for _ in range(60):
            await executor.within(20.0, calculate)
        # each takes .05 s of processor time: of half a deadline of .4 s four have room
        admitted = [executor.submit(0.4, lambda: go.wait(20)) for _ in range(3)]
        with pytest.raises(TimeoutError, match="admitted"):
            [executor.submit(0.4, lambda: go.wait(20)) for _ in range(3)]
        go.set()
        for future in admitted:
            assert future.result(20)
        assert executor.close()

    asyncio.run(look())


def test_the_first_work_is_admitted_however_long_it_takes() -> None:
    async def look() -> None:
        executor = LiveExecutor()
        for _ in range(3):
            assert await executor.within(20.0, lambda: sum(range(3_000_000)) > 0)
            # it is expected to take longer than the deadline; refusing would raise here already
            assert executor.submit(1e-6, lambda: True).exception(20) is not None
            await asyncio.sleep(0.01)
        executor.close()

    asyncio.run(look())
