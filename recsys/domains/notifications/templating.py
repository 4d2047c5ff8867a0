"""Messages from templates: declared variables, limits, and a clear error for whatever is missing.

Jinja itself runs in processes of their own (`rendering.process`): one for what is sent, which never waits for
a template that somebody tries, and one for previews and changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recsys.domains.notifications.rendering.process import RenderingProcess, TemplateFault
from recsys.domains.notifications.rendering.worker import LONGEST
from recsys.errors import Invalid

__all__ = ["KINDS", "LONGEST", "Rendered", "TemplateSource", "check", "preview", "render"]

_sending = RenderingProcess()
_trying = RenderingProcess()

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


def check(source: TemplateSource) -> None:
    """Refuse a template that can't work. Raises Invalid naming the part and what is wrong with it."""
    if source.body_text is None and source.body_html is None:
        raise Invalid("A template needs a body_text or a body_html.")
    for name, kind in source.variables.items():
        if kind not in KINDS:
            raise Invalid(f"The variable {name} is declared as {kind!r}; known kinds: {', '.join(KINDS)}.")
    try:
        used_by_part = _trying.run(_parts(source), None)
    except TemplateFault as fault:
        place = "The template" if fault.part is None else fault.part
        line = "" if fault.line is None else f", line {fault.line}"
        raise Invalid(f"{place}{line}: {fault.reason}") from None
    for part, used in used_by_part.items():
        unknown = sorted(set(used) - set(source.variables))
        if unknown:
            raise Invalid(f"{part} uses variables that are not declared: {', '.join(unknown)}.")


def render(source: TemplateSource, values: Mapping[str, Any]) -> Rendered:
    """Fill the template. Values go in escaped where the part is HTML.

    Raises
    ------
    Invalid
        A variable is missing, unknown or of another kind than declared, or a part cannot be filled within the
        limits of `rendering.worker`.
    Unavailable
        Nothing can be filled now.
    """
    return _render(_sending, source, values)


def preview(source: TemplateSource, values: Mapping[str, Any]) -> Rendered:
    """Fill the template as `render` does, apart from what is sent."""
    return _render(_trying, source, values)


def _render(process: RenderingProcess, source: TemplateSource, values: Mapping[str, Any]) -> Rendered:
    _check_values(source, values)
    try:
        parts = process.run({**_parts(source), "subject": source.subject or source.name}, values)
    except TemplateFault as fault:
        part = "" if fault.part is None else f", {fault.part},"
        raise Invalid(f"The template {source.name}{part} can't be filled: {fault.reason}.") from None
    # a header is one line: what a value brings along can't begin another
    subject = " ".join(parts["subject"].split())[:255]
    return Rendered(subject, parts.get("body_html"), parts.get("body_text", subject))


def _check_values(source: TemplateSource, values: Mapping[str, Any]) -> None:
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


def _parts(source: TemplateSource) -> dict[str, str]:
    parts = {"subject": source.subject, "body_html": source.body_html, "body_text": source.body_text}
    return {name: text for name, text in parts.items() if text is not None}
