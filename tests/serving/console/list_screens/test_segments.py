"""The screen of segments: what it displays, exports and refuses."""

from __future__ import annotations

import csv

import httpx

from recsys.database.session import unit_of_work
from serving.segments.members import SegmentKind, as_csv
from serving.segments.service import SegmentRequest, make
from tests.serving.console.conftest import LogIn, content

ADDRESS = "/console/segments"


def test_the_screen_displays_the_segment_and_exports_it(client: httpx.Client) -> None:
    assert content(client, ADDRESS)["kind"] is None
    shown = content(client, ADDRESS, kind="buyers", category="4", products="95 96")
    with unit_of_work() as session:
        wanted = SegmentRequest(SegmentKind.BUYERS, product_ids=(95, 96), category_id=4, limit=50)
        expected = make(session, wanted)
    assert shown["model"] == expected.model == "knn-v1"
    assert [(row["user_id"], row["product_id"], row["chance"]) for row in shown["rows"]] == [
        (member.user_id, member.product_id, member.chance) for member in expected.members
    ]
    assert shown["rows"][0]["username"] == f"u{shown['rows'][0]['user_id']}"
    export = client.get(f"{ADDRESS}/export", params={"kind": "buyers", "category": "4", "products": "95,96"})
    assert export.headers["content-disposition"] == 'attachment; filename="buyers.csv"'
    assert export.content.decode() == as_csv(expected.members)
    assert len(list(csv.DictReader(export.text.splitlines()))) == len(expected.members)
    for kind in SegmentKind:
        assert (
            content(client, ADDRESS, kind=kind.value, category="2", users="1", days="366")["problem"] is None
        )


def test_what_is_missing_or_wrong_is_named_on_the_page(client: httpx.Client) -> None:
    for query, problem in (
        ({"kind": "buyers"}, "name a product"),
        ({"kind": "buyers", "products": "many"}, "expected numbers"),
        ({"kind": "buyers", "category": "2 4"}, "one category"),
        ({"kind": "buyers", "category": "77"}, "no category 77"),
        ({"kind": "look-alikes"}, "name one user"),
    ):
        assert problem in content(client, ADDRESS, **query)["problem"]
    assert client.get(f"{ADDRESS}/export", params={"kind": "buyers"}).status_code == 422
    assert client.get(ADDRESS, params={"kind": "everybody"}).status_code == 422


def test_viewers_do_not_see_it(log_in: LogIn) -> None:
    viewer = log_in("viewer")
    assert viewer.get(ADDRESS).status_code == 403
    assert viewer.get(f"{ADDRESS}/export", params={"kind": "next-category"}).status_code == 403
    assert log_in("operator").get(ADDRESS).status_code == 200
