"""Models that learned from erased people: marked with a date, and deleted once another one replaced them.

A fitted model cannot forget a person; it is trained again, on data without them. A marked model that another
version of its experiment replaced, trained after the erasure, is deleted with its files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.artifacts.store import ArtifactStore, artifact_store
from recsys.domains.recommendations.stored_lists import locks
from recsys.errors import Invalid, NotFound
from recsys.privacy import tombstones
from recsys.privacy.person import Person
from recsys.privacy.places.files import learned_from
from recsys.privacy.tombstones import Tombstone
from recsys.settings import get_settings

__all__ = [
    "MarkedModel",
    "delete_replaced",
    "mark",
    "mark_registered",
    "marked",
    "overdue",
    "training_runs",
]

TRAINING_LOCK = 7_290_312
"""The advisory lock that a training holds (`training.lock`)."""
_BATCH = 10_000

_MODELS = text(
    """
    SELECT name, parameters ->> 'artifact' AS artifact, coalesce(last_trained_at, created_at) AS trained_at
    FROM recommendations_db.recommendation_models WHERE parameters ? 'artifact' ORDER BY id
    """
)
_FIRST_INTERACTION = text(
    "SELECT min(created_at) FROM recommendations_db.user_interactions "
    "WHERE user_id = :user OR (user_id IS NULL AND session_id = ANY(:sessions))"
)
_MARK = text(
    """
    INSERT INTO recommendations_db.models_to_retrain (name, erased_at, retrain_by)
    VALUES (:name, :moment, :retrain_by)
    ON CONFLICT (name) DO UPDATE SET erased_at = excluded.erased_at
    """
)
_MARKED = text(
    """
    SELECT t.name, t.erased_at, t.retrain_by, coalesce(m.is_active, false) AS is_active,
           m.parameters ->> 'artifact' AS artifact,
           NOT coalesce(m.is_active, false) AND NOT EXISTS (
               SELECT FROM recommendations_db.ab_tests a
               WHERE a.state = 'running' AND (t.name IN (a.control, a.challenger) OR EXISTS (
                   SELECT FROM jsonb_array_elements(a.design -> 'arms') e
                   WHERE e #>> '{variant,model}' = t.name))
           ) AND EXISTS (
               SELECT FROM recommendations_db.recommendation_models n
               WHERE regexp_replace(n.name, '-v[0-9]+$', '') = regexp_replace(t.name, '-v[0-9]+$', '')
                   AND n.name <> t.name AND n.last_trained_at > t.erased_at AND n.parameters ? 'artifact'
                   AND NOT EXISTS (
                       SELECT FROM recommendations_db.models_to_retrain o WHERE o.name = n.name)
           ) AS is_replaced
    FROM recommendations_db.models_to_retrain t
    LEFT JOIN recommendations_db.recommendation_models m ON m.name = t.name
    ORDER BY t.retrain_by, t.name
    """
)
# the row stays: version numbers are never given again, and histories refer to it
_WITHOUT_ARTIFACT = text(
    "UPDATE recommendations_db.recommendation_models "
    "SET parameters = parameters - 'artifact' - 'checksum' WHERE name = :name"
)
_TRAINING_RUNS = text(
    "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
    "WHERE locktype = 'advisory' AND granted AND datname = current_database() "
    "AND classid = 0 AND objid = :lock)"
)
_UNMARK = text("DELETE FROM recommendations_db.models_to_retrain WHERE name = :name")


@dataclass(frozen=True)
class MarkedModel:
    """A model that learned from an erased person.

    Attributes
    ----------
    retrain_by
        When it is to be trained again at the latest.
    artifact
        Its folder below `var/`; None where it is gone.
    is_replaced
        A version of its experiment was trained without the person, and this one serves nobody.
    """

    name: str
    erased_at: datetime
    retrain_by: datetime
    is_active: bool
    artifact: str | None
    is_replaced: bool


def mark(session: Session, person: Person, moment: datetime) -> list[str]:
    """Mark the models that learned from the person, whose interactions are still there; their names.

    A training that registers its models later marks them itself (`mark_registered`): it waits for the end of
    the caller's transaction, or this one for the end of its own.

    Those that contain the person's number, and all that were trained after the person's first interaction: a
    model of products alone learned from it too. A model that is marked keeps its date.
    """
    locks.only_one_promotion(session)
    settings, store = get_settings(), artifact_store()
    sessions = {"user": person.user_id, "sessions": list(person.sessions)}
    first = session.scalar(_FIRST_INTERACTION, sessions)
    names = []
    for model in session.execute(_MODELS).all():
        learned = first is not None and model.trained_at is not None and first <= model.trained_at
        if learned or _contains(store, model.artifact, person):
            names.append(model.name)
            retrain_by = moment + timedelta(days=settings.privacy.retrain_days)
            session.execute(_MARK, {"name": model.name, "moment": moment, "retrain_by": retrain_by})
    return names


def mark_registered(
    session: Session, names: Sequence[str], users: Iterable[int], erased_before: Set[Tombstone]
) -> datetime | None:
    """Mark models that are being registered where their data has a person who is erased by now.

    That is a user with a tombstone, or anybody who was erased since the training began: of an erased guest
    the data has no name. Call it under `locks.only_one_promotion`, in the transaction that registers them.

    Parameters
    ----------
    names
        Of the models.
    users
        Numbers of the users of the data.
    erased_before
        `tombstones.everybody`, before the data was read.

    Returns
    -------
    datetime or None
        When the last such person was erased; None where nothing is marked.
    """
    erased = tombstones.everybody(session)
    erased_at = max((each.erased_at for each in erased - erased_before), default=None)
    if erased_at is None and erased:
        numbers = iter(users)
        while batch := list(islice(numbers, _BATCH)):
            found = tombstones.ErasedPeople.among(session, map(tombstones.user_name, batch)).newest
            erased_at = max(filter(None, (erased_at, found)), default=None)
    if erased_at is not None:
        retrain_by = erased_at + timedelta(days=get_settings().privacy.retrain_days)
        for name in names:
            session.execute(_MARK, {"name": name, "moment": erased_at, "retrain_by": retrain_by})
    return erased_at


def training_runs(session: Session) -> bool:
    """Whether a training runs, which may have read a person's data before the erasure."""
    return bool(session.scalar(_TRAINING_RUNS, {"lock": TRAINING_LOCK}))


def _contains(store: ArtifactStore, artifact: str, person: Person) -> bool:
    """Whether a model contains the number of the person, on this machine or as it is published."""
    if not store.is_shared or store.path(artifact).exists():
        return learned_from(store.path(artifact), person)
    try:
        with store.some_files(artifact, lambda path: path.endswith(".npy") and "user" in path) as folder:
            return learned_from(folder, person)
    except (NotFound, Invalid):
        return False


def marked(session: Session) -> list[MarkedModel]:
    """All marked models, the one whose date comes first at the beginning."""
    return [MarkedModel(**row) for row in session.execute(_MARKED).mappings()]


def delete_replaced(session: Session) -> Sequence[str]:
    """Delete the files of marked models that were replaced, in the store too; their names.

    Other machines remove their copies within a minute of their next work.

    Raises
    ------
    Unavailable
        The store is away.
    """
    deleted: list[str] = []
    for model in marked(session):
        if model.artifact is not None and not model.is_replaced:
            continue
        if model.artifact is not None:
            session.execute(_WITHOUT_ARTIFACT, {"name": model.name})
            artifact_store().withdraw(model.artifact)
            deleted.append(model.name)
        session.execute(_UNMARK, {"name": model.name})
    return deleted


def overdue(models: Sequence[MarkedModel]) -> list[MarkedModel]:
    """Those whose date has passed and whose files are still there."""
    return [each for each in models if each.artifact is not None and each.retrain_by < clock.now()]
