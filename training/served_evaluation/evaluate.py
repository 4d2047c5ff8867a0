"""What a shop is served, on the period after the training, beside the same model's own lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy import sparse
from sqlalchemy.orm import Session

from features.build.builder import weights_of
from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from features.splitting.holdout import HeldOut, Question, held_out
from features.splitting.windows import Window
from features.user_history import UserInteractions, user_interactions, weigh
from models.base import Recommender
from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists.generations import Generation
from recsys.domains.recommendations.stored_lists.user_lists import read_lists, with_lists
from recsys.errors import Conflict, Invalid, NotFound
from recsys.settings import get_settings
from training.progress import Steps
from training.served_evaluation.differences import (
    PLACES,
    Cause,
    Knowledge,
    ServedFigure,
    ServedList,
    explain_places,
    served_figure,
)
from training.served_evaluation.lists import (
    Assortment,
    ServedApi,
    closed_products,
    read_assortment,
    read_table,
    stored_list,
)

__all__ = ["MOST_ASKED", "ServedReport", "measure_served"]

QUESTIONS: tuple[Question, ...] = ("any", "new")
BATCH = 256
"""Users compared at once: bounds the memory of their rankings and lists."""
LONGEST = 100
"""The model is asked for at least so many, as `recsys train evaluate` asks it."""
MOST_ASKED = 500
"""So many users, drawn by the seed, are asked of the API."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ServedReport:
    """All ways in which the lists of a model are read.

    Attributes
    ----------
    dataset
        Its fingerprint.
    generation
        Number of the stored lists that were read.
    target
        Interaction types that are a success.
    start, end
        Of the period, microseconds since 1970-01-01 UTC.
    users
        By question: those with a success in the period.
    listed
        By question: those of them with a stored list.
    judged
        Whether there were successes; without, places are compared and no NDCG is measured.
    """

    model: str
    dataset: str
    generation: int
    target: tuple[str, ...]
    start: int
    end: int
    users: dict[str, int]
    listed: dict[str, int]
    figures: list[ServedFigure]
    judged: bool = True

    @property
    def agree(self) -> bool:
        """Whether all that is served is worth what the model's own lists are, or holds the same places."""
        return all(one.agrees for one in self.figures)


@dataclass
class _ServedReading:
    """Lists of one question and one way of reading, and the causes of what differs, by user."""

    lists: dict[int, ServedList] = field(default_factory=dict)
    causes: dict[int, Sequence[Cause]] = field(default_factory=dict)


def measure_served(
    dataset: Dataset,
    *,
    name: str | None,
    api: str | None,
    key: str | None,
    days: float | None,
    draws: int,
    seed: int,
    steps: Steps,
) -> ServedReport:
    """Judge the lists of the model that serves on the successes after it learned.

    Where nothing came after it learned, the places of the lists of `MOST_ASKED` users are compared, and no
    NDCG is measured.

    Parameters
    ----------
    name
        Refuse any other model; None: whichever serves.
    api, key
        Address of a running API that is asked, too, and its API key; None: it is not asked.
    days
        Length of the period; None: as long as there are events.
    draws, seed
        Of the bootstrap; the seed also draws the users where not all are compared.

    Raises
    ------
    NotFound
        Without a model, lists or, with `days`, successes.
    Invalid
        For another model than the serving one.
    Conflict
        Where the stored lists are of another model than the serving one.
    """
    registered, generation = _serving(name)
    model = registry.load(registered)
    train, window = dataset.until(model.moment_), _window(dataset, model, days)
    asked = {question: held_out(train, dataset, window, "window", question) for question in QUESTIONS}
    judged = bool(asked["any"].users.size)
    if not judged and days is not None:
        raise NotFound(_nothing(dataset, model, registered.name, days))
    everybody = (
        np.unique(np.concatenate([one.users for one in asked.values()])) if judged else train.users.ids
    )
    listed = _with_lists(everybody.tolist())
    if not listed:
        who = "user with a success in the period" if judged else "user of the training data"
        raise NotFound(f"no {who} has a stored list; run `recsys serve score`")
    if not judged:
        listed = np.sort(np.random.default_rng(seed).permutation(listed)[:MOST_ASKED]).tolist()
        asked = {question: _without_successes(train, listed, question) for question in QUESTIONS}
    with unit_of_work() as session:
        assortment, ruled = read_assortment(session), _ruled(session)
    comparison = _Comparison(model, assortment, asked, window.start)
    with steps.step("compare lists", total=len(listed)) as comparing:
        for first in range(0, len(listed), BATCH):
            comparison.stored(listed[first : first + BATCH])
            comparing.advance(len(listed[first : first + BATCH]))
    if api is not None:
        drawn = np.random.default_rng(seed).permutation(listed)[:MOST_ASKED]
        with steps.step("ask the API", total=drawn.size) as asking:
            for first in range(0, drawn.size, BATCH):
                part = np.sort(drawn[first : first + BATCH]).tolist()
                comparison.answered(part, ServedApi(api, key, ruled=ruled))
                asking.advance(len(part))
    return ServedReport(
        registered.name,
        dataset.fingerprint,
        generation.id,
        dataset.target.types,
        window.start,
        window.end,
        {question: int(one.users.size) for question, one in asked.items()},
        {question: int(np.isin(one.users, listed).sum()) for question, one in asked.items()},
        comparison.figures(train, draws=draws, seed=seed),
        judged,
    )


def _without_successes(train: Dataset, users: list[int], question: Question) -> HeldOut:
    """These users, with nothing to find."""
    empty = np.empty(0, bool), np.empty(0, np.int64), np.zeros(len(users) + 1, np.int64)
    nothing = sparse.csr_matrix(empty, shape=(len(users), len(train.items)))
    never = np.full(len(users), np.iinfo(np.int64).max)
    return HeldOut(question, np.array(users, dtype=np.int64), nothing, None, never)


def _serving(name: str | None) -> tuple[RegisteredModel, Generation]:
    """The model that serves and its live lists."""
    with unit_of_work() as session:
        registered, generation = registry.active(session), generations.live(session)
    if registered is None:
        raise NotFound("no model serves; run `recsys train run`, then promote its model")
    if name is not None and name != registered.name:
        raise Invalid(f"{registered.name} serves, not {name}: only what is served can be measured so")
    if generation is None:
        raise NotFound("no stored lists are live; run `recsys serve score`")
    if generation.model != registered.name:
        raise Conflict(
            f"the live lists are of {generation.model}, but {registered.name} serves; run "
            "`recsys serve score`"
        )
    return registered, generation


def _ruled(session: Session) -> bool:
    """Whether a business rule holds for users' lists now."""
    in_force = rules.in_force(session, clock.now())
    return any(rule.is_for(None) and rule.holds_on("for_you", None) for rule in in_force)


class _Comparison:
    """Collects lists batch by batch, each explained by the ranking of the same question."""

    def __init__(
        self, model: Recommender, assortment: Assortment, asked: Mapping[Question, HeldOut], start: int
    ) -> None:
        self.model, self.assortment, self.asked, self.start = model, assortment, asked, start
        self.own: dict[Question, dict[int, list[int]]] = {question: {} for question in QUESTIONS}
        self.read: dict[tuple[Question, str], _ServedReading] = {}
        self._ranked = frozenset(model.items_.ids.tolist())

    def stored(self, users: list[int]) -> None:
        """Read the lists of these users as they are stored and as the table has them."""
        with unit_of_work() as session:
            stored = read_lists(session, users)
            tables = {question: read_table(session, question, stored) for question in QUESTIONS}
        packed = {
            question: {user: stored_list(one, question) for user, one in stored.items()}
            for question in QUESTIONS
        }
        self._compare(users, {"stored": packed, "table": tables})

    def answered(self, users: list[int], api: ServedApi) -> None:
        """Ask the API for the lists of these users."""
        from_api = {
            question: api.read([user for user in users if self._judged(question, user)], question)
            for question in QUESTIONS
        }
        self._compare(users, {"api": from_api})

    def figures(self, train: Dataset, *, draws: int, seed: int) -> list[ServedFigure]:
        """One figure for each question and way of reading."""
        return [
            served_figure(
                source,
                self.asked[question],
                train.items,
                self.own[question],
                read.lists,
                read.causes,
                draws=draws,
                seed=seed,
            )
            for (question, source), read in sorted(self.read.items())
        ]

    def _judged(self, question: Question, user: int) -> bool:
        users = self.asked[question].users
        place = int(np.searchsorted(users, user))
        return place < users.size and int(users[place]) == user

    def _compare(
        self, users: list[int], ways: Mapping[str, Mapping[Question, Mapping[int, ServedList]]]
    ) -> None:
        with unit_of_work() as session:
            moment = _EPOCH + timedelta(microseconds=self.start)
            closed = closed_products(session, users, self.assortment, moment)
            did = dict(zip(users, user_interactions(session, users, None), strict=True))
        for question in QUESTIONS:
            own = [user for user in users if self._judged(question, user)]
            if not own:
                continue
            most = max(len(closed[question][user]) for user in own)
            k = min(len(self.model.items_), max(LONGEST, PLACES + most))
            ranking = self.model.recommend(
                own, k, exclude="seen" if question == "new" else None, only=self.assortment.shown_ids
            )
            for row, user in enumerate(own):
                ranked = ranking.row(row)[0].tolist()
                self.own[question][user] = ranked[:PLACES]
                known = Knowledge(
                    ranked,
                    closed[question][user],
                    self.assortment.shown.__contains__,
                    self._ranked.__contains__,
                )
                for source, lists in ways.items():
                    if user in lists[question]:
                        self._explain(question, source, user, lists[question][user], known, did[user], k)

    def _explain(
        self,
        question: Question,
        source: str,
        user: int,
        served: ServedList,
        known: Knowledge,
        did: UserInteractions,
        k: int,
    ) -> None:
        causes = explain_places(served, known)
        unexplained = served.excuse in causes
        if unexplained and (did.times > self.start).any():
            folded = self._folded(question, served, did, k)
            causes = explain_places(served, known, folded)
        read = self.read.setdefault((question, source), _ServedReading())
        read.lists[user], read.causes[user] = served, causes

    def _folded(self, question: Question, served: ServedList, did: UserInteractions, k: int) -> list[int]:
        """The model's ranking by what the user did until the list was made."""
        if served.made_at is not None:
            early = did.times <= (served.made_at + 1) * 1_000_000
            did = UserInteractions(
                did.products[early],
                did.kinds[early],
                did.values[early],
                did.times[early],
                did.sessions[early],
            )
        history = weigh([did], weights_of(get_settings()), self.model.moment_)
        ranking = self.model.recommend_from(
            history, k, exclude="seen" if question == "new" else None, only=self.assortment.shown_ids
        )
        found: list[int] = ranking.row(0)[0].tolist()
        return found


def _window(dataset: Dataset, model: Recommender, days: float | None) -> Window:
    end = dataset.moment if days is None else model.moment_ + round(days * MICROSECONDS_PER_DAY)
    return Window(model.moment_, min(end, dataset.moment))


def _with_lists(users: list[int]) -> list[int]:
    """Those of the users who have a list of the live generation, ascending."""
    with unit_of_work() as session:
        return sorted(with_lists(session, users))


def _nothing(dataset: Dataset, model: Recommender, name: str, days: float | None) -> str:
    learned = f"{_EPOCH + timedelta(microseconds=model.moment_):%Y-%m-%d %H:%M}"
    within = "" if days is None else f" within {days:g} days"
    return (
        f"the dataset holds no {' or '.join(dataset.target.types)} of users that {name} knows{within} after "
        f"{learned}, up to which it learned; import what came since, and run "
        "`recsys features build`"
    )
