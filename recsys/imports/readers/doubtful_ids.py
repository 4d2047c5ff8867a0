"""Ids that are likely no ids, or one id in two spellings: counted, so that a person can look."""

from __future__ import annotations

from collections.abc import Sequence

from recsys.imports.readers.source_file import SourceFile
from recsys.imports.readers.sql import quoted

__all__ = ["doubt_notes", "doubtful_ids"]

PLACEHOLDERS = (
    *("nan", "null", "(null)", "none", "(none)", "nil", "undefined", "n/a", "#n/a", "\\n", "(not set)"),
    *("(not provided)", "[object object]", "anonymous", "unknown", "#ref!", "#value!", "-"),
)


_EXPLAINED = {
    "placeholder": "rows with a placeholder such as 'nan', 'NULL' or '(not set)'",
    "whole number with decimals": "ids such as '17850.0'",
    "also without decimals": "of these also without '.0', as another id",
    "rounded by a spreadsheet": "ids such as '1.23E+10', rounded by a spreadsheet",
    "same letters composed otherwise": "ids that differ from another only in composed accents (NFC, NFD)",
}


def doubtful_ids(source: SourceFile, fields: Sequence[str]) -> dict[str, dict[str, int]]:
    """For each of the fields with doubtful ids: the kind of doubt, with how many ids (rows for the first).

    Kinds: placeholders such as `nan` or `(not set)`; whole numbers with decimals, and how many of them also
    occur without; numbers rounded by a spreadsheet (`1.23E+10`); and ids that differ only in how Unicode
    composes their accents (NFC and NFD).
    """
    counts: dict[str, dict[str, int]] = {}
    for name in fields:
        if name not in source.fields:
            continue
        ids = source.connection.table(source.table).project(f"({source.fields[name]})::VARCHAR AS id")
        ids = ids.filter("id IS NOT NULL").aggregate("id, count(*) AS rows", "id")
        ids.create("ids")
        listed = ", ".join(map(quoted, PLACEHOLDERS))
        row = source.connection.sql(
            f"""SELECT
                coalesce(sum(rows) FILTER (WHERE lower(id) IN ({listed})), 0),
                count(*) FILTER (WHERE regexp_full_match(id, '-?\\d+\\.0+')),
                count(*) FILTER (WHERE regexp_full_match(id, '-?\\d+\\.0+')
                    AND regexp_replace(id, '\\.0+$', '') IN (SELECT id FROM ids)),
                count(*) FILTER (WHERE regexp_full_match(id, '\\d(\\.\\d+)?[eE]\\+?\\d+')),
                count(*) FILTER (WHERE nfc_normalize(id) <> id AND nfc_normalize(id) IN (SELECT id FROM ids))
            FROM ids"""  # noqa: S608
        ).fetchall()[0]
        source.connection.execute("DROP TABLE ids")
        kinds = {
            "placeholder": row[0],
            "whole number with decimals": row[1],
            "also without decimals": row[2],
            "rounded by a spreadsheet": row[3],
            "same letters composed otherwise": row[4],
        }
        counts[name] = {kind: int(number) for kind, number in kinds.items() if number}
    return {name: kinds for name, kinds in counts.items() if kinds}


def doubt_notes(file: str, counts: dict[str, dict[str, int]]) -> list[str]:
    """One sentence for each field with doubtful ids."""
    return [
        f"{file}: doubtful ids in the column {name}: "
        + ", ".join(f"{number} {_EXPLAINED[kind]}" for kind, number in kinds.items())
        + "; each is stored as the id that it is"
        for name, kinds in counts.items()
    ]
