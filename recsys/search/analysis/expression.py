"""Boolean expressions over tokens, which each engine translates into its own query language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["AllOf", "AnyOf", "Expression", "Token", "all_of", "any_of", "tokens_in"]


@dataclass(frozen=True)
class Token:
    """One token of the analyser; with `prefix`, every token that begins so."""

    text: str
    prefix: bool = False


@dataclass(frozen=True)
class AllOf:
    """All of these, of which there is at least one."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one of these, of which there is at least one."""

    parts: tuple[Expression, ...]


Expression = Token | AllOf | AnyOf


def all_of(parts: Sequence[Expression]) -> Expression:
    """All of these; the only one as it is."""
    distinct = tuple(dict.fromkeys(parts))
    return distinct[0] if len(distinct) == 1 else AllOf(distinct)


def any_of(parts: Sequence[Expression]) -> Expression:
    """Any of these; the only one as it is."""
    distinct = tuple(dict.fromkeys(parts))
    return distinct[0] if len(distinct) == 1 else AnyOf(distinct)


def tokens_in(expression: Expression) -> Iterator[Token]:
    """Every token of an expression, from left to right."""
    if isinstance(expression, Token):
        yield expression
        return
    for part in expression.parts:
        yield from tokens_in(part)
