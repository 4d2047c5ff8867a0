"""Generations of stored lists in PostgreSQL: which one is shown, which one came before, and how they change.

Two complete generations are kept, `live` and `former`: going back is one change of status. Each list lies
packed in `stored_lists` (see `user_lists`); `product_recommendations` holds the rows of the live generation
(see `rows`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.stored_lists import locks
from recsys.errors import Conflict

__all__ = [
    "OF_STATUS",
    "Generation",
    "Restored",
    "check_serving",
    "former",
    "generation_of",
    "give_up",
    "go_live",
    "goes",
    "live",
    "restore",
    "start",
    "sweep",
]


@dataclass(frozen=True)
class Generation:
    """One complete set of stored lists.

    Attributes
    ----------
    rows_written
        `product_recommendations` is of this generation.
    read_up_to
        The state of the database that its lists consider (`changes`); None where none was noted.
    changed_at
        When the lists of changed users were made again last.
    """

    id: int
    model: str
    version: str
    users: int
    rows: int
    started_at: datetime
    live_at: datetime | None
    expires_at: datetime | None
    rows_written: bool
    read_up_to: str | None
    changed_at: datetime | None

    @property
    def seconds_left(self) -> int:
        """How long its lists are still valid, at least a second; ten years where they do not expire."""
        left = 315_360_000.0 if self.expires_at is None else (self.expires_at - clock.now()).total_seconds()
        return max(1, int(left))


@dataclass(frozen=True)
class Restored:
    """What happened to the stored lists when another model began to serve.

    Attributes
    ----------
    outcome
        kept: the live lists are of that model already, or stay; switched: its former lists are live again;
        withdrawn: it has no lists, so none are live; responses are ranked live.
    """

    outcome: str
    before: int | None
    now: int | None


OF_STATUS = """
    SELECT id, model_name, model_version, users, rows, started_at, live_at, expires_at, rows_written,
        read_up_to, changed_at
    FROM recommendations_db.recommendation_generations WHERE status = :status
"""
"""SQL that selects the generations of one status, `:status`."""
_START = text(
    """
    INSERT INTO recommendations_db.recommendation_generations
        (model_name, model_version, status, started_at, read_up_to)
    VALUES (:name, :version, 'writing', :now, :read_up_to) RETURNING id
    """
)
_FAIL = text(
    """
    UPDATE recommendations_db.recommendation_generations SET status = 'failed'
    WHERE status = 'writing' AND (CAST(:id AS integer) IS NULL OR id = :id) RETURNING id
    """
)
_STATUS = text(
    "UPDATE recommendations_db.recommendation_generations SET status = :status WHERE status = :old"
)
_KEEP = text("UPDATE recommendations_db.recommendation_generations SET status = 'former' WHERE id = :id")
_LIVE = text(
    """
    UPDATE recommendations_db.recommendation_generations
    SET status = 'live', live_at = :now, users = coalesce(:users, users), rows = coalesce(:rows, rows),
        expires_at = coalesce(:expires, expires_at), rows_written = :written
    WHERE id = :id
    """
)
_PERIOD = text("INSERT INTO recommendations_db.generation_periods (generation_id, since) VALUES (:id, :now)")
_SWEEP = text(
    """
    DELETE FROM recommendations_db.stored_lists s USING recommendations_db.recommendation_generations g
    WHERE g.id = s.generation_id AND g.status IN ('retired', 'failed')
    """
)
_SWEEP_SHARED = text(
    """
    DELETE FROM recommendations_db.shared_lists s USING recommendations_db.recommendation_generations g
    WHERE g.id = s.generation_id AND g.status IN ('retired', 'failed')
    """
)


def generation_of(row: Row[Any]) -> Generation:
    """The generation of a row that `OF_STATUS` selects."""
    return Generation(
        row.id,
        row.model_name,
        row.model_version,
        row.users or 0,
        row.rows or 0,
        row.started_at,
        row.live_at,
        row.expires_at,
        row.rows_written,
        row.read_up_to,
        row.changed_at,
    )


def live(session: Session) -> Generation | None:
    """The generation that readers see."""
    return _with_status(session, "live")


def former(session: Session) -> Generation | None:
    """The generation that was shown before, of which the lists are kept."""
    return _with_status(session, "former")


def start(
    session: Session, model: str, version: str, *, read_up_to: str | None = None
) -> tuple[int, list[int]]:
    """Begin a new generation that nobody sees yet.

    Call it under `locks.only_one_scoring`.

    Parameters
    ----------
    read_up_to
        The state of the database that all its lists will consider, at least.

    Returns
    -------
    generation : int
        Its id.
    failed : list of int
        The generations that crashed runs left half-way, which are marked as failed.
    """
    failed = list(session.scalars(_FAIL, {"id": None}))
    values = {"name": model, "version": version, "now": clock.now(), "read_up_to": read_up_to}
    return int(session.execute(_START, values).scalar_one()), failed


def give_up(session: Session, generation: int) -> None:
    """Mark a generation that will not be finished, and drop its lists."""
    session.execute(_FAIL, {"id": generation})
    sweep(session)


def sweep(session: Session) -> None:
    """Delete the lists of generations that are neither shown nor kept to go back to."""
    session.execute(_SWEEP)
    session.execute(_SWEEP_SHARED)


def go_live(
    session: Session,
    generation: int,
    *,
    model: str,
    before: int | None,
    users: int,
    rows: int,
    expires_at: datetime,
) -> None:
    """Show a finished generation, once the transaction commits; `goes` tells which one is no longer kept.

    Parameters
    ----------
    model
        The name of its model.
    before
        The generation that was live when it was begun; None: none was.
    users, rows
        How many users have lists, and how many rows of `product_recommendations` these are.
    expires_at
        Until when its lists are valid.

    Raises
    ------
    Conflict
        Since it was begun, its model was withdrawn or other lists were put up: what was written for it must
        then be rolled back.
    """
    shown = check_serving(session, model, before)
    gone = goes(shown, former(session), model)
    if shown is None or gone != shown.id:
        _make_room(session)
    else:
        session.execute(_STATUS, {"old": "live", "status": "retired"})
        sweep(session)
    _show(session, generation, users=users, rows=rows, expires_at=expires_at, written=True)


def check_serving(session: Session, model: str, before: int | None) -> Generation | None:
    """Check that a model serves and that the live lists are still the same, until the transaction ends.

    Parameters
    ----------
    model
        The name of the model.
    before
        The generation that was live; None: none was.

    Returns
    -------
    Generation or None
        The live generation, which is `before`.

    Raises
    ------
    Conflict
        The model was withdrawn, or other lists were put up.
    """
    locks.only_one_promotion(session)
    serving = session.scalars(
        text("SELECT name FROM recommendations_db.recommendation_models WHERE is_active")
    ).all()
    shown = live(session)
    if model not in serving or (None if shown is None else shown.id) != before:
        raise Conflict(
            f"{model} was scored, but {', '.join(serving) or 'no model'} serves by now: its lists are not "
            "shown; run `recsys serve score` for those of the model that serves"
        )
    return shown


def goes(shown: Generation | None, kept: Generation | None, model: str) -> int | None:
    """Which of the two stored generations is deleted when new lists go live.

    Nightly lists of a model must not push out those of the model before it, which a rollback restores.

    Parameters
    ----------
    shown, kept
        The live and the former generation.
    model
        The name of the model of the new lists.

    Returns
    -------
    int or None
        The id of the deleted one; None: neither is deleted.
    """
    if shown is None or kept is None:
        return None
    if shown.model == model != kept.model and not _expired(kept):
        return shown.id
    return kept.id


def restore(session: Session, model: str, *, withdraw: bool = True) -> Restored:
    """Show the lists of a model, if they are shown or kept: one change that readers see whole.

    Call it in the transaction that makes the model active; Redis' pointer and `product_recommendations`
    follow after the commit.

    Parameters
    ----------
    model
        The name of the model.
    withdraw
        Whether the lists that are shown go where the model has none, or stay.
    """
    locks.only_one_promotion(session)
    shown, kept = live(session), former(session)
    before = None if shown is None else shown.id
    if shown is not None and shown.model == model:
        return Restored("kept", before, before)
    if kept is not None and kept.model == model and not _expired(kept):
        # by way of a third status: at no moment are there two of one
        session.execute(_STATUS, {"old": "live", "status": "retired"})
        _show(session, kept.id)
        if shown is not None:
            session.execute(_KEEP, {"id": shown.id})
        return Restored("switched", before, kept.id)
    if shown is None or not withdraw:
        return Restored("withdrawn" if shown is None else "kept", before, before)
    _make_room(session)
    return Restored("withdrawn", before, None)


def _make_room(session: Session) -> None:
    """The shown generation becomes the former one, whose predecessor goes."""
    session.execute(_STATUS, {"old": "former", "status": "retired"})
    session.execute(_STATUS, {"old": "live", "status": "former"})
    sweep(session)


def _show(
    session: Session,
    generation: int,
    *,
    users: int | None = None,
    rows: int | None = None,
    expires_at: datetime | None = None,
    written: bool = False,
) -> None:
    now = clock.now()
    session.execute(
        _LIVE,
        {
            "id": generation,
            "now": now,
            "users": users,
            "rows": rows,
            "expires": expires_at,
            "written": written,
        },
    )
    session.execute(_PERIOD, {"id": generation, "now": now})


def _expired(generation: Generation) -> bool:
    return generation.expires_at is not None and generation.expires_at <= clock.now()


def _with_status(session: Session, status: str) -> Generation | None:
    row = session.execute(text(OF_STATUS), {"status": status}).one_or_none()
    return None if row is None else generation_of(row)
