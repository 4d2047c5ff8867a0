"""The rules of posted interactions and feedback: stored now or queued, and known to the next response."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid4, uuid5

from pydantic import ValidationError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.after_commit import after_commit
from recsys.domains.recommendations.feedback import ingest as feedback
from recsys.domains.recommendations.interactions import ingest as interactions
from recsys.domains.recommendations.interactions.recent import Touched, remember_touched
from recsys.domains.recommendations.schemas import FEEDBACK, INTERACTIONS, FeedbackIn, InteractionIn
from recsys.domains.recommendations.types import InteractionType
from recsys.errors import Forbidden, Unauthorized, Unavailable
from recsys.log import get_logger
from recsys.own_ids.resolver import RESOLVER
from recsys.own_ids.scheme import IdKind, OwnId, from_object, from_text
from recsys.web.access.guest_sessions import looks_issued
from recsys.write_buffer.batches import PostVerdict, PostVerdicts, answer, parts_of, reason_of
from recsys.write_buffer.buffer import Post, Sender, enqueue, store_or_queue
from recsys.write_buffer.group_commit import GroupCommit
from recsys.write_buffer.refused_events import count_refused

__all__ = ["record_feedback", "record_interactions"]

_PAGE_EVENTS = uuid5(NAMESPACE_URL, "urn:recsys:page-event")
_VISITOR_FIELDS = ("user_id", "username", "session_id")
_UNKNOWN = 2**31 - 1
"""Stands for a user whose id is found only when their posts are stored."""
_log = get_logger(__name__)
P = TypeVar("P", InteractionIn, FeedbackIn)
_Group = GroupCommit[Sequence[P], list[PostVerdict]]
Taken = tuple[list[PostVerdict], list[Touched]]


def record_interactions(body: object, sender: Sender, visit: str | None = None) -> PostVerdicts:
    """Store one interaction or a list of up to 1,000; each gets its own verdict.

    Redis learns of the products after the commit, so that the next response knows them. While PostgreSQL
    takes no writes the interactions are queued.

    Parameters
    ----------
    visit
        The guest's session that the request names; interactions of a web page are of this session.

    Raises
    ------
    Invalid, TooManyPosts
        The body is no batch.
    NonePosted
        Every interaction was refused.
    Forbidden, Unauthorized
        A web page posts for somebody else than its visitor, or has no visitor.
    Unavailable
        No server takes them.
    """
    parts = parts_of(body, INTERACTIONS)
    if sender.of_page:
        _check_page(parts, sender, visit)
        parts = [_of_visit(part, visit) for part in parts]
    parts = _numbered(parts, sender)
    caller = _UNKNOWN if sender.login is not None else sender.user_id
    if caller is not None:
        parts = [interactions.named(part, caller) for part in parts]

    def own(part: InteractionIn) -> InteractionIn:
        if part.user_id == _UNKNOWN:
            return part.model_copy(update={"user_id": None})
        return part if sender.user_id is None else interactions.of_caller(part, sender.user_id)

    verdicts = _record("interactions", parts, InteractionIn, sender, _INTERACTIONS, own)
    count_refused("interactions", verdicts)
    return answer(verdicts, PostVerdicts)


def record_feedback(body: object, sender: Sender, visit: str | None = None) -> PostVerdicts:
    """Store one piece of feedback or a list of up to 500; each gets its own verdict.

    While PostgreSQL takes no writes it is queued, and so is feedback on a response that is not stored yet.

    Parameters
    ----------
    visit
        The guest's session that the request names.

    Raises
    ------
    Invalid, TooManyPosts
        The body is no batch.
    NonePosted
        Every piece was refused.
    Forbidden, Unauthorized
        A web page posts for somebody else than its visitor, or has no visitor.
    Unavailable
        No server takes them.
    """
    parts = parts_of(body, FEEDBACK)
    if sender.of_page:
        _check_page(parts, sender, visit)
    parts = _numbered(parts, sender)

    def own(part: FeedbackIn) -> FeedbackIn:
        return part.model_copy(
            update={"user_id": part.user_id or sender.user_id, "session_id": part.session_id or visit}
        )

    verdicts = _record("feedback", parts, FeedbackIn, sender, _FEEDBACK, own)
    count_refused("feedback", verdicts)
    return answer(verdicts, PostVerdicts)


def _numbered(parts: Sequence[object], sender: Sender) -> Sequence[object]:
    """The parts of a user who is logged in with their number in the place of their username.

    They post for themselves alone, which the number decides. While PostgreSQL is away the parts stay as they
    are.
    """
    if sender.user_id is None:
        return parts
    own_ids = [_user_of(part) for part in parts]
    try:
        found = RESOLVER.look_up([own_id for own_id in own_ids if own_id is not None])
    except Unavailable:
        return parts
    numbered: list[object] = []
    for part, own_id in zip(parts, own_ids, strict=True):
        number = None if own_id is None else found.get((IdKind.USER, own_id))
        if isinstance(part, dict) and number == sender.user_id:
            part = {name: value for name, value in part.items() if name != "username"} | {"user_id": number}
        numbered.append(part)
    return numbered


def _user_of(part: object) -> OwnId | None:
    if not isinstance(part, dict):
        return None
    if isinstance(part.get("username"), str):
        return None if "user_id" in part else OwnId("username", part["username"])
    user = part.get("user_id")
    own_id = from_text(user) if isinstance(user, str) else from_object(user)
    return own_id if own_id is not None and own_id.scheme == "username" else None


def _check_page(parts: Sequence[object], sender: Sender, visit: str | None) -> None:
    if any(isinstance(part, dict) and not part.keys().isdisjoint(_VISITOR_FIELDS) for part in parts):
        raise Forbidden(
            f"A web page posts for its visitor alone: leave out {', '.join(_VISITOR_FIELDS)}. The visitor is "
            "the user of the signed token, or the guest of the header X-Session-Id."
        )
    if sender.user_id is None and visit is None:
        raise Unauthorized(
            "Whose events are these? Send a guest session (X-Session-Id, from POST /api/v1/auth/guest), or "
            "the signed token of a user of this shop as `Authorization: Bearer TOKEN`."
        )


def _of_visit(part: object, visit: str | None) -> object:
    """An interaction of a web page, in its visit.

    Event ids of pages have a space of their own: a page could keep out an event of the shop's server, or of
    another visitor, by sending its id first.
    """
    if not isinstance(part, dict) or visit is None:
        return part
    event_id = part.get("event_id")
    if isinstance(event_id, str) and event_id:
        part = {**part, "event_id": str(uuid5(_PAGE_EVENTS, f"{visit}:{event_id}"))}
    return {**part, "session_id": visit}


def _record(
    kind: str,
    parts: Sequence[object],
    model: type[P],
    sender: Sender,
    group: _Group[P],
    own: Callable[[P], P],
) -> list[PostVerdict]:
    """Store parts, or queue them; a verdict each."""
    ready = [_with_id_and_time(part, model) for part in parts]
    remarks = [part.remark for part in ready if isinstance(part, InteractionIn | FeedbackIn) and part.remark]
    if remarks:
        _log.warning("a sender's clock is ahead, or the server's is behind", kind=kind, parts=len(remarks))

    verdicts = [
        _unsigned(place, part, sender) or _verdict(place, ready[place], model, sender)
        for place, part in enumerate(parts)
    ]
    places = [verdict.index for verdict in verdicts if verdict.status == "queued"]
    posts = [own(model.model_validate(ready[place])) for place in places]
    if not posts:
        return verdicts
    stored = store_or_queue(kind, sender, group, posts, lambda: [_piece(part) for part in posts])
    if stored is None:
        remember_touched(_touched(posts))
        return verdicts
    for place, verdict in zip(places, stored, strict=True):
        verdicts[place] = verdict.model_copy(update={"index": place})
    return verdicts


def _group(kind: str, take: Callable[[Session, Sequence[P]], Taken]) -> _Group[P]:
    def store_all(session: Session, requests: Sequence[Sequence[P]]) -> list[list[PostVerdict]]:
        posts = [post for request in requests for post in request]
        verdicts, touched = take(session, posts)
        # feedback that is quicker than the response it is about
        waiting = [posts[verdict.index] for verdict in verdicts if verdict.status == "queued"]
        now = clock.now().timestamp()
        enqueue([Post(kind, _piece(post), now) for post in waiting])
        touched += _touched(waiting)
        if touched:
            after_commit(session, lambda: remember_touched(touched))
        rest = iter(verdicts)
        return [list(islice(rest, len(request))) for request in requests]

    return GroupCommit(store_all, parts=len)


_INTERACTIONS: _Group[InteractionIn] = _group("interactions", interactions.take)
_FEEDBACK: _Group[FeedbackIn] = _group("feedback", feedback.take)


def _with_id_and_time(part: object, model: type[P]) -> object:
    """The part with an event id and a time of its own, so that it means the same whenever it is stored."""
    try:
        valid = model.model_validate(part)
    except ValidationError:
        return part
    return valid.model_copy(
        update={"event_id": valid.event_id or str(uuid4()), "created_at": valid.created_at or clock.now()}
    )


def _unsigned(place: int, part: object, sender: Sender) -> PostVerdict | None:
    """The refusal of a part that names a guest of this server without the signature; None for any other.

    Tables and logs hold ids without their signatures: who has read one there is not the guest. A key may name
    them, and pages name none.
    """
    if sender.with_key or sender.of_page or not isinstance(part, dict):
        return None
    guest = part.get("session_id")
    if not isinstance(guest, str) or not looks_issued(guest):
        return None
    reason = (
        "session_id: an id without its signature; send the guest session as POST /auth/guest returned it, "
        "or an API key with the scope `events`"
    )
    return PostVerdict(index=place, status="refused", reason=reason)


def _verdict(place: int, part: object, model: type[P], sender: Sender) -> PostVerdict:
    """The verdict that is possible without PostgreSQL."""
    try:
        valid = model.model_validate(part)
    except ValidationError as error:
        whole = "feedback" if model is FeedbackIn else INTERACTIONS.singular
        return PostVerdict(index=place, status="refused", reason=reason_of(error, whole))
    reason = None
    if sender.user_id is not None and (
        valid.user_id not in (None, sender.user_id) or valid.username is not None
    ):
        reason = "user_id: not the user who is logged in"
    elif isinstance(valid, FeedbackIn):
        named = valid.user_id is not None or valid.username is not None
        has_owner = not sender.anybody or named or valid.request_id is not None
        reason = None if has_owner else feedback.WHOSE
    if reason is not None:
        return PostVerdict(index=place, status="refused", reason=reason)
    waits = "stored as soon as possible"
    return PostVerdict(
        index=place, status="queued", reason=f"{waits}; {valid.remark}" if valid.remark else waits
    )


def _piece(part: InteractionIn | FeedbackIn) -> dict[str, Any]:
    return part.model_dump(mode="json", exclude_none=True)


def _touched(parts: Sequence[InteractionIn | FeedbackIn]) -> list[Touched]:
    """The products of queued parts, as far as they are clear before the parts are stored."""
    touched = []
    for part in parts:
        interaction = _interaction_of(part)
        if interaction is not None and part.product_id is not None:
            kind, value = interaction
            moment = part.created_at or clock.now()
            touched.append(Touched(part.user_id, part.product_id, kind, moment, part.session_id, value))
    return touched


def _interaction_of(part: InteractionIn | FeedbackIn) -> tuple[InteractionType, Decimal | None] | None:
    if isinstance(part, InteractionIn):
        return part.interaction_type, part.interaction_value
    if part.feedback_type not in feedback.DISMISSALS:
        return None
    return InteractionType.DISMISSED, feedback.DISMISSALS[part.feedback_type]
