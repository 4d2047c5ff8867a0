"""The script of web pages: small, at an address of its content, readable by every page."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from recsys.api import create_api
from recsys.web.browser.script import script, snippet
from tests.support.shop import run_recsys

KEY = "pk_abcd1234_" + "A" * 43
MOST_BYTES = 10_000
"""Compressed, as browsers get it."""


@pytest.fixture
def client() -> TestClient:
    """The API; the script needs neither PostgreSQL nor Redis."""
    return TestClient(create_api(), follow_redirects=False)


def _fetch(client: TestClient, path: str, **headers: str) -> httpx.Response:
    return client.get(path, headers={"Origin": "https://shop.example", **headers})


def test_the_script_is_small_and_imports_nothing(client: TestClient) -> None:
    answer = _fetch(client, script().path)
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == script().gzip_bytes < MOST_BYTES
    text = answer.text
    assert len(text.encode()) == script().bytes
    assert not re.search(r"(?m)^\s*import\b|\bimport\(|\beval\(|innerHTML|document\.write|console\.", text)


def test_the_address_and_the_integrity_hash_name_the_content(client: TestClient) -> None:
    described = client.get("/api/v1/browser-script").json()
    assert described == script().model_dump()
    plain = _fetch(client, described["path"], **{"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert hashlib.sha256(plain.content).hexdigest().startswith(described["path"].split(".")[1])
    digest = base64.b64encode(hashlib.sha384(plain.content).digest()).decode()
    assert described["integrity"] == f"sha384-{digest}"
    assert len(gzip.compress(plain.content, 9, mtime=0)) == described["gzip_bytes"]
    assert "immutable" in plain.headers["cache-control"]
    assert plain.headers["content-type"].startswith("text/javascript")
    assert plain.headers["access-control-allow-origin"] == "*"


def test_the_stable_address_and_those_of_other_versions_lead_there(client: TestClient) -> None:
    for path in ("/recsys.js", "/recsys.0123456789abcdef.js"):
        answer = _fetch(client, path)
        assert answer.status_code == 307
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "immutable" not in answer.headers["cache-control"]
        assert answer.headers["location"] == script().path.removeprefix("/")
        # relative, so that a path of a proxy in front stays
        assert client.get(path, follow_redirects=True).status_code == 200
    assert _fetch(client, "/recsys.x.js").status_code == 422


@pytest.mark.parametrize("query", ["ver=6.5", "v=3&ver=1", "_=1764500000", "nonsense"])
def test_what_shops_add_to_addresses_of_scripts_changes_nothing(client: TestClient, query: str) -> None:
    for path in (script().stable_path, script().path):
        plain, marked = _fetch(client, path), _fetch(client, f"{path}?{query}")
        assert (marked.status_code, marked.content) == (plain.status_code, plain.content)
        assert marked.headers["cache-control"] == plain.headers["cache-control"]
        assert marked.headers.get("location") == plain.headers.get("location")


def test_the_line_of_html_loads_it() -> None:
    attributes: dict[str, str | None] = {}

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag == "script"
            attributes.update(attrs)

    Reader().feed(snippet("https://recsys.shop.example/", KEY, pinned=True))
    assert attributes == {
        "type": "module",
        "src": f"https://recsys.shop.example{script().path}",
        "integrity": script().integrity,
        "crossorigin": None,
        "data-key": KEY,
    }
    Reader().feed(snippet("https://recsys.shop.example/", KEY))
    assert attributes["src"] == "https://recsys.shop.example/recsys.js"


def test_a_command_prints_the_line(tmp_path: Path) -> None:
    folder = tmp_path
    arguments = ("keys", "snippet", KEY, "--api", "https://recsys.shop.example")
    printed = run_recsys(*arguments, folder=folder)
    assert printed.stdout.strip() == snippet("https://recsys.shop.example", KEY), printed.stderr
    described = json.loads(run_recsys(*arguments, "--pinned", "--json", folder=folder).stdout)
    assert described["integrity"] in described["html"]
    secret = run_recsys("keys", "snippet", KEY.replace("pk_", "rk_"), *arguments[3:], folder=folder)
    assert secret.returncode == 2
    assert "publishable key" in secret.stderr
