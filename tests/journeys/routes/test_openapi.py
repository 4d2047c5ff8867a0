"""The whole OpenAPI put to the question by Schemathesis: no 5xx, and nothing that is not documented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from recsys.api import create_api
from recsys.database.session import unit_of_work
from recsys.domains.users import sessions
from tests.journeys.access.victims import victim_of
from tests.journeys.conftest import Counter

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ORDER = ("get", "post", "put", "patch", "delete")
SAME = {"parent_id": "category_id", "shipping_address_id": "address_id", "payment_method_id": "method_id"}
"""Fields of a body by the name that the same thing has in a path."""
GOOD = {"token": "tok_visa", "src": "/lamp.png", "email": "somebody@example.org", "logo_url": "/logo.png"}
"""Values of a body that chance does not find."""

VERDICTS = ("/api/v1/interactions", "/api/v1/recommendations/feedback", "/api/v1/analytics/collect")
"""Batches whose items each get a verdict: a refused item is no error of the request."""

Request = Case[Any]
Operation = APIOperation[Any, Any, Any, Any]
Send = Callable[[Request], requests.Response]


@pytest.mark.parametrize(("mode", "examples"), [("positive", 12), ("negative", 8)])
def test_an_administrator_gets_what_is_documented(counter: Counter, mode: str, examples: int) -> None:
    ids = victim_of(counter, counter.admin).ids
    with requests.Session() as session:
        token = counter.admin.token

        def send(case: Request) -> requests.Response:
            nonlocal token
            answer = _sent(session, counter, case, {"Authorization": f"Bearer {token}"})
            # one of the calls ends the session, or all: the next one needs another
            if answer.status_code == 401:
                token = _new_token(counter)
                answer = _sent(session, counter, case, {"Authorization": f"Bearer {token}"})
                assert answer.status_code != 401 or "password" in str(case.body), case.operation.label
            return answer

        assert _walk(send, GenerationMode(mode), examples, ids) == ""


def test_nobody_gets_what_is_documented(counter: Counter) -> None:
    ids = victim_of(counter).ids
    with requests.Session() as session:

        def send(case: Request) -> requests.Response:
            return _sent(session, counter, case, {})

        assert _walk(send, GenerationMode.POSITIVE, 3, ids) == ""


def _new_token(counter: Counter) -> str:
    # past the log-in route, which is throttled after so many wrong passwords
    with unit_of_work() as session:
        token, _ = sessions.start(session, sessions.lock_user(session, counter.admin.id), sessions.Device())
    return token


def _sent(
    session: requests.Session, counter: Counter, case: Request, headers: dict[str, str]
) -> requests.Response:
    session.cookies.clear()
    base = str(counter.desk.client.base_url)
    sent: requests.Response = session.request(
        **{**case.as_transport_kwargs(base_url=base, headers=headers), "timeout": 30}
    )
    return sent


def _walk(send: Send, mode: GenerationMode, examples: int, ids: dict[str, str]) -> str:
    """What is wrong, operation by operation; nothing, when all is well."""
    schema = schemathesis.openapi.from_dict(create_api().openapi())
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 90
    # what changes or deletes comes late, the parts before the whole: so there is something to ask for
    operations.sort(key=lambda one: (ORDER.index(one.method), -one.path.count("/"), one.path))
    wrong: list[str] = []
    senseless = []
    for operation in operations:
        try:
            _ask(operation, send, mode, examples, ids)
        except Unsatisfiable:
            # such as a list without parameters: nothing that it takes could be wrong
            senseless.append(operation.label)
        except FailureGroup as found:  # every operation runs before the verdict
            wrong += [f"{operation.label}: {one}" for one in found.exceptions]
    assert len(senseless) <= (len(operations) // 4 if mode is GenerationMode.NEGATIVE else 0), senseless
    return "\n\n".join(wrong)


def _ask(operation: Operation, send: Send, mode: GenerationMode, examples: int, ids: dict[str, str]) -> None:
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def ask(case: Request, known: bool) -> None:
        if known and mode is GenerationMode.POSITIVE:
            _aim(case, ids)
        answer = send(case)
        strict = mode is GenerationMode.NEGATIVE and operation.path not in VERDICTS
        case.validate_response(answer, checks=[*CHECKS, negative_data_rejection] if strict else CHECKS)

    ask()


def _aim(case: Request, ids: dict[str, str]) -> None:
    """Let a case mean things that are there."""
    for name in case.path_parameters:
        case.path_parameters[name] = ids.get(name, case.path_parameters[name])
    if not isinstance(case.body, dict):
        return
    if {"token", "payment_method_id"} <= set(case.body):
        del case.body["payment_method_id"]
    for name in case.body:
        found = ids.get(SAME.get(name, name))
        if name in GOOD:
            case.body[name] = GOOD[name]
        elif found is not None and name.endswith("_id"):
            case.body[name] = int(found)
