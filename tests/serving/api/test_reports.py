"""Reports over HTTP: the page or its twin, and never a file from anywhere else."""

from __future__ import annotations

import httpx
import pytest

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.users import sessions
from recsys.domains.users.tables import User
from recsys.settings import get_settings
from tests.support.shop import Shop

URL = "/api/v1/models/{}/report"


@pytest.fixture
def client(client: httpx.Client) -> httpx.Client:
    """The same client, logged in as an administrator."""
    client.headers["Authorization"] = f"Bearer {_token(is_admin=True)}"
    return client


def _token(*, is_admin: bool) -> str:
    with unit_of_work() as session:
        user = session.get(User, 1)
        assert user is not None
        user.is_admin = is_admin
        return sessions.start(session, user, sessions.Device())[0]


def _name(html: str, twin: str = "reports/r/report.json") -> None:
    with unit_of_work() as session:
        registry.annotate(session, "knn-v1", {"report": html, "report_json": twin})


def test_page_and_twin(client: httpx.Client, scored_shop: Shop) -> None:
    folder = scored_shop.var / "reports" / "r"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<p>page</p>")
    (folder / "report.json").write_text('{"format": 2}')
    _name("reports/r/report.html")
    page = client.get(URL.format("knn-v1"))
    assert (page.status_code, page.text) == (200, "<p>page</p>")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    twin = {"format": 2}
    assert client.get(URL.format("knn-v1"), params={"format": "json"}).json() == twin
    assert client.get(URL.format("knn-v1"), headers={"Accept": "application/json"}).json() == twin
    assert client.get(URL.format("knn-v1"), headers={"Accept": "text/html,*/*;q=0.8"}).text == page.text


@pytest.mark.parametrize(
    "kept", ["../secret.html", "/etc/passwd", "reports/../secret.html", "reports/link.html"]
)
def test_nothing_outside_the_reports_is_sent(client: httpx.Client, scored_shop: Shop, kept: str) -> None:
    (scored_shop.var / "reports").mkdir(exist_ok=True)
    (scored_shop.var / "secret.html").write_text("secret")
    (scored_shop.var / "reports" / "link.html").symlink_to(scored_shop.var / "secret.html")
    _name(kept)
    answer = client.get(URL.format("knn-v1"))
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_what_is_not_there_is_a_problem(client: httpx.Client) -> None:
    assert client.get(URL.format("nobody-v1")).status_code == 404
    assert client.get(URL.format("knn-v1")).status_code == 404
    _name("reports/gone/report.html")
    assert "recsys train report knn-v1" in client.get(URL.format("knn-v1")).json()["detail"]
    assert client.get(URL.format("knn-v1"), params={"format": "xml"}).status_code == 422


def test_users_of_the_shop_see_no_report(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "test")
    get_settings.cache_clear()
    url = URL.format("knn-v1")
    plain = {"Authorization": f"Bearer {_token(is_admin=False)}"}
    for format in ("html", "json"):
        answer = client.get(url, params={"format": format}, headers=plain)
        assert answer.status_code == 403
        assert "administrators" in answer.json()["detail"]
    assert client.get(url, headers={"Authorization": "Bearer " + "x" * 43}).status_code == 401
    del client.headers["Authorization"]
    assert client.get(url).status_code == 401
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "development")
    get_settings.cache_clear()
    assert client.get(url).status_code == 404  # open, and knn-v1 was registered without a report
