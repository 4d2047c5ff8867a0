"""Forms of pages: the token, what a body may be, the notice after a redirect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import Invalid
from recsys.settings import get_settings
from serving.console.rendering import screen_router
from serving.pages import forms
from serving.pages.forms import SubmittedForm, local_path, redirect
from tests.support.web.pages import form_token, send_form


@pytest.fixture
def client(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """One page with a form, and where it leads."""
    from fastapi.testclient import TestClient

    monkeypatch.setenv("RECSYS_VAR", str(tmp_path))
    get_settings.cache_clear()
    router = screen_router("try")

    @router.get("")
    def page(request: Request) -> Response:
        from serving.console.rendering import TEMPLATES
        from serving.console.screens.session import LogInPage

        return TEMPLATES.page(request, "console/log_in.html.j2", LogInPage(next="/console/try"))

    @router.post("")
    def send(request: Request) -> Response:
        return redirect("/console/try", f"Received {request.state.form.text('name')}.")

    app = FastAPI()
    app.include_router(router)
    with TestClient(app, base_url="https://testserver", follow_redirects=False) as found:
        yield found
    get_settings.cache_clear()


PATH = "/console/try"


def test_a_form_of_the_page_is_taken_and_its_notice_displayed_once(client: httpx.Client) -> None:
    answer = send_form(client, PATH, {"name": "tea <b>"}, page=PATH)
    assert (answer.status_code, answer.headers["location"]) == (303, PATH)
    assert "Received tea &lt;b&gt;." in client.get(PATH).text
    assert "Received" not in client.get(PATH).text


def test_a_form_without_the_token_is_refused(client: httpx.Client) -> None:
    token = form_token(client, PATH)
    assert client.post(PATH, data={"name": "x"}).status_code == 403
    other = ("B" if token[0] == "A" else "A") + token[1:]
    assert client.post(PATH, data={"name": "x", "form_token": other}).status_code == 403
    assert client.post(PATH, data={"name": "x", "form_token": "é"}).status_code == 403
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert client.post(PATH, data={"name": "x", "form_token": token}, headers=foreign).status_code == 403
    assert client.post(PATH, data={"name": "x", "form_token": token}).status_code == 303


def test_a_token_is_worth_nothing_for_another_session_or_browser(client: httpx.Client) -> None:
    token = form_token(client, PATH)
    client.cookies.set("recsys_token", "another-session")
    assert client.post(PATH, data={"form_token": token}).status_code == 403
    client.cookies.clear()
    assert client.post(PATH, data={"form_token": token}).status_code == 403


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"name": 1}', "application/json", 422),
        (b"name=%ff", "application/x-www-form-urlencoded", 422),
        (b"a=1&" * 600, "application/x-www-form-urlencoded", 422),
        (b"name=%00", "application/x-www-form-urlencoded", 422),
        (b"", "application/x-www-form-urlencoded", 403),
    ],
)
def test_another_body_is_a_page_that_says_so(
    client: httpx.Client, content: bytes, kind: str, status: int
) -> None:
    answer = client.post(PATH, content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")


def test_a_refused_form_leads_back_to_its_page(client: httpx.Client) -> None:
    for before, link in (
        (f"{client.base_url}/page?a=1&b=2", "/page?a=1&amp;b=2"),
        ("https://evil.example/page", None),
        (f"{client.base_url}//evil.example", None),
        ("", None),
    ):
        answer = client.post(PATH, data={"name": "x"}, headers={"Referer": before})
        assert answer.status_code == 403
        assert ("the page before" in answer.text) == (link is not None)
        assert "evil" not in answer.text
        assert link is None or f'href="{link}"' in answer.text


def test_the_cookie_of_forms_is_out_of_reach_of_scripts_and_other_sites(client: httpx.Client) -> None:
    cookie = client.get(PATH).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


def test_a_notice_of_another_maker_is_not_displayed(client: httpx.Client) -> None:
    client.cookies.set("recsys_notice", "WyJkb25lIiwiV2luIGEgcHJpemUiXQ==")
    assert "prize" not in client.get(PATH).text


@pytest.mark.parametrize("address", ["//evil.example", "https://evil.example", "/\\evil", "x", "/a\nb", ""])
def test_a_redirect_never_leaves_this_server(address: str) -> None:
    with pytest.raises(Invalid):
        local_path(address)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_a_path_that_is_accepted_has_no_host(text: str) -> None:
    try:
        accepted = local_path(f"/{text}")
    except Invalid:
        return
    # as a browser reads it: backslashes count as slashes, tabs and line ends are dropped (URL standard)
    read = re.sub(r"[\t\r\n]", "", accepted).replace("\\", "/")
    assert urlsplit(read).netloc == ""


def test_the_last_value_of_a_field_counts() -> None:
    form = SubmittedForm({"a": ["1", " 2 "]})
    assert (form.text("a"), form.texts("a"), form.text("b", "none")) == ("2", ["1", "2"], "none")
    assert forms.TOKEN_FIELD == "form_token"
