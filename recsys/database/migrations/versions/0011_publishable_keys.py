"""Publishable keys: API keys that stand in web pages, bound to the origins of these pages."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
# the constraints allow all keys that earlier programs write
oldest_program = "0010"


def upgrade() -> None:
    """Give each key its origins, and the number of its signing secret."""
    op.execute(
        """
        ALTER TABLE users_db.api_keys
            ADD COLUMN origins text[] NOT NULL DEFAULT '{}',
            ADD COLUMN signing_epoch integer NOT NULL DEFAULT 1,
            DROP CONSTRAINT api_keys_scopes_check,
            ADD CONSTRAINT api_keys_scopes_check CHECK (
                cardinality(scopes) > 0
                AND (scopes <@ ARRAY['recommend', 'events', 'admin'] OR scopes = ARRAY['page'])
            ),
            ADD CONSTRAINT api_keys_origins_check
                CHECK ((scopes = ARRAY['page']) = (cardinality(origins) > 0))
        """
    )


def downgrade() -> None:
    """Delete the publishable keys, which the former table cannot hold."""
    op.execute("DELETE FROM users_db.api_keys WHERE scopes = ARRAY['page']")
    op.execute(
        """
        ALTER TABLE users_db.api_keys
            DROP CONSTRAINT api_keys_origins_check,
            DROP COLUMN origins,
            DROP COLUMN signing_epoch,
            DROP CONSTRAINT api_keys_scopes_check,
            ADD CONSTRAINT api_keys_scopes_check CHECK (
                cardinality(scopes) > 0 AND scopes <@ ARRAY['recommend', 'events', 'admin']
            )
        """
    )
