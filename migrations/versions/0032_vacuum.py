"""What the sandbox keeps goes after a while, too: it stands in for a provider, and is none."""

from alembic import op

revision = "0032_vacuum"
down_revision = "0031_erasures"
branch_labels = None
depends_on = None

TABLES = ("sandbox_contacts", "sandbox_items")
SEEN = "tenant_id, id, updated_at"


def upgrade() -> None:
    for table in TABLES:
        op.execute(
            f"""
            CREATE POLICY maintenance_sees ON {table} FOR SELECT TO opsledger_maintenance
                USING (true);
            CREATE POLICY maintenance_vacuums ON {table} FOR DELETE TO opsledger_maintenance
                USING (true);
            GRANT SELECT ({SEEN}), DELETE ON {table} TO opsledger_maintenance;
            """
        )


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"REVOKE SELECT ({SEEN}), DELETE ON {table} FROM opsledger_maintenance")
        op.execute(f"DROP POLICY maintenance_vacuums ON {table}")
        op.execute(f"DROP POLICY maintenance_sees ON {table}")
