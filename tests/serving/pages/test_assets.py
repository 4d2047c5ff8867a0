"""Styles, scripts and charts of the pages: their addresses, what they load, and how they are drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from recsys.web.errors import install_error_handlers
from serving.console.list_screens.displayed_lists import ScorePart
from serving.pages import charts
from serving.pages.assets import asset, router, static_files, version

NUMBERS = st.floats(-1e6, 1e6)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(router)
    with TestClient(app, follow_redirects=False) as found:
        yield found


@pytest.mark.parametrize("name", sorted(static_files()))
def test_each_file_is_kept_for_good_under_its_version(client: httpx.Client, name: str) -> None:
    plain = client.get(asset(name), headers={"Accept-Encoding": "identity"})
    packed = client.get(asset(name), headers={"Accept-Encoding": "gzip"})
    assert plain.content == packed.content == static_files()[name].content
    assert packed.headers["content-encoding"] == "gzip"
    assert "immutable" in plain.headers["cache-control"]
    old = client.get(f"/assets/0123456789abcdef/{name}")
    assert (old.status_code, old.headers["location"]) == (307, asset(name))


@pytest.mark.parametrize("name", ["pages/none.css", "%2e%2e/app.py", "pages/%2e%2e/%2e%2e/cli.py", "pages"])
def test_no_other_file_is_there(client: httpx.Client, name: str) -> None:
    assert client.get(f"/assets/{version()}/{name}").status_code == 404


def test_no_file_names_another_host() -> None:
    for name, file in static_files().items():
        text = file.content.decode().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|url\((?!data:)", text), name


def test_a_first_page_is_small() -> None:
    assert (
        sum(len(file.packed) for name, file in static_files().items() if name.startswith("pages/")) < 40_000
    )


@given(
    values=st.lists(NUMBERS, max_size=12),
    label=st.text(alphabet=st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=20),
)
def test_every_chart_is_sound_svg_without_inline_style(values: list[float], label: str) -> None:
    drawn = [charts.bar(value, 10, label) for value in values] + [
        charts.interval(0.1, -0.2, 0.4, (-1, 1), label),
        charts.sparkline(values, label),
        charts.stacked([ScorePart(label=label, value=value) for value in values], label),
    ]
    for picture in filter(None, map(str, drawn)):
        root = ElementTree.fromstring(picture)
        assert (root.tag, root.get("role"), root.get("aria-label")) == ("svg", "img", label)
        assert not [element for element in root.iter() if "style" in element.attrib or element.tag == "style"]


def test_parts_of_a_score_fill_their_share_of_the_bar() -> None:
    root = ElementTree.fromstring(
        charts.stacked([ScorePart(label="a", value=1), ScorePart(label="b", value=3)], "score")
    )
    assert [rect.get("width") for rect in root.iter("rect")] == ["200", "50", "150"]
