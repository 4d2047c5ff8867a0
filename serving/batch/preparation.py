"""What a scoring begins with: the serving model, the catalogue, the live lists, and who gets a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

import numpy as np
import numpy.typing as npt
from psycopg import sql

from models.registry import registry
from models.registry.registry import RegisteredModel
from recsys.database.servers.copies import copy_to
from recsys.database.session import driver_connection, unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists import generations
from recsys.domains.recommendations.stored_lists.changes import DatabaseState
from recsys.domains.recommendations.stored_lists.generations import Generation
from recsys.errors import NotFound
from recsys.log import get_logger
from recsys.settings import get_settings
from recsys.settings.serving import ServingSettings
from serving.batch.list_storage import ListStorage, Progress, UserListWriter, WrittenLists
from serving.batch.packed_columns import read_integers
from serving.catalogue.catalogue import Catalogue
from serving.catalogue.refresher import CatalogueRefresher
from serving.ranking.popularity import PopularProducts
from serving.state.active_model import LoadedModel

__all__ = ["Preparation", "begin_generation", "prepare", "users_to_score"]

_log = get_logger(__name__)

_ALLOWED: LiteralString = """
    SELECT u.id, u.last_seen >= to_timestamp(%(since)s) IS TRUE AS was_seen FROM users_db.users u
    WHERE u.is_active AND NOT EXISTS (
        SELECT FROM users_db.consents c WHERE c.owner = 'user:' || u.id AND NOT c.personalisation)
"""
_USERS = sql.SQL(
    """
    SELECT u.id, (u.was_seen OR EXISTS (
        SELECT FROM recommendations_db.user_interactions i
        WHERE i.user_id = u.id AND i.created_at >= since.moment))::integer AS is_recent
    FROM allowed_users u CROSS JOIN to_timestamp(%s) AS since (moment)
    WHERE EXISTS (SELECT FROM recommendations_db.user_interactions i WHERE i.user_id = u.id)
    ORDER BY u.id
    """
)


@dataclass(frozen=True, eq=False)
class Preparation:
    """The state that a scoring works on.

    Attributes
    ----------
    live, former
        The generation whose lists are live, and the one before it.
    state
        The state of the database; whatever is read for a list later is of this state or newer.
    """

    model: LoadedModel
    catalogue: Catalogue
    popular: PopularProducts
    live: Generation | None
    former: Generation | None
    state: DatabaseState

    def write_lists(
        self,
        write: UserListWriter,
        users: npt.NDArray[np.int64],
        storage: ListStorage,
        progress: Progress | None,
    ) -> WrittenLists:
        """Make the lists of these users by the serving model; their recent interactions are noted."""
        settings = get_settings().serving
        return write(
            self.model, self.catalogue, self.popular, settings, users, storage, recent=True, progress=progress
        )


def prepare() -> Preparation:
    """Read it. Raises NotFound without an active model, Unavailable when its artifact is damaged."""
    refresher = CatalogueRefresher()
    with unit_of_work() as session:
        state = DatabaseState.now(session)
        registered = registry.active(session)
        live, former = generations.live(session), generations.former(session)
        refresher.refresh(session)
        popular = PopularProducts.count(session)
    if registered is None:
        raise NotFound(
            "no model is active, so no user can be scored; run `recsys train run`, then promote its model"
        )
    model = LoadedModel(registered, registry.load(registered))
    return Preparation(model, refresher.current, popular, live, former, state)


def begin_generation(registered: RegisteredModel, *, state: DatabaseState | None = None) -> int:
    """Begin a generation that nobody sees yet, and remove what killed runs left in Redis.

    Call it under `locks.only_one_scoring`.

    Parameters
    ----------
    registered
        The model whose lists it will have.
    state
        The state of the database that all its lists will consider, at least; None: none is noted.

    Returns
    -------
    int
        The id of the generation.
    """
    with unit_of_work() as session:
        read_up_to = None if state is None else str(state)
        generation, failed = generations.start(
            session, registered.name, registered.version, read_up_to=read_up_to
        )
    for abandoned in failed:
        _log.warning("a scoring did not finish; its lists are removed", generation=abandoned)
        list_cache.retire_lists(abandoned, 0)
    return generation


def users_to_score(model: LoadedModel, settings: ServingSettings) -> tuple[npt.NDArray[np.int64], int]:
    """Return the users whose lists are stored, and how many are left out as inactive.

    The days count back from the end of the training data, not from today: in a shop whose newest interactions
    are old, such as imported ones, the last users to come are active.

    Returns
    -------
    users : int64, shape (users,)
        Whose lists are stored, ascending.
    inactive : int
        How many users with interactions are left out.
    """
    days = settings.stored_active_days
    since = model.model.moment_ / 1e6 - days * 86_400 if days else -np.inf
    with unit_of_work() as session:
        copy_to(session, "recommendations", "allowed_users", _ALLOWED, {"since": float(since)})
        connection = driver_connection(session, "recommendations")
        users, is_recent = read_integers(connection, _USERS, ["id", "is_recent"], [float(since)])
    # without a limit also users whose interactions have no time
    stored = users[is_recent > 0] if days else users
    return stored.astype(np.int64), int(users.size - stored.size)
