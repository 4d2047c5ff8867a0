"""A user that any program deletes is an event, like one who closes the account."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
# the trigger publishes an event that earlier programs handle
oldest_program = "0008"


def upgrade() -> None:
    """Publish `user.deactivated` when stored lists go because their user is deleted, in that transaction.

    The trigger is on a table of our own, which the deletion of a user reaches by its foreign key: documented
    tables stay as documented.
    """
    op.execute(
        """
        CREATE FUNCTION recommendations_db.publish_deleted_users() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO analytics_db.outbox (event_id, family, name, version, aggregate, data, occurred_at)
            SELECT gen_random_uuid(), 'user', 'user.deactivated', 1, 'user:' || user_id,
                   json_build_object('user_id', user_id), clock_timestamp()
            FROM (SELECT DISTINCT user_id FROM deleted) d
            WHERE NOT EXISTS (SELECT FROM users_db.users u WHERE u.id = d.user_id)
            ORDER BY user_id;
            PERFORM pg_notify('recsys_outbox', '');
            RETURN NULL;
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER users_deleted AFTER DELETE ON recommendations_db.stored_lists "
        "REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT "
        "EXECUTE FUNCTION recommendations_db.publish_deleted_users()"
    )


def downgrade() -> None:
    """Leave deleted users to the programs that delete them."""
    op.execute("DROP TRIGGER users_deleted ON recommendations_db.stored_lists")
    op.execute("DROP FUNCTION recommendations_db.publish_deleted_users()")
