"""The tools over stdio and HTTP, by the client of the package mcp, against the real API."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.settings import get_settings

RULE = {"name": "No lamps", "kind": "hide", "target": {"product_ids": [61]}}
Use = Callable[[Client], Awaitable[None]]


def command(address: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "recsys", "serve", "mcp", "--api", address, *more]


def over_stdio(address: str, use: Use, key: str | None = None, *more: str) -> None:
    """Start the server as an agent does, and call it."""
    executable, *arguments = command(address, *more)
    environment = {**os.environ, **({} if key is None else {"RECSYS_API_KEY": key})}
    parameters = StdioServerParameters(command=executable, args=arguments, env=environment)

    async def run() -> None:
        async with Client(parameters) as client:
            await use(client)

    asyncio.run(run())


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return " ".join(block.text for block in result.content)


@pytest.fixture
def address(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")


@pytest.fixture
def keys(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A key for each scope of a shop that is not in development."""
    with unit_of_work() as session:
        made = {
            scope: api_keys.create(session, scope, [scope], by="tests").key
            for scope in ("recommend", "admin")
        }
    monkeypatch.setenv("RECSYS_ENVIRONMENT", "production")
    get_settings.cache_clear()
    return made


def test_the_tools_answer_what_the_api_answers(address: str, client: httpx.Client) -> None:
    async def use(agent: Client) -> None:
        listed = (await agent.list_tools()).tools
        assert {tool.name for tool in listed} == {
            "search_products", "recommend", "similar_products", "bought_together",
            "explain_recommendation", "preview_rule",
        }  # fmt: skip
        assert all(tool.description and tool.annotations.read_only_hint for tool in listed)
        assert not any("context" in tool.input_schema["properties"] for tool in listed)
        body = client.get("/api/v1/users/3/recommendations?limit=4").json()
        answer = await call(agent, "recommend", user=3, limit=4)
        ids = [item["product_id"] for item in body["items"]]
        assert [item["product_id"] for item in answer["items"]] == ids
        assert answer["items"][0]["reason"] == body["items"][0]["reason"]["text"]
        fresh = await call(agent, "recommend", user=3, limit=4, new_to_user=True, max_price=50)
        assert all(item["price"] <= 50 for item in fresh["items"])
        assert (await call(agent, "recommend"))["source"] == "popular"
        for tool, path in (("similar_products", "similar"), ("bought_together", "bought-together")):
            expected = client.get(f"/api/v1/products/7/{path}?limit=3").json()["items"]
            items = (await call(agent, tool, product=7, limit=3))["items"]
            assert [item["product_id"] for item in items] == [item["product_id"] for item in expected]
        assert (await call(agent, "search_products", query="coffee"))["search_id"]
        explained = await call(agent, "explain_recommendation", user=3, product=ids[1])
        assert (explained["recommended"], explained["position"]) == (True, 2)
        assert explained["reason"]["text"]
        assert "explanation" in explained
        named = await call(agent, "explain_recommendation", user="u3", product=f"sku{ids[1]}")
        assert named == explained
        assert (await call(agent, "similar_products", product="sku7"))["items"]
        assert not (await call(agent, "explain_recommendation", user=3, product=424242))["recommended"]

    over_stdio(address, use)


def test_wrong_input_is_an_error_that_says_what_is_expected(address: str) -> None:
    async def use(agent: Client) -> None:
        assert "less than or equal to 50" in await refusal(agent, "recommend", user=3, limit=1000)
        assert "404" in await refusal(agent, "similar_products", product=424242)
        assert "empty" in await refusal(agent, "similar_products", product="")
        assert "query" in await refusal(agent, "search_products", query="")
        assert "401" in await refusal(agent, "preview_rule", rule=RULE)
        assert "product" in await refusal(agent, "bought_together")

    over_stdio(address, use)


def test_a_key_opens_its_scopes_and_no_more(address: str, keys: dict[str, str], tmp_path: Path) -> None:
    async def nobody(agent: Client) -> None:
        assert "401" in await refusal(agent, "recommend", user=3)
        assert (await call(agent, "similar_products", product=7))["items"]

    async def recommends(agent: Client) -> None:
        assert (await call(agent, "recommend", user=3))["items"]
        assert "403" in await refusal(agent, "preview_rule", rule=RULE)

    async def administers(agent: Client) -> None:
        preview = await call(agent, "preview_rule", rule=RULE, user=3, limit=3)
        named = await call(agent, "preview_rule", rule=RULE, user="u3", limit=3)
        assert named["before"] == preview["before"]
        assert len(preview["before"]) == 3
        assert "403" in await refusal(agent, "recommend", user=3)
        assert "422" in await refusal(agent, "preview_rule", rule={**RULE, "kind": "burn"})

    over_stdio(address, nobody)
    over_stdio(address, recommends, keys["recommend"])
    (tmp_path / "key").write_text(keys["admin"] + "\n")
    over_stdio(address, administers, keys["recommend"], "--key-file", str(tmp_path / "key"))


@contextmanager
def http_server(address: str, host: str = "127.0.0.1") -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "RECSYS_API_KEY"}
    process = subprocess.Popen(
        command(address, "--http", "--host", host, "--port", str(port)),
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            assert process.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_over_http_each_request_has_its_own_key(address: str, keys: dict[str, str], host: str) -> None:
    async def ask(url: str, headers: dict[str, str]) -> str:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(streamable_http_client(url, http_client=http)) as agent,
        ):
            result = await agent.call_tool("recommend", {"user": 3})
            return " ".join(block.text for block in result.content) if result.is_error else "a list"

    with http_server(address, host) as url:
        assert asyncio.run(ask(url, {"X-Api-Key": keys["recommend"]})) == "a list"
        assert asyncio.run(ask(url, {"Authorization": f"Bearer {keys['recommend']}"})) == "a list"
        assert "403" in asyncio.run(ask(url, {"X-Api-Key": keys["admin"]}))
        expected = "Send an API key" if host == "0.0.0.0" else "401"
        assert expected in asyncio.run(ask(url, {}))


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["--api", "shop.example"], {}, "begins with https:// or http://"),
        (["--key-file", "nowhere.key"], {}, "nowhere.key cannot be read"),
        (["--http"], {"RECSYS_API_KEY": "rk_x"}, "its own key"),
    ],
)
def test_a_start_that_cannot_work_ends_with_2(
    arguments: list[str], environment: dict[str, str], expected: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "recsys", "serve", "mcp", *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from recsys.errors import Invalid
    from serving.agents import process

    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    monkeypatch.delitem(sys.modules, "serving.agents.tools", raising=False)
    with pytest.raises(Invalid, match=r"recsys\[mcp\]"):
        process.run("http://127.0.0.1:8000", None)
