"""A query as terms that a document must have: synonyms of the shop put in, stop words left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from recsys.search.analysis.analyser import Analyser, Term, name_token, sku_token
from recsys.search.analysis.expression import Token, all_of, any_of
from recsys.search.queries import ProductQuery

__all__ = ["exact_tokens", "parsed"]


def parsed(analyser: Analyser, query: ProductQuery) -> list[Term]:
    """The terms of a query. Words such as `the` count only where there is nothing else."""
    terms = _with_synonyms(analyser, analyser.terms(query.words), query.synonyms)
    return [term for term in terms if not term.stop] or terms


def exact_tokens(query: ProductQuery) -> tuple[Token, Token]:
    """What the product has whose SKU the query is, and what those have whose whole name it is."""
    return Token(sku_token(query.words)), Token(name_token(query.words))


def _with_synonyms(analyser: Analyser, terms: Sequence[Term], groups: Sequence[Sequence[str]]) -> list[Term]:
    """Each phrase of a group replaced by all phrases of it, the longest first."""
    phrases = [
        (tuple(term.key for term in own), group)
        for group in groups
        for phrase in group
        if (own := analyser.of(phrase))
    ]
    phrases.sort(key=lambda one: -len(one[0]))
    found: list[Term] = []
    place = 0
    while place < len(terms):
        for keys, group in phrases:
            typed = terms[place : place + len(keys)]
            if tuple(term.key for term in typed) == keys:
                found.append(_any_phrase(analyser, typed, group))
                place += len(keys)
                break
        else:
            found.append(terms[place])
            place += 1
    return found


def _any_phrase(analyser: Analyser, own: Sequence[Term], group: Sequence[str]) -> Term:
    ways = [all_of([term.asked for term in analyser.of(phrase)]) for phrase in group if analyser.of(phrase)]
    typed = all_of([term.asked for term in own])
    merged = replace(own[0], text=" ".join(term.text for term in own), asked=any_of([typed, *ways]))
    # where no document has any of them, the words stand for themselves
    return replace(merged, stored=(), stop=False, plain=False, loose=None, parts=tuple(own))
