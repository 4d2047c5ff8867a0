"""The code uses the field's words: no banned word in a name, a docstring, a comment or a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.words import BANNED_PHRASES, BANNED_WORDS, banned_in_text, banned_words

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("recsys", "features", "models", "training", "serving", "tests")

# Folders that still hold banned words; shrinks to nothing.
NOT_YET: tuple[str, ...] = ()

LIST = "tests/architecture/words.py"
MODULES = sorted(
    {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    - {LIST}
)


def checked(module: str, folders: tuple[str, ...] = NOT_YET) -> bool:
    """Whether the module at this path is held to the rule."""
    return not any(module.startswith(f"{folder}/") for folder in folders)


def test_no_module_uses_a_banned_word() -> None:
    assert [
        line
        for module in MODULES
        if checked(module)
        for line in banned_words(module, (ROOT / module).read_text(encoding="utf-8"))
    ] == []


def test_no_page_uses_a_banned_word() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
    # the glossary names the words that it replaces, the changelog names of earlier versions
    texts = {
        page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
        for page in pages
        if page.name not in {"glossary.md", "CHANGELOG.md"}
    }
    assert len(texts) > 20
    assert {page: words for page, text in texts.items() if (words := banned_in_text(text))} == {}


@pytest.mark.parametrize("word", sorted(BANNED_WORDS))
@pytest.mark.parametrize(
    ("template", "place"),
    [
        ("{word}_rows = 1\n", "in a name"),
        ("def f(x_{word}: int) -> None: ...\n", "in a name"),
        ("class Was{title}: ...\n", "in a name"),
        ("def {word}() -> None: ...\n", "in a name"),
        ("x.{word} = 1\n", "in a name"),
        ('"""Rows that were {word} it."""\n', "in a text"),
        ('raise Invalid(f"It was {word} {{x}} times")\n', "in a text"),
        ("# it was {title}\n", "in a comment"),
    ],
)
def test_a_planted_word_is_reported(word: str, template: str, place: str) -> None:
    source = template.format(word=word, title=word.title())
    assert list(banned_words("recsys/a.py", source)) == [f"recsys/a.py:1: {word} {place}"]


@pytest.mark.parametrize("phrase", BANNED_PHRASES)
@pytest.mark.parametrize(
    "template", ['"""A list {phrase}\n    a product."""\n', "# a list {phrase} a product\n"]
)
def test_a_planted_phrase_is_reported(phrase: str, template: str) -> None:
    source = template.format(phrase=phrase)
    assert any(phrase in line for line in banned_words("recsys/a.py", source))
    broken_over_lines = source.replace(phrase, phrase.replace(" ", "\n    " if '"' in source else "\n# "))
    assert any(phrase in line for line in banned_words("recsys/a.py", broken_over_lines))


def test_a_module_is_not_named_by_a_banned_word() -> None:
    name = f"recsys/{min(BANNED_WORDS)}.py"
    assert list(banned_words(name, '"""A."""\n')) == [f"{name}:1: {min(BANNED_WORDS)} in the module's name"]


def test_parts_of_other_words_are_no_banned_words() -> None:
    source = '"""Indeed, wishful toldness."""\nreindeed = 1\n'
    assert list(banned_words("recsys/a.py", source)) == []


def test_only_a_whole_folder_is_left_out() -> None:
    assert not checked("recsys/web/errors.py", ("recsys/web",))
    assert checked("recsys/website/errors.py", ("recsys/web",))
    assert checked("recsys/web.py", ("recsys/web",))
