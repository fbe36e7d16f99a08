"""Erasing a person reaches the views that name them, of every key of their tenant."""

from alembic import op

revision = "0038_views_erasable"
down_revision = "0037_restored"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE POLICY maintenance_views ON saved_views TO opsledger_maintenance
            USING (true) WITH CHECK (true);
        GRANT SELECT, UPDATE (name, query) ON saved_views TO opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute(
        """
        REVOKE SELECT, UPDATE (name, query) ON saved_views FROM opsledger_maintenance;
        DROP POLICY maintenance_views ON saved_views;
        """
    )
