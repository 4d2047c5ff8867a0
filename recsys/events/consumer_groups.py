"""Consumer groups: the group of the shop's domains, and those that packages register by an entry point."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import redis
from redis.exceptions import ResponseError

from recsys.errors import Invalid, Unavailable
from recsys.events import dead_letters
from recsys.events.envelope import Subscriptions, stream_of
from recsys.processes.installed import installed

__all__ = ["CORE", "GROUP", "ensure", "group_names", "streams", "subscriptions"]

GROUP = "recsys.consumers"
"""The entry-point group: a name, and `module:attribute` of its Subscriptions."""
CORE = "core"
"""The group of the shop's own domains; its handlers are listed in `recsys/subscriptions.py`."""


def group_names() -> tuple[str, ...]:
    """The names of all groups, `core` first."""
    return (CORE, *sorted({entry.name for entry in installed(GROUP)} - {CORE}))


def subscriptions(group: str) -> Subscriptions:
    """The handlers of a group by type of event. Raises Invalid for an unknown group, Unavailable."""
    if group == CORE:
        # imported here and this late since the handlers import this package
        found: Subscriptions = import_module("recsys.subscriptions").SUBSCRIPTIONS
        return found
    for entry in installed(GROUP):
        if entry.name == group:
            try:
                found = entry.load()
            except (ImportError, AttributeError) as error:
                raise Unavailable(f"the handlers of group {group!r} cannot be loaded: {error}") from error
            return found
    raise Invalid(f"there is no group {group!r}; the groups are {', '.join(group_names())}")


def streams(handlers: Subscriptions) -> tuple[str, ...]:
    """The streams that the group reads: those of the families of its events."""
    return tuple(sorted({stream_of(event.family) for event in handlers}))


def ensure(client: redis.Redis, group: str, names: tuple[str, ...]) -> None:
    """Make the group on each stream where it is missing, from the oldest entry that is still there.

    A key that is no stream is set aside first.
    """
    for name in names:
        try:
            _create(client, name, group)
        except ResponseError as error:
            if not dead_letters.is_wrong_type(error):
                raise
            dead_letters.set_aside(client, name)
            _create(client, name, group)


def _create(client: redis.Redis, name: str, group: str) -> None:
    if client.exists(name):
        present: Any = client.xinfo_groups(name)
        if any(each["name"] == group.encode() for each in present):
            # a full Redis refuses to make even a group that is there: its consumers could never empty it
            return
    try:
        client.xgroup_create(name, group, id="0", mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise
