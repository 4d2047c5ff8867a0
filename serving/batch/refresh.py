"""Refreshes stored lists of users after interactions, within the live generation."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.database.collecting import collect
from recsys.database.session import driver_connection
from recsys.domains.recommendations.stored_lists import generations, locks
from recsys.domains.recommendations.stored_lists.arm_lists import arm_lists, drop_arm_lists
from recsys.domains.recommendations.stored_lists.codec import StoredList, pack
from recsys.domains.recommendations.stored_lists.generations import Generation
from recsys.domains.recommendations.stored_lists.rows import write_rows
from recsys.domains.recommendations.stored_lists.user_lists import replace_lists
from recsys.errors import RecsysError, Unavailable
from recsys.log import get_logger
from recsys.privacy.consent import without_personalisation
from recsys.settings import get_settings
from serving.batch.arm_lists import stored_models, users_of_arms
from serving.batch.list_builder import UserBatch
from serving.state.active_model import LoadedModel
from serving.state.refresher import Refresher
from serving.state.serving_data import ServingData

__all__ = ["fresh_data", "load_ahead", "refresh_before_commit", "refresh_lists", "remove_list"]

_log = get_logger(__name__)
_REMOVE = (
    text("DELETE FROM recommendations_db.stored_lists WHERE user_id = :user"),
    text("DELETE FROM recommendations_db.product_recommendations WHERE user_id = :user"),
)


def refresh_before_commit(session: Session, user: int) -> None:
    """Refresh the user's stored list right before the commit, together with those of other users.

    One pass for the users of many events takes a third of the time of one pass for each.
    """
    collect(session, _refresh, user)


def _refresh(session: Session, users: list[int]) -> None:
    refresh_lists(session, sorted(set(users)))


def refresh_lists(session: Session, users: Sequence[int]) -> set[int]:
    """Fold in the newest interactions of these users and replace their stored lists.

    Until the commit, lists for these users are ranked live, because Redis has the interactions; afterwards
    the stored lists are used again.

    Returns
    -------
    set of int
        The users whose lists were replaced: none where no generation is live, another model serves, or a
        scoring runs.
    """
    recent = _recent(users)
    refusing = without_personalisation(session, users)
    waiting = [user for user in users if user not in refusing and (recent is None or recent[user])]
    # the lists of a scoring are newer than one refreshed meanwhile, so none is
    if not waiting or not locks.share_scoring(session):
        return set()
    live = generations.live(session)
    data = fresh_data()
    model = data.model
    if live is None or model is None or model.registered.name != live.model:
        return set()
    connection = driver_connection(session, "recommendations")
    packed = _packed(connection, data, model, live, np.array(sorted(set(waiting)), dtype=np.int64))
    stored = replace_lists(session, live.id, packed)
    if not stored:
        return stored
    write_rows(session, live.id, expires_at=live.expires_at, users=sorted(stored))
    # an arm's list lacks what is no longer recent then
    arms = drop_arm_lists(session, sorted(stored))
    of_arms = _lists_of_arms(session, connection, data, sorted(stored))

    def update_redis() -> None:
        pipeline = get_redis().pipeline(transaction=True)
        for user in stored:
            pipeline.set(keys.stored_recommendations(live.id, user), packed[user], ex=live.seconds_left)
            for arm in arms:
                pipeline.delete(keys.stored_recommendations(arm, user))
        for generation, lists in of_arms.items():
            for user, each in lists.items():
                key = keys.stored_recommendations(generation.id, user)
                pipeline.set(key, each, ex=generation.seconds_left)
        for user in stored:
            if recent is not None:
                pipeline.srem(keys.recent_interactions(user), *recent[user])
        pipeline.execute()

    after_commit(session, update_redis)
    return stored


def _lists_of_arms(
    session: Session, connection: psycopg.Connection[Any], data: ServingData, users: Sequence[int]
) -> dict[Generation, dict[int, bytes]]:
    """Store the lists of these users by the models of their arms; return them by generation and user.

    A model that is not loaded here, or fails, has none: it ranks when it is asked.
    """
    stored: dict[Generation, dict[int, bytes]] = {}
    for name, lists in arm_lists(session).items():
        tests = [each for each in data.tests.all if name in stored_models(each.test)]
        mine = users_of_arms([each.test for each in tests], name, np.array(users, dtype=np.int64))
        model = next((found for each in tests if (found := each.models[name].model) is not None), None)
        if model is None or not mine.size:
            continue
        try:
            packed = _packed(connection, data, model, lists, mine)
        except RecsysError:
            raise
        except Exception as error:  # noqa: BLE001 a model on trial may raise anything
            _log.error("an arm's model makes no list of users who did something", model=name, exc_info=error)
            continue
        kept = replace_lists(session, lists.id, packed)
        stored[lists] = {user: packed[user] for user in kept}
    return stored


def _packed(
    connection: psycopg.Connection[Any],
    data: ServingData,
    model: LoadedModel,
    generation: Generation,
    users: npt.NDArray[np.int64],
) -> dict[int, bytes]:
    """Make the lists of these users, int64, ascending, of what they did until now."""
    made_at = int(clock.now().timestamp())
    settings = get_settings().serving
    batch = UserBatch(model, data.catalogue, data.popular, settings, users, fold_in=True)
    with model.lock:
        lists_by_user = batch.lists(connection)
    name, version = generation.model, generation.version
    return {
        user: pack(StoredList(generation.id, name, version, lists.any, made_at, lists.new))
        for user, lists in lists_by_user.items()
    }


def remove_list(session: Session, user: int) -> None:
    """Remove what is stored for a user who is no longer active: lists of all generations, rows and keys.

    Raises
    ------
    RedisError, Unavailable
        Redis is away: the event is then handled again.
    """
    for statement in _REMOVE:
        session.execute(statement, {"user": user})
    generations_kept = (
        generations.live(session), generations.former(session), *arm_lists(session).values()
    )  # fmt: skip
    lists = [keys.stored_recommendations(each.id, user) for each in generations_kept if each is not None]
    get_redis().delete(keys.recent_interactions(user), *lists)


def _recent(users: Sequence[int]) -> dict[int, set[bytes]] | None:
    """Read the interactions in Redis that the stored lists may lack; None while Redis is away."""
    try:
        pipeline = get_redis().pipeline(transaction=False)
        for user in users:
            pipeline.smembers(keys.recent_interactions(user))
        return dict(zip(users, pipeline.execute(), strict=True))
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("lists are refreshed without Redis", error=str(error))
        return None


_lock = threading.Lock()
_refreshed: list[tuple[float, Refresher]] = []
_REFRESH_SECONDS = 2.0


def fresh_data(*, auxiliary: bool = False) -> ServingData:
    """Return the serving data of this process, which is not the API's; auxiliary models where needed."""
    with _lock:
        refreshed_at, refresher = _refreshed[-1] if _refreshed else (0.0, Refresher())
        if time.monotonic() - refreshed_at > _REFRESH_SECONDS:
            refresher.refresh_outside_unit_of_work()
            _refreshed[:] = [(time.monotonic(), refresher)]
        if auxiliary:
            refresher.refresh_auxiliary_outside_unit_of_work()
        return refresher.data


def load_ahead(_: threading.Event) -> None:
    """Load what lists are made of, before the first event waits for it: 10 to 30 s in a large shop."""
    try:
        fresh_data()
    except RecsysError as error:
        _log.warning("the model is loaded with the first event", reason=str(error))
