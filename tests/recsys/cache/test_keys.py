"""Every key and stream of the documented schema has its function, of the documented spelling and type."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from recsys.cache import keys
from tests.recsys.cache.own_keys import OWN

DOCUMENTED = Path(__file__).resolve().parents[3] / "docs" / "spec" / "redis_keys.txt"
LINE = re.compile(r"^(?P<key>\S+) -> (?P<type>Hash|String|Set|Sorted Set|List|Stream) \(")
SAMPLE = {"query_hash": "q"}


def _functions() -> dict[str, Callable[..., str]]:
    return dict(inspect.getmembers(keys, inspect.isfunction))


def _pattern(function: Callable[..., str]) -> str:
    """What the function makes, with `{}` for each argument or the hash of one."""
    made = function(*(f"<{name}>" for name in inspect.signature(function).parameters))
    return re.sub(r"<\w+>|[0-9a-f]{64}", "{}", made)


def _documented() -> list[tuple[str, str]]:
    lines = [line for line in DOCUMENTED.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    found = [LINE.match(line) for line in lines]
    assert all(found), "a line of the copy is not understood"
    return [(match["key"], match["type"]) for match in found if match]


def test_the_copy_holds_the_whole_list() -> None:
    assert len(_documented()) == 25


@pytest.mark.parametrize(("key", "kind"), _documented())
def test_each_documented_key_is_covered(key: str, kind: str) -> None:
    wanted = re.sub(r"\{\w+\}", "{}", key)
    makers = [each for each in _functions().values() if _pattern(each) == wanted]
    assert len(makers) == 1, f"no single function makes {key}"
    assert (makers[0].__doc__ or "").startswith(f"{kind}:")


def test_nothing_else_is_made_but_our_own_keys() -> None:
    documented = {re.sub(r"\{\w+\}", "{}", key) for key, _ in _documented()}
    others = {name for name, each in _functions().items() if _pattern(each) not in documented}
    assert others == OWN


def test_no_two_functions_make_the_same_key() -> None:
    patterns = [_pattern(each) for each in _functions().values()]
    assert len(patterns) == len(set(patterns))


def test_a_query_of_any_length_makes_a_short_key() -> None:
    assert len(keys.search_results("x" * 100_000)) == len("search:") + 64
    assert keys.search_results("a") != keys.search_results("b")
