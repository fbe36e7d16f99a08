"""Batches are deleted once all their rows are archived, and their summaries are in the rollups."""

from alembic import op

revision = "0026_batches_go"
down_revision = "0025_late_records_go"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE POLICY maintenance_purges ON log_batches FOR DELETE TO opsledger_maintenance
            USING (true);
        GRANT DELETE ON log_batches TO opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("REVOKE DELETE ON log_batches FROM opsledger_maintenance")
    op.execute("DROP POLICY maintenance_purges ON log_batches")
