"""The console of a scored shop: with everything open, and with accounts of each role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from models.registry import registry
from models.registry.measurement import (
    MeasuredGroup,
    MeasuredPeriod,
    MeasuredRate,
    MeasuredSpan,
    MeasuredTest,
    Measurement,
    write_measurement,
)
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.users import registration, roles
from recsys.domains.users.roles import Role
from recsys.settings import get_settings
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.web.pages import send_form

PASSWORD = "a-long-passphrase-7"
LogIn = Callable[[str], httpx.Client]
METRICS = {"all": {"k": 10, "ndcg": {"value": 0.1234, "low": 0.1, "high": 0.15}, "coverage": 0.5}}
GUARDRAILS = [{"name": "coverage", "value": 0.4, "limit": 0.1, "at_least": True, "ok": True}]


def content(client: httpx.Client, address: str, **query: object) -> dict[str, Any]:
    """The content of a page as JSON; the page itself renders, too. The fragment of the address is ignored."""
    url = httpx.URL(address).copy_with(fragment=None).copy_merge_params(query)
    page = client.get(url)
    assert page.status_code == 200, page.text
    answer: dict[str, Any] = client.get(url.copy_merge_params({"format": "json"})).json()
    return answer


def measured(test: MeasuredTest | None = None, *, users: int = 5600) -> None:
    """A measurement in which a tenth of the users bought."""
    now = clock.now()
    rate = MeasuredRate(value=0.1, low=0.09, high=0.11)
    group = MeasuredGroup(name="all", impressions=10_000, users=users, clicked=rate, bought=rate,
                          user_shares={"bought": rate}, revenue="10", revenue_per_1000=1)  # fmt: skip
    period = MeasuredPeriod(since=now, until=now, total=group, placements=[group])
    spans = [MeasuredSpan(days=28, current=period, before=period)]
    tests = [] if test is None else [test]
    figures = Measurement(
        measured_at=now, seconds=1, window_days=7, shown="reported", spans=spans, tests=tests
    )
    with unit_of_work() as session:
        write_measurement(session, figures)


@pytest.fixture
def staff(scored_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """An account of each role, named by it, and a customer; nobody is let in without a log-in."""
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "test")
    monkeypatch.setenv("RECSYS_USERS__ARGON2_MEMORY_KIB", "64")
    monkeypatch.setenv("RECSYS_USERS__ARGON2_TIME_COST", "1")
    get_settings.cache_clear()
    with unit_of_work() as session:
        for name in ("customer", *(role.label for role in Role)):
            user = registration.make_account(
                session,
                email=f"{name}@example.org",
                username=name,
                full_name=name.title(),
                password=PASSWORD,
                is_admin=name == "administrator",
            )
            if name not in ("customer", "administrator"):
                roles.grant(session, user.id, Role[name.upper()], by="test")
    return scored_shop


@pytest.fixture
def log_in(staff: Shop) -> Iterator[LogIn]:
    """A client of the running application that is logged in with this name."""
    clients: list[httpx.Client] = []
    with running(create_app()) as first:

        def logged_in(name: str) -> httpx.Client:
            client = httpx.Client(base_url=first.base_url, timeout=30, verify=False)
            clients.append(client)
            fields = {"login": name, "password": PASSWORD}
            answer = send_form(client, "/console/log-in", fields, page="/console/log-in")
            assert answer.status_code == 303, answer.text
            return client

        try:
            yield logged_in
        finally:
            for client in clients:
                client.close()


@pytest.fixture
def second(client: httpx.Client) -> httpx.Client:
    """The scored shop of knn-v1 with knn-v2 registered beside it, judged and with a report."""
    model = shopping.fit()
    checksum = model.save(registry.artifact_folder("knn-v2"))
    report = get_settings().var / "reports" / "run-1" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<h1>How it went</h1>")
    parameters = {
        "metrics": METRICS,
        "gate": {"action": "hold", "reason": "not better", "guardrails": GUARDRAILS},
        "report": "reports/run-1/report.html",
        "hyperparameters": {"neighbours": 50},
        "run": "run-1",
    }
    with unit_of_work() as session:
        registry.register(
            session,
            registry.Registration("knn-v2", 2, model.kind.value, model.algorithm, checksum,
                                  model.dataset_fingerprint_, parameters, 0.1, 0.1, 0.1, 450),
        )  # fmt: skip
    return client
