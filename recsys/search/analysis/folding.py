"""Letters that people type for one another: accents left out, digraphs, other forms of the same character.

Unicode's own tables do most of it (NFKC, case folding, NFD); what they leave apart on purpose is listed here.
"""

from __future__ import annotations

import re
import sys
import unicodedata

__all__ = ["MARKS_OF_LETTERS", "clean", "digits", "folded", "spelt_out"]

# nothing that is read or typed: soft hyphen, zero-width characters, emoji's variation selectors, trade marks
_IGNORED = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff\u20e3™®©℠ـ"), None) | dict.fromkeys(
    range(0xFE00, 0xFE10), None
)
# before NFKC, which would split some of them or make spaces of them
_PUNCTUATION = str.maketrans(dict.fromkeys("’‘ʼ´`′＇", "'") | dict.fromkeys("“”„″", '"'))
_HYPHENS = str.maketrans(dict.fromkeys("‐‑‒–−", "-") | {"—": " ", "―": " ", "⁄": "/", "∕": "/", "×": "x"})
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
# letters with no decomposition in Unicode
_PLAIN = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t"}
)
# German, Danish, Norwegian and Swedish spell these so where a keyboard lacks them
_DIGRAPHS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
# accents of Latin, Greek and Cyrillic; vowel points of Hebrew; vowel signs and hamza of Arabic
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]")

MARKS_OF_LETTERS = "".join(
    re.escape(chr(code))
    for code in range(0x300, min(0x20000, sys.maxunicode))
    if unicodedata.category(chr(code)).startswith("M") and not 0xFE00 <= code < 0xFE10
)
"""Every mark that belongs to the letter before it (Thai and Indic vowels among them), for a class in a
regular expression: `\\w` has none of them."""


def clean(text: str) -> str:
    """The text in lower case and in Unicode's composed form (NFKC), without what nobody types.

    Lone surrogates, which no database can store, are left out.
    """
    plain = text.encode("utf-8", "ignore").decode("utf-8").translate(_IGNORED).translate(_PUNCTUATION)
    plain = unicodedata.normalize("NFKC", _FRACTION.sub(" ", plain)).lower()
    # lower case can leave a letter and its mark apart (İ)
    return unicodedata.normalize("NFC", plain.translate(_HYPHENS))


def folded(word: str) -> str:
    """Without accents: café and cafe, żółty and zolty, straße and strasse are one."""
    apart = unicodedata.normalize("NFD", word.casefold().translate(_PLAIN))
    return unicodedata.normalize("NFC", _ACCENTS.sub("", apart))


def spelt_out(word: str) -> str:
    """With two letters for one, as in kaese for käse."""
    return folded(unicodedata.normalize("NFC", word).translate(_DIGRAPHS))


def digits(text: str) -> str:
    """A number in European digits."""
    return "".join(
        one if one.isascii() or not one.isdecimal() else str(unicodedata.decimal(one)) for one in text
    )
