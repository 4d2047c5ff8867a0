"""Where a server spends its processor time: the stack of its main thread, every few milliseconds of work.

`bench_serving --profile` starts its servers by `ours` and `floor` here. Each sample weighs what the main
thread worked since the one before, and belongs to the innermost frame that a stage is known of; what a
library does in C counts for the next frame that Python sees, so reading a socket counts for the server.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import psutil
from fastapi import FastAPI

__all__ = ["FOLDER", "THREADS", "floor", "ours", "read"]

FOLDER = "BENCH_STAGES"
"""The environment variable that names the folder in which processes leave their figures."""
THREADS = "other threads: flushing exposures, refreshing"
_SECONDS = 0.001
# the first that fits the innermost frame, then the next frame: part of the file's path, functions (none: all)
_STAGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("access log", "recsys/web/middleware.py", ("_log_access",)),
    ("access log", "recsys/log.py", ()),
    ("request id, limits of the body, headers", "recsys/web/middleware.py", ()),
    ("request id, limits of the body, headers", "recsys/web/headers.py", ()),
    ("metrics", "recsys/web/metrics.py", ()),
    ("metrics", "serving/state/metrics.py", ()),
    ("key and rate limit", "recsys/web/access/authentication.py", ()),
    ("key and rate limit", "recsys/web/access/rate_limit.py", ()),
    ("key and rate limit", "recsys/web/access/authorization.py", ()),
    ("card numbers", "recsys/web/pan_filter.py", ()),
    ("reading Redis", "serving/state/redis_reader.py", ()),
    ("reading Redis", "/redis/", ()),
    ("cursor", "serving/recommender/pagination.py", ()),
    ("cursor", "serving/recommender/request.py", ("fingerprint",)),
    ("cursor", "serving/recommender/response.py", ("next_cursor",)),
    ("items as JSON", "serving/recommender/serialization.py", ()),
    ("impressions noted", "serving/recommender/response.py", ("impression_of", "<listcomp>")),
    ("impressions noted", "serving/state/impression_log.py", ()),
    ("provenance, JSON", "serving/recommender/response.py", ()),
    ("packed list", "stored_lists/codec.py", ()),
    ("what may be shown: stock, past, rules", "serving/ranking/eligibility.py", ()),
    ("what may be shown: stock, past, rules", "serving/merchandising/compiled_rules.py", ()),
    ("what may be shown: stock, past, rules", "serving/state/rule_refresher.py", ()),
    ("choosing the source", "serving/recommender/recommender.py", ()),
    ("choosing the source", "serving/recommender/context.py", ()),
    ("choosing the source", "serving/recommender/sources.py", ()),
    ("choosing the source", "serving/recommender/ab_routing.py", ()),
    ("choosing the source", "serving/api/list_route.py", ()),
    ("choosing the source", "serving/recommender/request.py", ()),
    ("FastAPI and Starlette", "/fastapi/", ()),
    ("FastAPI and Starlette", "/starlette/", ()),
    ("the route itself", "tests/performance/bench_serving.py", ()),
    ("uvicorn, httptools, sockets", "/uvicorn/", ()),
)


class _Sampler:
    def __init__(self) -> None:
        self._known: dict[CodeType, str | None] = {}
        self._reset()

    def _reset(self) -> None:
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._last, self._began = time.thread_time(), time.process_time()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._look)
        signal.signal(signal.SIGUSR1, self._write)
        signal.setitimer(signal.ITIMER_PROF, _SECONDS, _SECONDS)

    def _look(self, number: int, frame: FrameType | None) -> None:
        now = time.thread_time()
        self._spent[self._stage(frame)] += now - self._last
        self._last = now

    def _stage(self, frame: FrameType | None) -> str:
        while frame is not None:
            code = frame.f_code
            if code not in self._known:
                self._known[code] = _stage_of(code)
            stage = self._known[code]
            if stage is not None:
                return stage
            frame = frame.f_back
        return "event loop"

    def _write(self, number: int, frame: FrameType | None) -> None:
        spent: dict[str, float] = dict(self._spent)
        spent[THREADS] = time.process_time() - self._began - sum(spent.values())
        path = _path(os.getpid())
        path.with_suffix(".new").write_text(json.dumps(spent))
        path.with_suffix(".new").rename(path)
        self._reset()


def _stage_of(code: CodeType) -> str | None:
    path = code.co_filename.replace(os.sep, "/")
    for stage, part, functions in _STAGES:
        if part in path and (not functions or code.co_name in functions):
            return stage
    return None


def _path(pid: int) -> Path:
    return Path(os.environ[FOLDER]) / f"{pid}.json"


def read(process: psutil.Process) -> dict[str, float]:
    """Seconds by stage since the last call, of a process that was started by `ours` or `floor`."""
    path = _path(process.pid)
    path.unlink(missing_ok=True)
    process.send_signal(signal.SIGUSR1)
    for _ in range(500):
        if path.exists():
            found: dict[str, float] = json.loads(path.read_text())
            return found
        time.sleep(0.01)
    raise SystemExit("the server does not say where its time goes")


def _sampled(app: Any) -> FastAPI:
    _Sampler().start()
    found: FastAPI = app
    return found


def ours() -> FastAPI:
    """The API of a worker process, watched."""
    from serving.server.app import create_worker

    return _sampled(create_worker())


def floor() -> FastAPI:
    """The bare route, watched."""
    from tests.performance.bench_serving import bare

    return _sampled(bare())
