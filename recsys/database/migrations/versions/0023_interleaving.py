"""Interleaved lists, times of the lists of experiments, sets of rules, measured figures.

Programs of the version before leave the columns empty, and know experiments with arms only: start an
interleaved one when all programs are upgraded.
"""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
oldest_program = "0022"

_SCHEMA = "recommendations_db"


def upgrade() -> None:
    """Add columns and a table."""
    op.execute(
        f"ALTER TABLE {_SCHEMA}.exposures ADD COLUMN teams smallint[], ADD COLUMN credits real[], "
        "ADD COLUMN milliseconds real, ADD COLUMN late boolean"
    )
    op.execute(f"ALTER TABLE {_SCHEMA}.business_rules ADD COLUMN rule_set varchar(40)")
    op.execute(
        f"CREATE TABLE {_SCHEMA}.measurements (id smallint NOT NULL, measured_at timestamptz NOT NULL, "
        "content jsonb NOT NULL, CONSTRAINT measurements_pkey PRIMARY KEY (id), "
        "CONSTRAINT measurements_newest_check CHECK (id = 1))"
    )


def downgrade() -> None:
    """Drop them; an interleaved experiment stops."""
    op.execute(f"DROP TABLE {_SCHEMA}.measurements")
    op.execute(f"ALTER TABLE {_SCHEMA}.business_rules DROP COLUMN rule_set")
    op.execute(
        "UPDATE recommendations_db.ab_tests SET state = 'stopped', ended_at = now(), ended_by = 'downgrade', "
        "conclusion = 'ended by a downgrade: the version before knows no interleaved lists' "
        "WHERE state = 'running' AND design ->> 'kind' IS NOT NULL"
    )
    op.execute(
        f"ALTER TABLE {_SCHEMA}.exposures DROP COLUMN teams, DROP COLUMN credits, DROP COLUMN milliseconds, "
        "DROP COLUMN late"
    )
