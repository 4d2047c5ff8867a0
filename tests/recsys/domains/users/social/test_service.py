"""Following and blocking: both sides equal, no update lost however many happen at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.recsys.domains.users.conftest import Desk, Person

ARRAYS = "SELECT user_id, followers, following, blocked FROM users_db.user_social"


def _symmetrical(desk: Desk) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    rows = desk.rows(ARRAYS)
    assert len({row[0] for row in rows}) == len(rows)
    followers = {row[0]: set(row[1]) for row in rows}
    following = {row[0]: set(row[2]) for row in rows}
    for row in rows:
        assert all(len(set(array)) == len(array) for array in row[1:])
        assert all(row[0] in following[one] for one in followers[row[0]])
        assert all(row[0] in followers[one] for one in following[row[0]])
    return followers, following


def _people(desk: Desk, number: int) -> list[Person]:
    return [desk.person(f"user{one}") for one in range(number)]


def test_following_and_blocking_keep_both_sides_equal(desk: Desk) -> None:
    ada, bob = _people(desk, 2)
    for _ in range(2):
        desk.call(ada, "PUT", f"/users/me/following/{bob.id}", status=204)
    desk.call(bob, "PUT", f"/users/me/following/{ada.id}", status=204)
    shown = desk.call(ada, "GET", f"/users/{bob.id}").json()
    assert (shown["followers"], shown["following"], shown["is_online"]) == (1, 1, True)
    assert [one["id"] for one in desk.call(bob, "GET", "/users/me/followers").json()["items"]] == [ada.id]
    desk.call(bob, "PUT", f"/users/me/blocked/{ada.id}", status=204)
    _symmetrical(desk)
    assert desk.call(ada, "GET", "/users/me/following").json()["items"] == []
    assert desk.call(ada, "GET", "/users/me/followers").json()["items"] == []
    for one, other in ((ada, bob), (bob, ada)):
        desk.call(one, "PUT", f"/users/me/following/{other.id}", status=409)
    # only who blocked can take it back
    desk.call(ada, "DELETE", f"/users/me/blocked/{bob.id}", status=204)
    desk.call(ada, "PUT", f"/users/me/following/{bob.id}", status=409)
    desk.call(bob, "DELETE", f"/users/me/blocked/{ada.id}", status=204)
    desk.call(ada, "PUT", f"/users/me/following/{bob.id}", status=204)
    for _ in range(2):
        desk.call(ada, "DELETE", f"/users/me/following/{bob.id}", status=204)
    assert _symmetrical(desk) == ({ada.id: set(), bob.id: set()}, {ada.id: set(), bob.id: set()})


def test_nobody_follows_themselves_or_nobody(desk: Desk) -> None:
    ada = desk.person("ada")
    desk.call(ada, "PUT", f"/users/me/following/{ada.id}", status=422)
    desk.call(ada, "PUT", "/users/me/following/999", status=404)
    desk.call(None, "PUT", f"/users/me/following/{ada.id}", status=401)


def test_no_update_is_lost_when_all_follow_all_at_once(desk: Desk) -> None:
    people = _people(desk, 6)
    pairs = [(one, other) for one in people for other in people if one is not other]
    with ThreadPoolExecutor(10) as pool:
        done = [
            pool.submit(desk.call, one, "PUT", f"/users/me/following/{other.id}", status=204)
            for one, other in pairs
        ]
        for each in done:
            each.result()
    ids = {one.id for one in people}
    followers, following = _symmetrical(desk)
    assert followers == following == {one: ids - {one} for one in ids}


def test_following_and_blocking_at_once_end_in_agreement(desk: Desk) -> None:
    people = _people(desk, 4)
    pairs = [(one, other) for one in people for other in people if one is not other]

    def follow(one: Person, other: Person) -> int:
        path = f"/api/v1/users/me/following/{other.id}"
        return desk.client.put(path, headers=one.headers).status_code

    with ThreadPoolExecutor(10) as pool:
        followed = [pool.submit(follow, *pair) for pair in pairs]
        blocked = [
            pool.submit(desk.call, people[0], "PUT", f"/users/me/blocked/{other.id}", status=204)
            for other in people[1:]
        ]
        assert {one.result() for one in followed} <= {204, 409}
        for each in blocked:
            each.result()
    followers, following = _symmetrical(desk)
    assert followers[people[0].id] == following[people[0].id] == set()


def test_lists_come_in_pages(desk: Desk) -> None:
    people = _people(desk, 5)
    for one in people[1:]:
        desk.call(one, "PUT", f"/users/me/following/{people[0].id}", status=204)
    seen: list[int] = []
    cursor = ""
    while True:
        page = desk.call(people[0], "GET", f"/users/me/followers?limit=3{cursor}").json()
        seen += [one["id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [one.id for one in people[1:]]
    desk.call(people[0], "GET", "/users/me/followers?cursor=zzz", status=422)
    desk.call(people[0], "GET", "/users/me/followers?limit=101", status=422)
