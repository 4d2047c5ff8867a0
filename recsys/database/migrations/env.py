"""Alembic's entry: runs migrations on the connection that recsys/database/migrate.py hands over."""

from __future__ import annotations

from alembic import context

from recsys.database.base import SCHEMAS
from recsys.database.metadata import metadata


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "schema" or name in SCHEMAS


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_schemas=True,
    include_name=_is_ours,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
