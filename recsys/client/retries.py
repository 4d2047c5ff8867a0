"""Which requests are sent again, and after how many seconds."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import httpx

from recsys.client.errors import NoAnswer

__all__ = ["Attempts", "RetryPolicy"]

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
# the request has not reached the API
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with full jitter, and at least what `Retry-After` says.

    Attributes
    ----------
    attempts
        The most requests for one call; 1 for no retries.
    first_wait, longest_wait
        Seconds before the second request, doubled before each further one, and their limit.
    deadline
        Seconds from the start of a call after which no request is sent again.
    seed
        Of the jitter; None for another one in each process.
    """

    attempts: int = 4
    first_wait: float = 0.2
    longest_wait: float = 5.0
    deadline: float = 30.0
    seed: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that make no policy."""
        if self.attempts < 1 or min(self.first_wait, self.longest_wait, self.deadline) < 0:
            raise ValueError("attempts is at least 1, and no time is negative")


@dataclass
class Attempts:
    """The requests of one call: says whether there is another one, and how long to wait for it.

    Attributes
    ----------
    repeatable
        Whether the API may handle the request twice without harm: reading, or with ids of events.
    """

    policy: RetryPolicy
    jitter: random.Random
    repeatable: bool
    made: int = 0
    started: float = field(default_factory=time.monotonic)

    def after_response(self, response: httpx.Response) -> float | None:
        """Return the seconds to wait; None where the response counts.

        Raises
        ------
        NoAnswer
            The last attempt was answered like this as well.
        """
        if response.status_code not in RETRIED_STATUSES:
            return None
        # a rate limit refuses before anything is handled
        if not self.repeatable and response.status_code != 429:
            return None
        reason = f"status {response.status_code}"
        return self._wait(reason, _seconds(response.headers.get("Retry-After")))

    def after_failure(self, error: httpx.TransportError) -> float:
        """Return the seconds to wait after a request without response; raises NoAnswer."""
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        if isinstance(error, httpx.UnsupportedProtocol) or not (
            self.repeatable or isinstance(error, _NOT_SENT)
        ):
            raise NoAnswer(f"No answer ({reason}).") from error
        return self._wait(reason, 0.0, error)

    def _wait(self, reason: str, least: float, cause: Exception | None = None) -> float:
        self.made += 1
        policy = self.policy
        backoff = min(policy.longest_wait, policy.first_wait * 2 ** (self.made - 1))
        seconds = max(least, self.jitter.uniform(0, backoff))
        waited = time.monotonic() - self.started
        if self.made >= policy.attempts or waited + seconds > policy.deadline:
            times = "1 attempt" if self.made == 1 else f"{self.made} attempts"
            raise NoAnswer(f"No answer after {times} in {waited:.1f} s; the last one: {reason}.") from cause
        return seconds


def _seconds(retry_after: str | None) -> float:
    """Return the seconds of a `Retry-After`; an HTTP date or anything else leaves the backoff alone."""
    if retry_after is None or not retry_after.strip().isdecimal():
        return 0.0
    return float(retry_after)
