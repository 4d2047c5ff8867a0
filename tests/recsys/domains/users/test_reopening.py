"""A closed account is opened again by an administrator, and by nobody else."""

from __future__ import annotations

from tests.journeys.conftest import Counter, counter
from tests.recsys.domains.users.conftest import PASSWORD

__all__ = ["counter"]


def test_a_closed_account_is_opened_again(counter: Counter) -> None:
    ada, bob = counter.desk.person("ada"), counter.desk.person("bob")
    counter.send("POST", "/users/me/deactivate", who=ada, json={"password": PASSWORD}, status=204)
    counter.desk.log_in("ada", status=401)
    counter.send("GET", f"/users/{ada.id}", who=bob, status=404)
    path = f"/admin/users/{ada.id}/reopen"
    counter.send("POST", path, status=401)
    counter.send("POST", path, who=bob, status=403)
    for _ in range(2):
        counter.send("POST", path, who=counter.admin, status=204)
    counter.send("POST", "/admin/users/999999/reopen", who=counter.admin, status=404)
    # earlier sessions stay ended; the password is the old one, and the profile is visible again
    counter.send("GET", "/users/me", who=ada, status=401)
    again = counter.desk.again(ada)
    assert counter.send("GET", f"/users/{ada.id}", who=bob)["username"] == "ada"
    kinds = [one["activity_type"] for one in counter.send("GET", "/users/me/activities", who=again)["items"]]
    assert kinds.count("reopen") == 1
    counter.settle_events()
    assert counter.stream("user_events").count("user.profile_updated") == 1
