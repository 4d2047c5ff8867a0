"""Where a test can lie in time: windows that follow the density of what users take up, back to back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.dataset import Dataset
from features.ids import distinct
from features.interactions import MICROSECONDS_PER_DAY
from features.splitting.protocol import choose_protocol

__all__ = ["ENOUGH_USERS", "NEWEST", "Window", "dense_end", "holdout_windows"]

ENOUGH_USERS = (100, 30, 10)
"""Judged users that each window should have: the first number that any windows reach decides."""
LENGTHS = tuple(
    round(days * MICROSECONDS_PER_DAY)
    for days in (28, 21, 14, 10, 7, 5, 3, 2, 1, 1 / 2, 1 / 4, 1 / 8, 1 / 24)
)
"""How long a window may be, the longest first."""
PASTS = (4.0, 1.5)
"""The data before the first window are at least so many windows long: the first number that any windows
reach. Models that know half of the data are another choice than models that know all: with one and a half
windows TIFU-kNN won the backtests of small shops and lost a fifth of NDCG when it was served."""
ENDS = (1.0, 0.98, 0.9)
"""Where the last window may end, as a share of the successes of a run, the latest first."""
TAIL, MOST_TAIL = 0.02, 100
"""Events before or after a gap that are at most this share of all, and so many, are outliers in time."""
NEWEST = 5_000
"""So many of the newest events say where the density ends."""
RUN_SHARE, RUN_PEOPLE = 0.05, 100
"""A run after a gap counts with this share of the events, or so many people."""
GAP_DAYS = 7
"""A gap without a success is longer than so many days, and than so many usual steps between busy days."""

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """Models know the events up to `start`; the answers lie in (start, end]. Microseconds since 1970."""

    start: int
    end: int


@dataclass(frozen=True, eq=False)
class _Answers:
    """Successes that can be judged, in order of time: when, of which user row, and as from when (int64)."""

    time: Times
    user: npt.NDArray[np.int64]
    since: Times
    """The first moment from which the user of each has a past."""
    in_order: bool
    """Whether a past may begin inside the window, as for the protocol `next`."""

    def users(self, start: int, end: int) -> int:
        """How many users can be judged in (start, end]."""
        low, high = np.searchsorted(self.time, [start, end], side="right")
        part = slice(int(low), int(high))
        past = self.since[part] < self.time[part] if self.in_order else self.since[part] <= start
        return int(distinct(self.user[part][past]).size)


def holdout_windows(dataset: Dataset, count: int, days: float | None = None) -> list[Window]:
    """At most `count` windows, the earliest first, each beginning where the one before it ends.

    Successes (`dataset.target`) of users on products that can be shown decide:

    1. A few of them (2%, at most 100) that a long gap separates from the rest, at either end, are outliers
       and are ignored.
    2. Gaps of more than a week, and of more than seven usual steps between busy days, cut what is left into
       runs. All windows lie in one run, the latest that has enough users, and end with it, or, if it ends in
       a trickle, where 98% or 90% of its successes are over.
    3. Every window has at least 100 users that can be judged; if no run offers that, 30, then 10.
    4. As many windows as possible up to `count`, and these as long as possible up to 28 days; before the
       first of them lie events of at least four windows, or of one and a half where four are not to be had.

    No window where even that is not possible, or where all events have one time. With `days` the length is
    that, and one user is enough.
    """
    times = np.asarray(dataset.events.time)
    if not times.size or times[0] == times[-1]:
        return []
    answers = _answers(dataset)
    inside = _dense(answers.time)
    begin = int(times[_dense(times)][0])
    lengths = LENGTHS if days is None else (round(days * MICROSECONDS_PER_DAY),)
    for least in ENOUGH_USERS if days is None else (*ENOUGH_USERS, 1):
        for run in _runs(answers.time[inside]):
            for past in PASTS:
                for windows in _candidates(run, begin, count, lengths, past):
                    if all(answers.users(each.start, each.end) >= least for each in windows):
                        return windows
    return []


def dense_end(times: Times, people: npt.NDArray[np.int64]) -> int:
    """Up to when events are dense: the end of the latest run that more than a few people made.

    A run ends where a long gap begins (`holdout_windows`, 1 and 2); it counts with 5% of the events or 100
    people. So a handful of events months after all others does not move what is recent.

    Parameters
    ----------
    times : int64, shape (n,), in order
        Microseconds since 1970; only the newest 5,000 are looked at.
    people : int64, shape (n,)
        Whose event each is.

    Returns
    -------
    int
        Microseconds since 1970; 0 without events.
    """
    times, people = times[-NEWEST:], people[-NEWEST:]
    if not times.size:
        return 0
    dense = _dense(times)
    times, people = times[dense], people[dense]
    stop = times.size
    for run in _runs(times):
        whose = people[stop - run.size : stop]
        if run.size >= RUN_SHARE * times.size or distinct(whose).size >= RUN_PEOPLE:
            return int(run[-1])
        stop -= run.size
    return int(times[-1])


def _candidates(
    run: Times, begin: int, count: int, lengths: tuple[int, ...], past: float
) -> Iterator[list[Window]]:
    """Series of windows inside a run, the best first: many, then late, then long."""
    for number in range(count, 0, -1):
        for share in ENDS:
            end = int(run[max(int(np.ceil(share * run.size)) - 1, 0)])
            for length in lengths:
                start = end - number * length
                if length > 0 and start >= run[0] and start - begin >= past * length:
                    yield [Window(start + i * length, start + (i + 1) * length) for i in range(number)]


def _answers(dataset: Dataset) -> _Answers:
    events = dataset.events
    user = np.asarray(events.user)
    known = np.flatnonzero(user >= 0)
    since = np.full(len(dataset.users), np.iinfo(np.int64).max)
    # from the last to the first, so that the first one stays
    since[user[known][::-1]] = events.time[known][::-1]
    shown = dataset.item_features.active[events.item]
    rows = np.flatnonzero(dataset.target.mask(events) & (user >= 0) & shown)
    whose = user[rows].astype(np.int64)
    in_order = choose_protocol(dataset)[0] == "next"
    return _Answers(np.asarray(events.time[rows]), whose, since[whose], in_order)


def _dense(times: Times) -> slice:
    """Without the few at either end that a long gap separates; `times` in order."""
    n = times.size
    few = max(1, min(MOST_TAIL, int(TAIL * n)))
    if n < 3 * few + 2:
        return slice(0, n)
    middle = np.diff(times[few : n - few])
    usual = 20.0 * float(middle.mean())
    long = max(float(MICROSECONDS_PER_DAY), usual, 3.0 * float(np.quantile(middle, 0.99)))
    wide = np.flatnonzero(np.diff(times) > long)
    head, tail = wide[wide < few], wide[wide >= n - 1 - few]
    return slice(int(head[-1]) + 1 if head.size else 0, int(tail[0]) + 1 if tail.size else n)


def _runs(times: Times) -> list[Times]:
    """The runs of events without a gap, the latest first."""
    if not times.size:
        return []
    busy = np.diff(distinct(times // MICROSECONDS_PER_DAY))
    usual = float(np.median(busy)) if busy.size else 1.0
    cuts = np.flatnonzero(np.diff(times) > GAP_DAYS * max(1.0, usual) * MICROSECONDS_PER_DAY)
    return np.split(times, cuts + 1)[::-1]
