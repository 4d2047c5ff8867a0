"""The process that checks and fills templates, one job after another, within limits that it cannot lift.

Templates are programs of the people who may edit them: they can loop, recurse and allocate, also while they
are compiled, where Jinja computes constants. Nothing here imports the rest of recsys, and the process has
neither its settings nor its connections.
"""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Mapping
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, meta
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["CPU_SECONDS", "LONGEST", "MEMORY_BYTES", "serve"]

CPU_SECONDS = 0.5
"""Processor time of one job; then the kernel ends the process (SIGPROF)."""
MEMORY_BYTES = 128 * 2**20
"""Address space of the process; the interpreter and Jinja take a fifth of it."""
LONGEST = 200_000
"""The most characters that one part of a message may have."""
_LONGEST_REASON = 300


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which multiplies numbers only."""

    intercepted_binops = frozenset(["*", "**"])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(f"a template may multiply numbers, but not use {operator} on anything else")
        return super().call_binop(context, operator, left, right)


_HTML = _Sandbox(autoescape=True, undefined=StrictUndefined)
_TEXT = _Sandbox(autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True)


def serve(descriptor: int) -> None:
    """Answer jobs from a socket until its other end is closed, or a job used up the memory."""
    _limit()
    with Connection(descriptor) as connection:
        last = False
        while not last:
            try:
                job = json.loads(connection.recv_bytes())
            except EOFError:
                return
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            reply = _reply(job)
            signal.setitimer(signal.ITIMER_PROF, 0)
            last = bool(reply.get("last"))
            connection.send_bytes(json.dumps(reply).encode())


def _limit() -> None:
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        resource.setrlimit(kind, (most, most))


def _reply(job: Mapping[str, Any]) -> dict[str, Any]:
    """The filled parts, or with `values` None the undeclared variables of each; else a part and its fault.

    `last` is set when the process must not go on.
    """
    results: dict[str, str | list[str]] = {}
    for part, text in job["parts"].items():
        try:
            environment = _HTML if part == "body_html" else _TEXT
            if job["values"] is None:
                results[part] = sorted(meta.find_undeclared_variables(environment.parse(text)))
                environment.compile(text)
            else:
                results[part] = _filled(_compiled(environment, text), job["values"])
        except MemoryError:
            return {"part": part, "reason": "it needs too much memory", "last": True}
        except RecursionError:
            return {"part": part, "reason": "it is nested too deeply"}
        except TemplateSyntaxError as error:
            return {"part": part, "line": error.lineno, "reason": _bounded(error.message or "")}
        except Exception as error:  # noqa: BLE001 - whatever a filter raises is a fault of the template
            return {"part": part, "reason": _bounded(str(error) or type(error).__name__)}
    return {"results": results}


@lru_cache(maxsize=64)
def _compiled(environment: _Sandbox, text: str) -> Template:
    return environment.from_string(text)


def _filled(template: Template, values: Mapping[str, Any]) -> str:
    length, pieces = 0, []
    for piece in template.generate(**values):
        pieces.append(piece)
        length += len(piece)
        if length > LONGEST:
            raise ValueError(f"it grows beyond {LONGEST} characters")
    return "".join(pieces)


def _bounded(reason: str) -> str:
    return reason if len(reason) <= _LONGEST_REASON else reason[:_LONGEST_REASON] + "…"
