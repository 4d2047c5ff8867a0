"""Entry points are read once."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from recsys.processes import installed as module


def test_a_group_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(group: str) -> object:
        asked.append(group)
        return entry_points(group=group)

    monkeypatch.setattr(module, "entry_points", counted)
    module.installed.cache_clear()
    first = module.installed("recsys.models")
    assert "als" in [entry.name for entry in first]
    assert module.installed("recsys.models") is first
    assert module.installed("recsys.no-such-group") == ()
    assert asked == ["recsys.models", "recsys.no-such-group"]
    module.installed.cache_clear()
