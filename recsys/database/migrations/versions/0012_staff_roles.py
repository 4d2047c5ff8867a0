"""Roles of those who run the shop without being administrators."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        CREATE TABLE users_db.staff_roles (
            user_id integer PRIMARY KEY REFERENCES users_db.users (id) ON DELETE CASCADE,
            role varchar(20) NOT NULL
                CONSTRAINT staff_roles_role_check CHECK (role IN ('viewer', 'merchandiser', 'operator')),
            granted_by varchar(100) NOT NULL,
            granted_at timestamptz NOT NULL
        )
        """
    )


def downgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE users_db.staff_roles")
