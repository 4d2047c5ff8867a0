"""What somebody who means harm types into a search: syntax of every language, and anything at all."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import strategies as st

__all__ = ["paths"]

SYNTAX = (
    "' OR 1=1 --",
    "'; DROP TABLE products_db.product_search; --",
    "lamp' & !tea | (pot <-> bar):*",
    "lamp:* & !!",
    "':*'",
    "\\",
    "%",
    "_%_",
    "$$",
    "*:* AND name:[* TO *]",
    '{"match_all":{}}',
    "{{7*7}}${7*7}",
    "<script>alert(1)</script>",
    "lamp~99^1e9",
    "/.*.*.*.*.*x/",
    "a" * 200,
    "lamp " * 40,
    "\x00",
    "\ud800",
    "\u202e\u0000\ufffe",
    "ﷺ" * 100,
    "ẞİı" * 60,
    "٣४५ ²³ ⅷ",
    "e\u0301" * 90,
    "\ue000lamp\ue001",
    "0x1p-3 1e999 nan inf -0",
)
WORDS = st.sampled_from(["lamp", "lmap", "tea", "the", "pot", "größe", "choc", "1", "''"])
ANYTHING = st.text(st.characters(), max_size=60)
TEXT = st.one_of(
    st.sampled_from(SYNTAX),
    ANYTHING,
    st.lists(st.one_of(WORDS, st.sampled_from(SYNTAX), ANYTHING), max_size=5).map(" ".join),
)
NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats().map(str),
    st.sampled_from(["", "1e400", "0x10", "1_0", "٣", "NaN", "--1", "9" * 300]),
)
# what a cursor holds, forged: right in form, wrong in everything else
FORGED = st.sampled_from(
    [
        "e30",
        "bm90aGluZw",
        "eyJvZiI6IngiLCJzZWFyY2giOiJ4Iiwic2hvd24iOi0xfQ",
        "eyJvZiI6bnVsbH0",
        "W10",
    ]
)
VALUES = st.one_of(TEXT, NUMBERS, FORGED)


def _query(names: list[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(st.sampled_from(names), values), max_size=4)


def _path(route: str, pairs: list[tuple[str, str]]) -> str:
    asked = "&".join(f"{name}={quote(value, safe='', errors='surrogatepass')}" for name, value in pairs)
    return f"/api/v1/search/{route}?{asked}"


def paths() -> st.SearchStrategy[str]:
    """Paths of searches, with queries of any content; most of them are searched for and not refused."""
    typed = st.tuples(st.just("q"), TEXT).map(lambda one: [one])
    filters = ["category", "brand", "tag", "min_price", "max_price", "min_rating", "in_stock", "featured"]
    filters += ["status", "sort", "limit", "cursor", "facet", "fuzzy", "highlight", "personalised"]
    sensible = st.lists(
        st.sampled_from(
            [
                ("facet", "category"),
                ("facet", "price"),
                ("facet", "tags"),
                ("highlight", "true"),
                ("sort", "name"),
                ("sort", "-price"),
                ("fuzzy", "false"),
                ("limit", "1"),
            ]
        ),
        max_size=3,
    )
    products = st.one_of(
        st.builds(lambda one, other: _path("products", one + other), typed, sensible),
        st.builds(lambda one, other: _path("products", one + other), typed, _query(filters, VALUES)),
    )
    suggest = TEXT.map(lambda text: _path("suggest", [("prefix", text)]))
    people = ["q", "lat", "lon", "within_km", "min_followers", "sort", "cursor", "limit", "active"]
    users = _query(people, VALUES).map(lambda pairs: _path("users", pairs))
    return st.one_of(products, products, suggest, users)
