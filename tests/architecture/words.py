"""The words that the project's code does not use, and a search for them in a module's source."""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections.abc import Iterator

# `docs/glossary.md` has the words to use. This module alone is not held to the rule that it defines.
BANNED_WORDS = frozenset(
    ["anew", "deed", "deeds", "heard", "said", "told", "whoever", "wish", "wished", "wishes"]
)
BANNED_PHRASES = ("by luck", "nobody has", "of before", "one that", "told apart")

_WORD = re.compile(r"[A-Za-z]+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PHRASE = re.compile(
    r"\b(" + "|".join(phrase.replace(" ", r"\s+") for phrase in BANNED_PHRASES) + r")\b", re.I
)


def banned_in_name(name: str) -> list[str]:
    """The banned words among the parts of an identifier or a module's name, lower case."""
    return [part.lower() for part in _PART.findall(name) if part.lower() in BANNED_WORDS]


def banned_in_text(text: str) -> list[str]:
    """The banned words and phrases of a docstring, a comment or a message, lower case."""
    words = [word.lower() for word in _WORD.findall(text) if word.lower() in BANNED_WORDS]
    return words + [" ".join(phrase.lower().split()) for phrase in _PHRASE.findall(text)]


def banned_words(path: str, source: str) -> Iterator[str]:
    """One line for each banned word of a module.

    Parameters
    ----------
    path
        Of the module from the root, with slashes; its parts are checked as names.
    source
        Its text.

    Yields
    ------
    str
        "PATH:LINE: WORD in KIND", where KIND is a name, a comment, or a text (a docstring or another string).
    """
    for word in banned_in_name(path.removesuffix(".py")):
        yield f"{path}:1: {word} in the module's name"
    comments: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
            for word in banned_in_name(token.string):
                yield f"{path}:{token.start[0]}: {word} in a name"
        elif token.type == tokenize.COMMENT:
            comments.append((token.start[0], token.string.lstrip("# ")))
    for line, text in _joined(comments):
        for word in banned_in_text(text):
            yield f"{path}:{line}: {word} in a comment"
    for node in ast.walk(ast.parse(source)):
        # a single word is a key of a format or of the documented schema, no text for people
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for word in banned_in_text(node.value):
                yield f"{path}:{node.lineno}: {word} in a text"


def _joined(comments: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Comments of lines that follow each other as one, so that a phrase may break across them."""
    joined: list[tuple[int, int, str]] = []
    for line, text in comments:
        if joined and joined[-1][1] == line - 1:
            first, _, before = joined[-1]
            joined[-1] = (first, line, f"{before} {text}")
        else:
            joined.append((line, line, text))
    return [(first, text) for first, _, text in joined]
