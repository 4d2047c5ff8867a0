"""Experiments beside each other, each on placements of its own.

Programs of the version before know one running experiment, and rules of sets as rules for everybody: start a
second experiment, and put rules into sets, when all programs are upgraded.
"""

from __future__ import annotations

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
oldest_program = "0024"


def upgrade() -> None:
    """Drop the index that kept a second experiment from running."""
    op.execute("DROP INDEX recommendations_db.ab_tests_one_running_idx")


def downgrade() -> None:
    """Leave the oldest experiment running, and disable what the version before would apply to everybody."""
    op.execute("UPDATE recommendations_db.business_rules SET enabled = false WHERE rule_set IS NOT NULL")
    op.execute(
        "UPDATE recommendations_db.ab_tests SET state = 'stopped', ended_at = now(), ended_by = 'downgrade', "
        "conclusion = 'ended by a downgrade: the version before runs one experiment, and knows no sets of rules' "
        "WHERE state = 'running' AND (design::text LIKE '%\"rule_set\"%' OR id > (SELECT min(id) "
        "FROM recommendations_db.ab_tests WHERE state = 'running' "
        "AND coalesce(design::text, '') NOT LIKE '%\"rule_set\"%'))"
    )
    # the version before refuses to read a design with a setting that it does not know
    op.execute(
        "UPDATE recommendations_db.ab_tests SET design = regexp_replace(regexp_replace(design::text, "
        "', \"rule_set\": \"[^\"]*\"', '', 'g'), '\"rule_set\": \"[^\"]*\"(, )?', '', 'g')::jsonb "
        "WHERE design::text LIKE '%\"rule_set\"%'"
    )
    op.execute(
        "CREATE UNIQUE INDEX ab_tests_one_running_idx ON recommendations_db.ab_tests (state) "
        "WHERE state = 'running'"
    )
