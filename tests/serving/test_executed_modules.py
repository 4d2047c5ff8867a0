"""How many of the project's modules a list passes on its way from the route to the bytes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from serving.api.list_route import UserListRoute
from serving.state import executor
from tests.serving.api.answers import ask
from tests.support.servers import ROOT

MOST_STORED, MOST_LIVE = 15, 30
"""Of the live ones what `features` and `models` do is not counted: it depends on the model."""
OBSERVING = ("recsys/observation/spans.py", "recsys/database/pool_metrics.py")
"""They count, or look at a variable while tracing is off, and are no step of the path."""
PACKAGES = ("recsys", "training", "serving", "features", "models")


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """The modules of which a function was called for the last list, in the event loop or a thread."""
    modules: set[str] = set()

    def note(frame: FrameType) -> None:
        path = Path(frame.f_code.co_filename)
        if frame.f_code.co_name != "<module>" and path.is_relative_to(ROOT):
            parts = path.relative_to(ROOT).parts
            if parts[0] in PACKAGES and "/".join(parts) not in OBSERVING:
                modules.add("/".join(parts))

    handle, begin = UserListRoute.handle, executor._begin

    async def watched_handle(self: UserListRoute, scope: Scope, receive: Receive, send: Send) -> None:
        modules.clear()
        task, before, frame = asyncio.current_task(), set(), sys._getframe().f_back
        while frame is not None:  # what called the route is entered again when the route goes on
            before.add(frame.f_code)
            frame = frame.f_back

        def profile(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and frame.f_code not in before and asyncio.current_task() is task:
                note(frame)

        async def unwatched_send(message: Message) -> None:
            sys.setprofile(None)
            await send(message)

        sys.setprofile(profile)
        await handle(self, scope, receive, unwatched_send)

    def watched_begin(work: Callable[[], Any], latest: float) -> Any:
        sys.setprofile(lambda frame, event, _: note(frame) if event == "call" else None)
        try:
            return begin(work, latest)
        finally:
            sys.setprofile(None)

    monkeypatch.setattr(UserListRoute, "handle", watched_handle)
    monkeypatch.setattr(executor, "_begin", watched_begin)
    return lambda: modules


def test_a_stored_list(client: httpx.Client, executed: Callable[[], set[str]]) -> None:
    ask(client)  # the first list of a process also makes what is kept
    assert ask(client)["provenance"]["source"] == "stored"
    assert len(executed()) <= MOST_STORED, "\n".join(sorted(executed()))


@pytest.mark.one_server
def test_a_live_list(client: httpx.Client, executed: Callable[[], set[str]]) -> None:
    event = {"user_id": 1, "product_id": 5, "interaction_type": "view"}
    assert client.post("/api/v1/interactions", json=event).status_code < 300
    ask(client)
    assert ask(client)["provenance"]["source"] == "live"
    ours = {module for module in executed() if not module.startswith(("features/", "models/"))}
    assert len(ours) <= MOST_LIVE, "\n".join(sorted(ours))
