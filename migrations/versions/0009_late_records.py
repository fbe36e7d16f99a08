"""Late records: what arrived after its time had left the hot window, kept as it came.

The log of that time may be archived by then, and a partition made for it anew would stand beside
the archive. The kind is part of the key, since the two logs are two places for one id.
"""

from alembic import op

revision = "0009_late_records"
down_revision = "0008_sandbox_contacts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE late_records (
            tenant_id uuid NOT NULL,
            kind varchar(10) NOT NULL,
            id uuid NOT NULL,
            created_at timestamptz NOT NULL,
            payload bytea NOT NULL,
            shipment_id uuid NOT NULL,
            received_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT late_records_pkey PRIMARY KEY (tenant_id, kind, id),
            CONSTRAINT late_records_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
            CONSTRAINT late_records_kind_check CHECK (kind IN ('action', 'audit'))
        );
        ALTER TABLE late_records ENABLE ROW LEVEL SECURITY;
        CREATE POLICY worker_adds ON late_records FOR INSERT TO opsledger_worker WITH CHECK (true);
        CREATE POLICY maintenance_reads ON late_records FOR SELECT TO opsledger_maintenance
            USING (true);
        GRANT INSERT ON late_records TO opsledger_worker;
        GRANT SELECT ON late_records TO opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE late_records")
