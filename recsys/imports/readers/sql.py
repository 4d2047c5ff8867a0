"""Parts of the SQL that DuckDB gets: literals, identifiers and trimmed text."""

from __future__ import annotations

__all__ = ["identifier", "quoted", "trimmed"]

_WHITESPACE = " \t\n\v\f\r\u00a0\u2007\u202f\u3000\ufeff"


def quoted(text: str) -> str:
    """The text as a literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """The name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def trimmed(expression: str) -> str:
    """The text without white space around it; null where nothing is left."""
    return f"nullif(trim({expression}, {quoted(_WHITESPACE)}), '')"
