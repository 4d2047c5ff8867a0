"""Examinations of this machine: the API that runs on it, its disk, and its clock beside the servers'."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from typing import Any

import redis
from sqlalchemy import Connection

from recsys import clock
from recsys.cache.client import connect, redis_url
from recsys.diagnosis.finding import Finding, State
from recsys.environment import running_api
from recsys.errors import RecsysError
from recsys.observation.database_samples import clock_offset
from recsys.settings import Settings

__all__ = ["api", "clocks", "disk"]

_API_SECONDS = 5.0
# these have findings of their own
_EXAMINED_ELSEWHERE = frozenset({"postgresql", "redis", "model", "generation", "write_buffer"})
_LOW_SHARE, _LOW_BYTES = 0.10, 10 * 2**30
_FULL_BYTES = 512 * 2**20
_CLOCK_SECONDS, _CLOCK_BROKEN_SECONDS = 5.0, 300.0


def api(settings: Settings) -> Finding:
    """Ask the API that noted its address for its readiness; none has to run on this machine."""
    part, start = "API", "recsys serve api"
    url = running_api(settings.var)
    if url is None:
        if (settings.var / "run" / "api.json").exists():
            return Finding(part, "attention", "it ended without stopping cleanly", start)
        return Finding(part, "ok", f"none runs on this machine ({start} starts one)")
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=_API_SECONDS) as answer:
            health = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return Finding(
                part, "broken", f"{url} serves no lists: {_detail(error.read())}", "mend what it names"
            )
    except (OSError, ValueError) as error:
        remedy = f"look at its log, then end it and start it again: {start}"
        return Finding(part, "broken", f"{url} does not answer ({type(error).__name__})", remedy)
    unwell = {name: about["detail"] for name, about in health["parts"].items() if not about["well"]}
    own = [f"{name}: {detail}" for name, detail in unwell.items() if name not in _EXAMINED_ELSEWHERE]
    if own:
        return Finding(part, "attention", f"{url} is degraded; {'; '.join(own)}", "docs/operations/runbook")
    return Finding(part, "ok", f"{url} serves lists")


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return "it names no reason"


def disk(settings: Settings) -> Finding:
    """The room on the disk of RECSYS_VAR, for artifacts, snapshots and queued writes."""
    part = "disk"
    folder = next(path for path in (settings.var, *settings.var.parents) if path.exists())
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        return Finding(part, "broken", f"{folder} cannot be measured: {error.strerror}", "look at the disk")
    found = f"{usage.free / 2**30:,.1f} GiB of {usage.total / 2**30:,.1f} GiB are free at {folder}"
    remedy = f"make room at {folder}, or set RECSYS_VAR to a larger disk"
    if usage.free < _FULL_BYTES:
        return Finding(part, "broken", found, remedy)
    if usage.free < _LOW_BYTES and usage.free < _LOW_SHARE * usage.total:
        return Finding(part, "attention", found, remedy)
    return Finding(part, "ok", found)


def _time_of(client: redis.Redis) -> tuple[int, int]:
    answered: Any = client.time()
    return int(answered[0]), int(answered[1])


def clocks(settings: Settings, connection: Connection) -> Finding:
    """The clocks of PostgreSQL and Redis beside the clock of this program."""
    offsets = {"PostgreSQL": clock_offset(connection)}
    try:
        with connect(redis_url(settings)) as client:
            before = clock.now().timestamp()
            seconds, microseconds = _time_of(client)
            offsets["Redis"] = seconds + microseconds / 1e6 - (before + clock.now().timestamp()) / 2
    except (redis.RedisError, RecsysError):
        # its own finding is about that
        offsets.pop("Redis", None)
    server, offset = max(offsets.items(), key=lambda pair: abs(pair[1]))
    if abs(offset) < _CLOCK_SECONDS:
        return Finding("clock", "ok", f"{abs(offset):.1f} s between this machine and {server}")
    direction = "ahead of" if offset > 0 else "behind"
    found = f"the clock of {server} is {abs(offset):,.0f} s {direction} the clock of this machine"
    state: State = "broken" if abs(offset) >= _CLOCK_BROKEN_SECONDS else "attention"
    return Finding("clock", state, found, "synchronise both with NTP (timedatectl set-ntp true)")
