"""Which lists an experiment does not compare, and their share by the log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.ab_tests.design import (
    ExperimentDesign,
    Variant,
    arms_of,
    interleaved_arms,
)
from recsys.domains.recommendations.ab_tests.outside import OutsideLists, lists_outside
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn

CAP = {"name": "Two of a brand", "kind": "cap", "cap_by": "brand", "most": 2}


def interleaved(**terms: Any) -> ExperimentDesign:
    arms = interleaved_arms(Variant(model="als-v1"))
    return ExperimentDesign.of(kind="interleaved", arms=arms, metric="clicked", **terms)


def add(session: Session, **changes: Any) -> None:
    rules.create(session, RuleIn.model_validate(CAP | changes), actor="ann")


def note(session: Session, shelf: str, lists: int, *, visitor: str | None = "s", first: int = 1) -> None:
    """Lists of the last hour; first : the place of their first product."""
    session.execute(
        text(
            "INSERT INTO recommendations_db.exposures (request_id, shelf, session_id, source, product_ids, "
            "scores, shown_at) SELECT CAST(:key AS text) || i, :shelf, :visitor, 'live', "
            "CAST(:products AS integer[]), '{1}', :at FROM generate_series(1, :lists) i"
        ),
        {
            "key": f"{shelf} {visitor} {first} ", "shelf": shelf, "visitor": visitor, "lists": lists,
            "products": f"[{first}:{first}]={{1}}", "at": clock.now() - timedelta(hours=1),
        },
    )  # fmt: skip


def outside(session: Session, design: ExperimentDesign) -> list[OutsideLists]:
    return lists_outside(session, design, clock.now())


def test_there_is_no_warning_where_every_list_is_compared(session: Session) -> None:
    note(session, "for_you", 10)
    assert outside(session, interleaved()) == []
    assert outside(session, ExperimentDesign.of(arms=arms_of(["a:0.5:model=m"]))) == []


def test_interleaved_lists_under_a_cap_with_their_share(session: Session) -> None:
    note(session, "for_you", 30)
    note(session, "similar", 60)
    note(session, "popular", 500)  # no placement of the experiment
    note(session, "winter page", 500)  # of an unknown placement
    add(session, shelves=["for_you"])
    (found,) = outside(session, interleaved())
    assert found.share == pytest.approx(1 / 3)
    assert "“Two of a brand”" in str(found)
    assert "33.3% of its lists" in str(found)
    # what decides is whether the experiment has lists there
    assert outside(session, interleaved(placements=["similar"])) == []
    (all_of_them,) = outside(session, interleaved(placements=["for_you"]))
    assert all_of_them.share == 1.0
    # arms are compared as whole lists
    assert outside(session, ExperimentDesign.of(arms=arms_of(["a:0.5:model=m"]))) == []


def test_rules_to_come_over_and_of_other_kinds(session: Session) -> None:
    note(session, "for_you", 10)
    now = clock.now()
    add(session, name="over", ends_at=now - timedelta(days=1), starts_at=now - timedelta(days=2))
    add(session, name="off", enabled=False)
    add(session, name="much later", starts_at=now + timedelta(days=60))
    add(session, name="up", kind="boost", factor=2.0, cap_by=None, most=None)
    assert outside(session, interleaved(days=28)) == []
    add(session, name="soon", starts_at=now + timedelta(days=3))
    (found,) = outside(session, interleaved(days=28))
    assert "that begin before the end" in found.reason
    assert "“soon”" in found.reason
    share = {"kind": "minimum_new", "share": 0.2, "new_to": "user", "cap_by": None, "most": None}
    add(session, name="a fifth", **share)
    assert [each.share for each in outside(session, interleaved(days=28))] == [1.0, 1.0]


def test_a_share_that_is_not_known_is_not_guessed(session: Session) -> None:
    add(session, placements=["winter"])
    (found,) = outside(session, interleaved())
    assert found.share is None, "nothing was logged"
    note(session, "for_you", 10)
    (found,) = outside(session, interleaved())
    assert found.share is None, "the log has no placement of lists with a name of their own"
    assert "is not known" in str(found)


def test_lists_of_nobody_later_pages_and_placements_without_a_model(session: Session) -> None:
    note(session, "for_you", 6)
    note(session, "for_you", 2, first=21)
    note(session, "popular", 2, visitor=None)
    by_model = ExperimentDesign.of(arms=arms_of(["a:0.5:model=m"]), placements=["for_you", "popular"])
    alike, nobody = outside(session, by_model)
    assert ("popular" in alike.reason, alike.share) == (True, pytest.approx(0.2))
    assert ("no arm" in nobody.reason, nobody.share) == (True, pytest.approx(0.2))
    (pages,) = outside(session, interleaved(placements=["for_you"]))
    assert ("Later pages" in pages.reason, pages.share) == (True, pytest.approx(0.25))
    by_rules = ExperimentDesign.of(arms=arms_of(["a:0.5:rules=off"]), placements=["popular"])
    assert [each.reason for each in outside(session, by_rules)] == [nobody.reason]
