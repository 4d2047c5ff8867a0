"""Every screen: an address, its content as JSON, the headers, a size, and a page for what does not exist."""

from __future__ import annotations

import httpx
import pytest

from serving.console.navigation import SCREENS
from serving.pages.security_headers import CONTENT_SECURITY_POLICY

PATHS = [screen.path for screen in SCREENS]


@pytest.mark.parametrize("shop_kind", ["client", "bare_client"])
def test_every_screen_answers_as_a_page_and_as_json(request: pytest.FixtureRequest, shop_kind: str) -> None:
    client: httpx.Client = request.getfixturevalue(shop_kind)
    for path in PATHS:
        page = client.get(path)
        assert page.status_code == 200, (path, page.text)
        assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-frame-options"] == "DENY"
        assert f'href="{path}" aria-current="page"' in page.text
        assert len(page.content) < 100_000
        content = client.get(path, params={"format": "json"})
        assert content.headers["content-type"] == "application/json"
        assert isinstance(content.json(), dict), path
        assert client.get(path, params={"format": "xml"}).status_code == 422


def test_an_address_without_a_screen_is_a_page_that_says_so(client: httpx.Client) -> None:
    answer = client.get("/console/nothing/here")
    assert answer.status_code == 404
    assert "The console has no page at this address." in answer.text
    assert client.get("/console/nothing", params={"format": "json"}).json()["status"] == 404


def test_the_overview_names_what_serves(client: httpx.Client) -> None:
    content = client.get("/console", params={"format": "json"}).json()
    assert content["model"]["name"] == "knn-v1"
    assert content["generation"]["model"] == "knn-v1"
    assert content["displayable_products"] == content["products"] == 120


def test_the_overview_of_a_shop_without_a_model_says_what_to_do(bare_client: httpx.Client) -> None:
    text = bare_client.get("/console").text
    assert "recsys train run --all" in text
    assert "recsys serve score" in text
