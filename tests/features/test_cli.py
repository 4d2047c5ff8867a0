"""`recsys features` as real processes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from features.cli import app
from recsys.errors import RecsysError
from tests.support.database_rows import DAY, NOON, Event, Rows
from tests.support.shop import Shop


def test_build_and_show(shop: Shop) -> None:
    rows = Rows(shop.database_url)
    rows.users(1, 2)
    rows.product(10, created_at=NOON - DAY)
    rows.events(
        Event(1, 10, "view", NOON - DAY), Event(2, 10, "odd", NOON), Event(None, 10, "view", NOON + 9 * DAY)
    )
    done = shop.run("features", "build", "--until", "2017-06-02", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    figures = {
        name: summary[name] for name in ("users", "items", "events", "pairs", "density", "guest_events")
    }
    assert figures == {"users": 2, "items": 1, "events": 2, "pairs": 1, "density": 0.5, "guest_events": 0}
    assert summary["period"] == ["2017-05-31T12:00:00+00:00", "2017-06-01T12:00:00+00:00"]
    assert summary["moment"] == summary["until"] == "2017-06-02T00:00:00+00:00"
    assert summary["unknown_types"] == 1
    assert summary["peak_rss_mib"] > 10
    assert summary["rows_per_second"] > 0

    shown = shop.run("features", "show", "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["fingerprint"] == summary["fingerprint"]
    for_people = shop.run("features", "show")
    assert "50.0000%" in for_people.stdout
    assert summary["fingerprint"] in for_people.stdout


def test_the_summary_says_what_was_new_and_what_was_cut(
    shop: Shop,
) -> None:
    rows = Rows(shop.database_url)
    rows.users(1)
    rows.events(*(Event(1, 10, "view", NOON) for _ in range(55)))

    def built(*options: str) -> tuple[int | None, str | None, dict[str, int]]:
        done = CliRunner().invoke(app, ["build", "--json", *options])
        assert done.exit_code == 0, done.output
        summary = json.loads(done.stdout)
        return summary["new_events"], summary["full_because"], summary["cut"]

    new, reason, cut = built()
    assert (new, cut) == (None, {"repeated": 5, "daily": 0})
    assert str(reason).startswith("no dataset was built yet")
    rows.events(Event(1, 11, "view", NOON))
    assert built() == (1, None, cut)
    assert built("--incremental") == (0, None, cut)
    assert built("--full") == (None, "it was asked for", cut)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "--until", "yesterday"], "--until 'yesterday' is not a date; expected an ISO date"),
        (["build", "--until", "0001-01-01T00:00+05:00"], "outside the years 1 to 9999"),
        (["build"], "no interactions to learn from"),
        (["show"], "no dataset was built yet"),
    ],
)
def test_bad_input_is_refused(shop: Shop, arguments: list[str], message: str) -> None:
    found = CliRunner().invoke(app, arguments)
    assert isinstance(found.exception, RecsysError)
    assert found.exception.exit_code == 2
    assert message in found.exception.message


def test_bad_input_is_one_line_and_exit_code_2(shop: Shop) -> None:
    done = shop.run("features", "build", "--until", "yesterday")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["build", "preferences", "show"])
def test_help_has_an_example(command: str) -> None:
    assert f"recsys features {command} --" in CliRunner().invoke(app, [command, "--help"]).stdout
