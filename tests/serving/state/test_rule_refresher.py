"""The feed of rules: writes of any program, periods that begin and end, work that is not done twice."""

from __future__ import annotations

import gc
import weakref
from datetime import timedelta
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from serving.catalogue.catalogue import Catalogue
from serving.state.rule_refresher import RuleRefresher
from tests.serving.rule_shop import DAY, NOW, row

HOUR = timedelta(hours=1)


def write(session: Session, name: str, **given: object) -> int:
    body = {"name": name, "kind": "hide", "target": {"tag": "x"}} | given
    return rules.create(session, RuleIn.model_validate(body), actor="user 1").id


def names(feed: RuleRefresher) -> list[str]:
    return [rule.name for rule in feed.current]


def test_whatever_is_written_is_noticed(session: Session) -> None:
    feed = RuleRefresher()
    with clock.frozen_at(NOW):
        assert not feed.refresh(session)
        first = write(session, "first")
        assert feed.refresh(session)
        assert not feed.refresh(session)
        second = write(session, "second", priority=1)
        assert feed.refresh(session)
        assert names(feed) == ["second", "first"]
        # another program, which keeps no version and no date
        session.execute(
            text("UPDATE recommendations_db.business_rules SET priority = 2 WHERE id = :id"), {"id": first}
        )
        assert feed.refresh(session)
        assert names(feed) == ["first", "second"]
        rules.delete(session, second, version=None, actor="user 1")
        assert feed.refresh(session)
        session.execute(text("UPDATE recommendations_db.business_rules SET enabled = false"))
        assert feed.refresh(session)
        assert names(feed) == []


def test_rules_begin_and_end_without_a_write(session: Session) -> None:
    feed = RuleRefresher()
    with clock.frozen_at(NOW):
        write(session, "now", ends_at=NOW + HOUR)
        write(session, "soon", starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)
        write(session, "over", starts_at=NOW - 2 * HOUR, ends_at=NOW - HOUR)
        feed.refresh(session)
        assert names(feed) == ["now"]
    statements: list[str] = []
    engine = session.get_bind()

    def listen(*given: Any) -> None:
        statements.append(given[2])

    event.listen(engine, "before_cursor_execute", listen)
    for moment, expected in ((NOW + HOUR, ["soon"]), (NOW + 2 * HOUR, [])):
        with clock.frozen_at(moment):
            assert feed.refresh(session)
            assert names(feed) == expected
    event.remove(engine, "before_cursor_execute", listen)
    # nothing but the fingerprint was asked for
    assert len(statements) == 2
    assert not any("min_price" in one for one in statements)
    with clock.frozen_at(NOW):
        assert feed.advance()
        assert names(feed) == ["now"]


def test_rules_are_compiled_again_only_after_a_change(session: Session) -> None:
    feed = RuleRefresher()
    shop = Catalogue.of([row(1, tags=("x",)), row(2), row(3)])
    with clock.frozen_at(NOW):
        write(session, "first")
        feed.refresh(session)
        made = feed.compiled(shop)
        assert shop.ids[made.for_placement("for_you").hidden].tolist() == [1]
    with clock.frozen_at(NOW + 2 * HOUR):
        feed.refresh(session)
        assert feed.compiled(shop) is made
        changed = shop.with_rows([row(2, tags=("x",))])
        assert changed.ids[feed.compiled(changed).for_placement("for_you").hidden].tolist() == [1, 2]
        # product n arrived n days before NOW: with the time fewer are new
        write(session, "new", target={"created_within_days": 2})
        feed.refresh(session)
        assert shop.ids[feed.compiled(shop).for_placement("popular").hidden].tolist() == [1]
    with clock.frozen_at(NOW - timedelta(seconds=DAY)):
        assert shop.ids[feed.compiled(shop).for_placement("popular").hidden].tolist() == [1, 2, 3]


def test_what_is_compiled_for_a_set_goes_with_its_experiment(session: Session) -> None:
    feed, catalogue = RuleRefresher(), Catalogue.of([row(1)], parents={})
    with clock.frozen_at(NOW):
        write(session, "everybody")
        write(session, "winter", rule_set="winter")
        feed.refresh(session)
        for_everybody = feed.compiled(catalogue)
        winter = weakref.ref(feed.compiled_sets(catalogue, ["winter"])["winter"])
        found = winter()
        assert found is not None
        assert len(found.rules) == len(for_everybody.rules) + 1
        del found
        assert feed.compiled_sets(catalogue, []) == {}
        gc.collect()
        assert winter() is None
        assert feed.compiled(catalogue) is for_everybody
