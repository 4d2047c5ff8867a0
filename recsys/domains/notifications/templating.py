"""Messages from templates: declared variables, a sandbox, and a clear error for whatever is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2.exceptions import SecurityError, TemplateError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from recsys.errors import Invalid

__all__ = ["KINDS", "LONGEST", "Rendered", "TemplateSource", "check", "render"]

LONGEST = 200_000
"""The most characters that one part of a message may have."""

KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float, str),
    "boolean": (bool,),
    "list": (list, tuple),
}
"""What a variable may be declared as; a number may come as text, so that money keeps its digits."""


@dataclass(frozen=True)
class TemplateSource:
    """A template: its parts, and its variables by name with what kind each is."""

    name: str
    subject: str | None
    body_html: str | None
    body_text: str | None
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Rendered:
    """A message ready to be sent."""

    subject: str
    html: str | None
    text: str


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which nothing can grow without bound either."""

    intercepted_binops = frozenset(["*", "**"])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(f"a template may multiply numbers, but not use {operator} on anything else")
        return super().call_binop(context, operator, left, right)


_HTML = _Sandbox(autoescape=True, undefined=StrictUndefined)
_TEXT = _Sandbox(autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True)


def check(source: TemplateSource) -> None:
    """Refuse a template that can't work. Raises Invalid naming the part and what is wrong with it."""
    if source.body_text is None and source.body_html is None:
        raise Invalid("A template needs a body_text or a body_html.")
    for name, kind in source.variables.items():
        if kind not in KINDS:
            raise Invalid(f"The variable {name} is declared as {kind!r}; known kinds: {', '.join(KINDS)}.")
    for part, text in _parts(source):
        try:
            used = meta.find_undeclared_variables(_TEXT.parse(text))
            _TEXT.compile(text)
        except TemplateSyntaxError as error:
            raise Invalid(f"{part}, line {error.lineno}: {error.message}") from None
        except TemplateError as error:
            raise Invalid(f"{part}: {error.message}") from None
        unknown = sorted(used - set(source.variables))
        if unknown:
            raise Invalid(f"{part} uses variables that are not declared: {', '.join(unknown)}.")


def render(source: TemplateSource, values: Mapping[str, Any]) -> Rendered:
    """Fill the template. Values go in escaped where the part is HTML.

    Raises Invalid for a variable that is missing, unknown or of another kind than declared, and for a
    message that grows too long.
    """
    missing = sorted(set(source.variables) - set(values))
    if missing:
        raise Invalid(f"The template {source.name} needs {', '.join(missing)}.")
    unknown = sorted(set(values) - set(source.variables))
    if unknown:
        raise Invalid(f"The template {source.name} knows no {', '.join(unknown)}.")
    for name, kind in source.variables.items():
        value = values[name]
        if not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind != "boolean"):
            raise Invalid(f"The template {source.name} wants {name} to be of the kind {kind}.")
    html = None if source.body_html is None else _fill(_HTML, source, "body_html", source.body_html, values)
    # a header is one line: what a value brings along can't begin another
    subject = " ".join(_fill(_TEXT, source, "subject", source.subject or source.name, values).split())[:255]
    if source.body_text is None:
        return Rendered(subject, html, subject)
    return Rendered(subject, html, _fill(_TEXT, source, "body_text", source.body_text, values))


def _fill(
    environment: _Sandbox, source: TemplateSource, part: str, text: str, values: Mapping[str, Any]
) -> str:
    length, pieces = 0, []
    try:
        for piece in environment.from_string(text).generate(**values):
            pieces.append(piece)
            length += len(piece)
            if length > LONGEST:
                raise Invalid(f"The template {source.name}: its {part} grows beyond {LONGEST} characters.")
    except UndefinedError as error:
        raise Invalid(f"The template {source.name}, {part}: {error.message}.") from None
    except (SecurityError, TemplateError, TypeError, ValueError, ArithmeticError, OverflowError) as error:
        raise Invalid(f"The template {source.name}, {part}, can't be filled: {error}.") from None
    return "".join(pieces)


def _parts(source: TemplateSource) -> list[tuple[str, str]]:
    parts = (("subject", source.subject), ("body_html", source.body_html), ("body_text", source.body_text))
    return [(name, text) for name, text in parts if text is not None]
