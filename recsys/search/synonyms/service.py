"""Synonyms of the shop: edited by administrators with a trace, and put into searches.

A group holds phrases that stand for one another (`ssd`, `solid state drive`). A process reads the groups once
in two seconds at most. The groups of a search are part of its key in the cache, so no answer of other groups
is served from there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.database.after_commit import after_commit
from recsys.errors import Conflict, NotFound
from recsys.search import cache
from recsys.search.analysis.analyser import Analyser
from recsys.search.synonyms.tables import SearchSynonym, SearchSynonymChange
from recsys.web.versions import check_version

__all__ = ["changes_of", "create", "delete", "forget", "get", "groups_for", "listed", "replace"]

_MOST_GROUPS = 2000
_SECONDS = 2.0
_WRITE_LOCK = 0x73796E6F  # writers take turns, so that each phrase is checked against all groups


class _Groups(NamedTuple):
    """What was read: the groups by the keys of the terms of their phrases."""

    read_at: float
    language: str
    by_phrase: dict[tuple[str, ...], tuple[str, ...]]
    longest: int


_current: _Groups | None = None


def groups_for(session: Session, analyser: Analyser, words: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The groups of which a phrase is part of these words."""
    known = _read(session, analyser)
    keys = [term.key for term in analyser.terms(words)]
    found = {
        group: None
        for begin in range(len(keys))
        for end in range(begin + 1, min(len(keys), begin + known.longest) + 1)
        if (group := known.by_phrase.get(tuple(keys[begin:end]))) is not None
    }
    return tuple(found)


def forget() -> None:
    """The next search of this process reads the groups again."""
    global _current
    _current = None


def create(session: Session, analyser: Analyser, phrases: Sequence[str], *, actor: str) -> SearchSynonym:
    """Store a group. Raises Conflict when a phrase is in another group, or there are too many groups."""
    _take_turns(session)
    _check(session, analyser, phrases, None)
    if (session.scalar(select(func.count()).select_from(SearchSynonym)) or 0) >= _MOST_GROUPS:
        raise Conflict(f"There are {_MOST_GROUPS} groups of synonyms already; delete one first.")
    moment = clock.now()
    row = SearchSynonym(
        phrases=list(phrases), version=1, created_by=actor, created_at=moment, updated_at=moment
    )
    session.add(row)
    session.flush()
    _note(session, row.id, "created", None, phrases, actor)
    return row


def replace(
    session: Session,
    analyser: Analyser,
    synonym_id: int,
    phrases: Sequence[str],
    *,
    version: int | None,
    actor: str,
) -> SearchSynonym:
    """Replace the phrases of a group.

    Parameters
    ----------
    analyser
        Of the language of the index.
    synonym_id
        The group.
    phrases
        Its phrases from now on.
    version
        The version that the editor read; None skips the check.
    actor
        Whom the history of the group names.

    Raises
    ------
    NotFound
        There is no such group.
    Conflict
        Somebody else changed it, a phrase is in another group, or two phrases are the same to search.
    """
    _take_turns(session)
    row = get(session, synonym_id)
    check_version(row.version, version)
    _check(session, analyser, phrases, synonym_id)
    before = list(row.phrases)
    row.phrases = list(phrases)
    row.version += 1
    row.updated_at = clock.now()
    session.flush()
    _note(session, row.id, "replaced", before, phrases, actor)
    return row


def delete(session: Session, synonym_id: int, *, version: int | None, actor: str) -> None:
    """Take a group away; its changes stay. Raises NotFound, Conflict (changed by somebody else)."""
    _take_turns(session)
    row = get(session, synonym_id)
    check_version(row.version, version)
    before = list(row.phrases)
    session.delete(row)
    session.flush()
    _note(session, synonym_id, "deleted", before, None, actor)


def get(session: Session, synonym_id: int) -> SearchSynonym:
    """One group. Raises NotFound."""
    row = session.get(SearchSynonym, synonym_id, populate_existing=True)
    if row is None:
        raise NotFound(f"There is no group of synonyms {synonym_id}.")
    return row


def listed(session: Session, *, limit: int, before: int | None = None) -> Sequence[SearchSynonym]:
    """Groups, newest first, those older than the id `before`."""
    query = select(SearchSynonym).order_by(SearchSynonym.id.desc()).limit(limit)
    return session.scalars(query if before is None else query.where(SearchSynonym.id < before)).all()


def changes_of(
    session: Session, synonym_id: int, *, limit: int, before: int | None = None
) -> Sequence[SearchSynonymChange]:
    """Changes of a group, newest first, deleted ones too. Raises NotFound when there never was one."""
    query = select(SearchSynonymChange).where(SearchSynonymChange.synonym_id == synonym_id)
    if session.scalar(query.with_only_columns(SearchSynonymChange.id).limit(1)) is None:
        get(session, synonym_id)
    if before is not None:
        query = query.where(SearchSynonymChange.id < before)
    return session.scalars(query.order_by(SearchSynonymChange.id.desc()).limit(limit)).all()


def latest_changes(session: Session, *, limit: int) -> Sequence[SearchSynonymChange]:
    """Changes of all groups, newest first."""
    query = select(SearchSynonymChange).order_by(SearchSynonymChange.id.desc()).limit(limit)
    return session.scalars(query).all()


def _read(session: Session, analyser: Analyser) -> _Groups:
    global _current
    now = time.monotonic()
    known = _current
    if known is not None and known.language == analyser.language and now - known.read_at < _SECONDS:
        return known
    by_phrase: dict[tuple[str, ...], tuple[str, ...]] = {}
    for phrases in session.scalars(select(SearchSynonym.phrases).order_by(SearchSynonym.id)):
        for phrase in phrases:
            by_phrase.setdefault(_keys(analyser, phrase), tuple(phrases))
    by_phrase.pop((), None)
    _current = _Groups(now, analyser.language, by_phrase, max(map(len, by_phrase), default=0))
    return _current


def _keys(analyser: Analyser, phrase: str) -> tuple[str, ...]:
    return tuple(term.key for term in analyser.of(phrase))


def _take_turns(session: Session) -> None:
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITE_LOCK})


def _check(session: Session, analyser: Analyser, phrases: Sequence[str], own: int | None) -> None:
    wanted = {_keys(analyser, phrase): phrase for phrase in phrases}
    if len(wanted) < len(phrases):
        raise Conflict("Two of the phrases are the same to search; each has to be found by other words.")
    for row in session.scalars(select(SearchSynonym)):
        for phrase in row.phrases:
            if row.id != own and (mine := wanted.get(_keys(analyser, phrase))) is not None:
                raise Conflict(f"'{mine}' is in the group {row.id} already; add the others to that one.")


def _note(
    session: Session,
    synonym_id: int,
    action: str,
    before: Sequence[str] | None,
    after: Sequence[str] | None,
    actor: str,
) -> None:
    session.add(
        SearchSynonymChange(
            synonym_id=synonym_id,
            action=action,
            before=None if before is None else list(before),
            after=None if after is None else list(after),
            actor=actor,
            changed_at=clock.now(),
        )
    )
    session.flush()
    after_commit(session, forget)
    cache.changed(session)
