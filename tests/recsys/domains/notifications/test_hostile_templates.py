"""Templates that loop, recurse or allocate without bound: refused, while others are filled as before."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection

import pytest

from recsys.domains.notifications import templating
from recsys.domains.notifications.templating import TemplateSource, check, preview, render
from recsys.errors import Invalid

ONE_FUNCTION = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
DOUBLING = "{% set n = namespace(a='x') %}{% for i in range(99) %}{% set n.a = n.a ~ n.a %}{% endfor %}"


def source(text: str) -> TemplateSource:
    return TemplateSource("hostile", "To {{ name }}", None, text, {"name": "text"})


@pytest.mark.parametrize(
    "text",
    [
        "{{ name|center(1000000000) }}",
        "{{ '%1000000000d' % 5 }}",
        "{{ '{:>1000000000}'.format(name) }}",
        "{{ name.zfill(1000000000) }}",
        "{{ '\\t'.expandtabs(1000000000) }}",
        "{{ [1]|batch(1000000000, 0)|list|length }}",
        "{{ lipsum(n=100000)|length }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for i in range(10) recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ 1" + "+1" * 50000 + " }}",
        "{{ (9 ** 9) ** 9 }}",
        "{{ name.__class__.__mro__[1].__subclasses__() }}",
        ONE_FUNCTION,
        DOUBLING,
    ],
)
def test_a_hostile_template_is_refused_and_others_are_filled(text: str) -> None:
    with pytest.raises(Invalid, match="hostile"):
        preview(source(text), {"name": "x"})
    with pytest.raises(Invalid, match="hostile"):
        render(source(text), {"name": "x"})
    assert preview(source("Hello {{ name }}"), {"name": "x"}).text == "Hello x"
    assert render(source("Hello {{ name }}"), {"name": "x"}).text == "Hello x"


def test_constants_are_not_computed_in_this_process_either() -> None:
    with pytest.raises(Invalid, match="processor time"):
        check(source("{{ ('x'|center(100000))|wordwrap(1)|wordwrap(1)|wordwrap(1)|length }}"))


def test_a_process_that_was_ended_is_replaced() -> None:
    render(source("Hello {{ name }}"), {"name": "x"})
    pid = templating._sending.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert render(source("Hello {{ name }}"), {"name": "y"}).text == "Hello y"
    assert templating._sending.pid not in (None, pid)


def test_a_process_that_is_ended_after_it_got_a_job_does_not_blame_the_template(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    render(source("Hello {{ name }}"), {"name": "x"})
    pid = templating._sending.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # it takes the job from its socket no more
    sent = templating._sending._sent

    def kill_after(job: bytes) -> Connection[object, object]:
        connection = sent(job)
        os.kill(pid, signal.SIGKILL)
        monkeypatch.undo()
        return connection

    monkeypatch.setattr(templating._sending, "_sent", kill_after)
    assert render(source("Hello {{ name }}"), {"name": "y"}).text == "Hello y"
    assert templating._sending.pid not in (None, pid)
