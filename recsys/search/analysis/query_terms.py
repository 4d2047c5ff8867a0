"""A query as terms that a document must have: with the shop's synonyms, without stop words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from recsys.search.analysis.analyser import Analyser, Term, name_token, sku_token
from recsys.search.analysis.expression import Expression, Token, all_of, any_of, tokens_in
from recsys.search.queries import ProductQuery

__all__ = ["exact_tokens", "parsed"]

_MOST_TOKENS = 190
"""Tokens of a query. OpenSearch takes 1,024 clauses, and each token is looked for in five fields."""


def parsed(analyser: Analyser, query: ProductQuery) -> list[Term]:
    """The terms of a query. Words such as `the` count only if there are no others.

    Terms beyond 190 tokens are left out: they could only narrow what the first ones find.
    """
    terms = _with_synonyms(analyser, analyser.terms(query.words), query.synonyms)
    terms = [term for term in terms if not term.stop] or terms
    tokens = accumulate(_number_of_tokens(term.asked) for term in terms)
    return [term for term, total in zip(terms, tokens, strict=True) if total <= _MOST_TOKENS] or terms[:1]


def exact_tokens(query: ProductQuery) -> tuple[Token, Token]:
    """The tokens of products that have the query as their SKU, and as their whole name."""
    return Token(sku_token(query.words)), Token(name_token(query.words))


def _with_synonyms(analyser: Analyser, terms: Sequence[Term], groups: Sequence[Sequence[str]]) -> list[Term]:
    """Each phrase of a group replaced by all phrases of it, the longest first."""
    phrases = [
        (tuple(term.key for term in own), group)
        for group in groups
        for phrase in group
        if (own := analyser.of(phrase))
    ]
    phrases.sort(key=lambda phrase: -len(phrase[0]))
    replaced: list[Term] = []
    start = 0
    while start < len(terms):
        for keys, group in phrases:
            typed = terms[start : start + len(keys)]
            if tuple(term.key for term in typed) == keys:
                replaced.append(_any_phrase(analyser, typed, group))
                start += len(keys)
                break
        else:
            replaced.append(terms[start])
            start += 1
    return replaced


def _any_phrase(analyser: Analyser, own: Sequence[Term], group: Sequence[str]) -> Term:
    """The typed terms, or the other phrases of their group as far as the tokens of a query suffice."""
    choices = [all_of([term.asked for term in own])]
    tokens = _number_of_tokens(choices[0])
    for phrase in group:
        if terms := analyser.of(phrase):
            choice = all_of([term.asked for term in terms])
            tokens += _number_of_tokens(choice)
            if tokens <= _MOST_TOKENS // 2:
                choices.append(choice)
    merged = replace(own[0], text=" ".join(term.text for term in own), asked=any_of(choices))
    # if no document has any of the phrases, the typed words are looked for one by one
    return replace(merged, stored=(), stop=False, plain=False, loose=None, parts=tuple(own))


def _number_of_tokens(expression: Expression) -> int:
    return sum(1 for _ in tokens_in(expression))
