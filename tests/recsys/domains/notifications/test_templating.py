"""Templates: filled exactly, refused clearly, and unable to do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.notifications.defaults import DEFAULTS
from recsys.domains.notifications.templating import LONGEST, TemplateSource, check, render
from recsys.errors import Invalid


def source(
    text: str | None = "Hello {{ name }}", *, html: str | None = None, **variables: str
) -> TemplateSource:
    return TemplateSource("hello", "To {{ name }}", html, text, variables or {"name": "text"})


def test_values_are_escaped_in_html_and_plain_in_text() -> None:
    filled = render(source(html="<p>{{ name }}</p>"), {"name": "<b>Ann & Bob</b>"})
    assert filled.text == "Hello <b>Ann & Bob</b>"
    assert filled.html == "<p>&lt;b&gt;Ann &amp; Bob&lt;/b&gt;</p>"
    assert filled.subject == "To <b>Ann & Bob</b>"


def test_a_subject_is_one_line_whatever_a_value_brings_along() -> None:
    assert render(source(), {"name": "x\r\nBcc: everybody@example.org"}).subject == (
        "To x Bcc: everybody@example.org"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "needs name"),
        ({"name": "x", "age": 3}, "knows no age"),
        ({"name": 3}, "wants name to be of the kind text"),
        ({"name": True}, "wants name to be of the kind text"),
    ],
)
def test_values_that_do_not_fit_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        render(source(), values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ other }}", "uses variables that are not declared: other"),
        ("{% if %}", "body_text, line 1"),
        ("{{ name", "body_text, line 1"),
        ("{{ name|nofilter }}", "No filter named 'nofilter'"),
        (None, "needs a body_text or a body_html"),
    ],
)
def test_a_template_that_can_not_work_is_refused(text: str | None, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check(source(text))


def test_kinds_are_the_known_ones() -> None:
    with pytest.raises(Invalid, match="known kinds: text, integer"):
        check(source("{{ name }}", name="string"))


@pytest.mark.parametrize(
    "text",
    [
        "{{ name.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ name * 1000000000 }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ [0] * 1000000000 }}",
        "{% for a in range(1000000000) %}{{ a }}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxx{% endfor %}{% endfor %}",
        "{{ name.missing }}",
        "{{ 1 / 0 }}",
    ],
)
def test_nothing_escapes_the_sandbox_or_grows_without_bound(text: str) -> None:
    with pytest.raises(Invalid, match="template hello"):
        render(source(text), {"name": "x"})


@given(st.text(max_size=200))
def test_no_text_can_break_a_template(text: str) -> None:
    template = source(text)
    try:
        check(template)
    except Invalid:
        return
    try:
        filled = render(template, {"name": "x"})
    except Invalid:
        return
    assert len(filled.text) <= LONGEST


def test_every_template_that_comes_along_can_be_filled() -> None:
    samples = {"text": "x", "integer": 3, "number": "1.50", "boolean": True, "list": []}
    for name, one in DEFAULTS.items():
        check(one)
        filled = render(one, {variable: samples[kind] for variable, kind in one.variables.items()})
        assert filled.subject
        assert filled.text
        assert filled.html
        assert "{{" not in filled.subject + filled.text + filled.html, name
