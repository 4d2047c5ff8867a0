"""Writes what is generated from the OpenAPI document: the TypeScript types and the page of all operations."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from recsys.web.openapi.document import operations
from recsys.web.openapi.typescript import typescript
from serving.server.app import create_app

__all__ = ["FILES", "generated"]

FILES = ("clients/typescript/recsys.d.ts", "docs/reference/operations.md")
_PAGE = """# Operations

Each operation of the HTTP API by its id in the OpenAPI document (`/openapi.json`). An id is the name of a
generated client's method: it does not change while the operation exists. Operations of administrators begin
with `admin_`. `/docs` of a running API has the parameters and the bodies, each with an example;
`clients/typescript/recsys.d.ts` has their types. Errors are problems (RFC 9457).
This page is written by `make types`.
"""


def generated() -> dict[str, str]:
    """Return the text of each generated file by its path from the root of the checkout."""
    document = create_app().openapi()
    return dict(zip(FILES, (typescript(document), operations_page(document)), strict=True))


def operations_page(document: Mapping[str, Any]) -> str:
    """Return a table of operations for each tag of an OpenAPI document."""
    rows = sorted(
        (operation["tags"][0], operation["operationId"], method.upper(), path, _summary(operation))
        for path, method, operation in operations(document)
    )
    lines = [_PAGE]
    for tag, tagged in groupby(rows, key=lambda row: row[0]):
        lines += [f"## {tag.capitalize()}", "", "| id | request | what it does |", "|---|---|---|"]
        lines += [
            f"| `{name}` | `{method} {path}` | {summary} |" for _, name, method, path, summary in tagged
        ]
        lines.append("")
    return "\n".join(lines)


def _summary(operation: Mapping[str, Any]) -> str:
    text = operation.get("description") or operation["summary"]
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


def main() -> None:
    """Write the files into the checkout that this module lies in."""
    root = Path(__file__).resolve().parents[2]
    for name, text in generated().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
