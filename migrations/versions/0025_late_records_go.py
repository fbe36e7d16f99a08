"""Late records are deleted once a segment of the archive has them."""

from alembic import op

revision = "0025_late_records_go"
down_revision = "0024_exports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE POLICY maintenance_archives ON late_records FOR DELETE TO opsledger_maintenance
            USING (true);
        GRANT DELETE ON late_records TO opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("REVOKE DELETE ON late_records FROM opsledger_maintenance")
    op.execute("DROP POLICY maintenance_archives ON late_records")
