"""The rules of the recommendations domain: what may come in, and who hears of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from recsys.database.afterwards import after_commit
from recsys.domains.recommendations import feedback
from recsys.domains.recommendations.interactions import take
from recsys.domains.recommendations.recent import Touched, remember_touched
from recsys.domains.recommendations.schemas import (
    MAX_FEEDBACK,
    MAX_INTERACTIONS,
    InteractionsOut,
    Verdict,
    VerdictsOut,
)
from recsys.errors import Invalid, Unauthorized
from recsys.settings import get_settings

__all__ = ["NoneTaken", "TooMany", "record_feedback", "record_interactions", "remember_touched"]


class TooMany(Invalid):
    """More than one request may hold."""

    status = 413
    title = "Too many interactions"


class TooMuchFeedback(TooMany):
    """More feedback than one request may hold."""

    title = "Too much feedback"


class NoneTaken(Invalid):
    """Every interaction was refused; the details hold the verdicts."""

    title = "No interaction could be stored"


class NoFeedbackTaken(NoneTaken):
    """Every piece of feedback was refused; the details hold the verdicts."""

    title = "No feedback could be stored"


def record_interactions(session: Session, given: object) -> InteractionsOut:
    """Store one interaction or a list of up to 1,000; each gets its own verdict.

    Raises TooMany, Invalid for something that is no interaction at all, NoneTaken when every one is refused.
    Once the session commits, the touched products are told to Redis, so that the next answer knows them.
    """
    if not isinstance(given, dict | list):
        raise Invalid("Expected one interaction (a JSON object) or a list of them.")
    several: Sequence[object] = given if isinstance(given, list) else [given]
    if not several:
        raise Invalid(f"The list is empty; expected 1 to {MAX_INTERACTIONS} interactions.")
    if len(several) > MAX_INTERACTIONS:
        raise TooMany(
            f"{len(several)} interactions in one request; send at most {MAX_INTERACTIONS} at a time."
        )
    verdicts, touched = take(session, several)
    return InteractionsOut(**_told(session, verdicts, touched, NoneTaken))


def record_feedback(session: Session, given: object, caller_id: int | None) -> VerdictsOut:
    """Store one piece of feedback or a list of up to 500; each gets its own verdict.

    Who is logged in speaks for themselves only. Without a log-in each piece names its user, as interactions
    do; in production nobody may. Raises Unauthorized, TooMany, Invalid, NoneTaken.
    """
    if caller_id is None and get_settings().environment == "production":
        raise Unauthorized("Log in first: send the token as `Authorization: Bearer TOKEN`.")
    if not isinstance(given, dict | list):
        raise Invalid("Expected one piece of feedback (a JSON object) or a list of them.")
    several: Sequence[object] = given if isinstance(given, list) else [given]
    if not several:
        raise Invalid(f"The list is empty; expected 1 to {MAX_FEEDBACK} pieces of feedback.")
    if len(several) > MAX_FEEDBACK:
        raise TooMuchFeedback(
            f"{len(several)} pieces of feedback in one request; send at most {MAX_FEEDBACK} at a time."
        )
    verdicts, touched = feedback.take(session, several, caller_id)
    return VerdictsOut(**_told(session, verdicts, touched, NoFeedbackTaken))


def _told(
    session: Session, verdicts: list[Verdict], touched: Sequence[Touched], none_taken: type[NoneTaken]
) -> dict[str, Any]:
    """The answer; what was touched is told to Redis after the commit. Raises when nothing was taken."""
    counts = {
        word: sum(one.status == word for one in verdicts) for word in ("stored", "duplicate", "refused")
    }
    answer = {
        "stored": counts["stored"],
        "duplicates": counts["duplicate"],
        "refused": counts["refused"],
        "verdicts": [one.model_dump() for one in verdicts],
    }
    if counts["refused"] == len(verdicts):
        reasons = "it was refused" if len(verdicts) == 1 else f"all {len(verdicts)} were refused"
        raise none_taken(f"Nothing was stored: {reasons}; see the verdicts.", **answer)
    if touched:
        after_commit(session, lambda: remember_touched(touched))
    return answer
