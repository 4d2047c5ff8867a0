"""Whether what was bought may be offered again, per category."""

from __future__ import annotations

from collections.abc import Mapping

from recsys.imports.loading.catalogue import SEPARATOR, Categories
from recsys.imports.loading.staging import Connection

__all__ = ["merge_policies"]


def merge_policies(connection: Connection, policies: Mapping[tuple[str, ...], bool]) -> tuple[int, int]:
    """Add a policy for each path that is a category and has none; return how many were added and were there.

    A policy that somebody set stays as it is.
    """
    categories = Categories(connection)
    found = {categories.find(SEPARATOR.join(path)): repeat for path, repeat in policies.items()}
    known = {category: repeat for category, repeat in found.items() if category is not None}
    rows = connection.execute(
        """INSERT INTO recommendations_db.category_policies (category_id, repeat_purchases)
        SELECT * FROM unnest(%s::integer[], %s::boolean[])
        ON CONFLICT (category_id) DO NOTHING RETURNING category_id""",
        (list(known), list(known.values())),
    ).fetchall()
    return len(rows), len(known) - len(rows)
