"""Document vectors: what is cached equals what the analyser makes of each field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.search.analysis.analyser import Analyser, analyser, name_token, sku_token, words_of
from recsys.search.analysis.document_tokens import document_tokens, document_vectors
from tests.recsys.search.names import NAMES, SHOP

_EQUAL = text("SELECT CAST(:written AS tsvector) = CAST(:expected AS tsvector)")
_LEXEMES = text("SELECT tsvector_to_array(CAST(:written AS tsvector))")


def row_of(name: str, sku: str | None, **fields: Any) -> dict[str, Any]:
    row = dict.fromkeys(("brand_name", "category_path", "short_description", "description"))
    return {"name": name, "sku": sku, "tags": [], "options": [], "variant_skus": [], **row, **fields}


def expected_words(row: dict[str, Any], english: Analyser) -> str:
    """The vector written from the analyser's terms alone, without a cache, each token once."""
    positions: dict[str, list[str]] = {}
    position = 1

    def add(weight: str, words: list[tuple[str, ...]]) -> None:
        nonlocal position
        for word in words:
            for token in word:
                positions.setdefault(token, []).append(f"{position}{weight}")
            position += 1

    whole = [name_token(words_of(row["name"]))] if words_of(row["name"]) else []
    whole += [sku_token(words_of(sku)) for sku in (row["sku"], *row["variant_skus"]) if words_of(sku or "")]
    add("A", [term.stored for term in english.of(row["name"])])
    add("A", [term.stored for term in english.of(row["sku"] or "")])
    add("A", [tuple(dict.fromkeys(whole))])
    for label in (row["brand_name"] or "", *row["tags"], *row["options"]):
        add("B", [term.stored for term in english.of(label)])
    add("C", [term.stored for term in english.of(row["category_path"] or "")])
    add("D", [term.stored for term in english.of(row["description"] or "") if not term.stop])
    return " ".join(
        "'" + token.replace("'", "''") + "':" + ",".join(places) for token, places in positions.items()
    )


@settings(max_examples=40, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(
    name=NAMES,
    sku=st.one_of(st.none(), st.from_regex(r"[A-Z0-9]{1,6}(-[A-Z0-9]{1,4})?", fullmatch=True)),
    labels=st.lists(st.sampled_from(["vegan", "L'Oréal", "2 in 1", "x", ""]), max_size=3),
    description=st.sampled_from([None, "the 5.5 mm screw's thread", "龙井 and 1/2 l"]),
)
def test_vectors_hold_the_analysers_terms(
    session: Session, name: str, sku: str | None, labels: list[str], description: str | None
) -> None:
    english = analyser("english")
    row = row_of(
        name, sku, brand_name="Leaf & Sons", tags=labels, category_path="Food Tea", description=description
    )
    values = {"written": document_vectors(row, english).words, "expected": expected_words(row, english)}
    assert session.scalar(_EQUAL, values)


@pytest.mark.parametrize(("sku", "name"), SHOP)
def test_vectors_and_fields_hold_the_same_tokens(session: Session, sku: str, name: str) -> None:
    english = analyser("english")
    row = row_of(name, sku, variant_skus=[f"{sku}-V2"], options=["XL red"], brand_name="Höhe & Co")
    tokens = document_tokens(row, english)
    fields = [(tokens.whole,), tokens.name, tokens.sku, tokens.labels, tokens.category, tokens.text]
    vectors = document_vectors(row, english)
    lexemes = session.scalar(_LEXEMES, {"written": vectors.words})
    assert set(lexemes) == {token for words in fields for word in words for token in word}
    named = session.scalar(_LEXEMES, {"written": vectors.name_words})
    assert set(named) == {token for word in tokens.name for token in word}


def test_a_sku_of_digits_is_analysed_as_any_other_number() -> None:
    english = analyser("english")
    for sku in ("7", "007", "4711", "9" * 64, "9" * 65, "٣", "²"):
        tokens = document_tokens(row_of("x", sku), english)
        assert tokens.sku == tuple(term.stored for term in english.of(sku)), sku
        assert tokens.whole[1:] == tuple(sku_token(words_of(sku)) for _ in words_of(sku)), sku
