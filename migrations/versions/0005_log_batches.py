"""Batches (the unit of commit), shipments (the spool's receipts) and dead letters."""

from alembic import op

revision = "0005_log_batches"
down_revision = "0004_enums"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE SEQUENCE log_batches_seq;
        CREATE TABLE log_batches (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            kind varchar(10) NOT NULL,
            row_count integer NOT NULL,
            min_created_at timestamptz NOT NULL,
            max_created_at timestamptz NOT NULL,
            seq bigint NOT NULL DEFAULT nextval('log_batches_seq'),
            summary jsonb,
            committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT log_batches_pkey PRIMARY KEY (tenant_id, id),
            CONSTRAINT log_batches_tenant_id_seq_key UNIQUE (tenant_id, seq),
            CONSTRAINT log_batches_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
            CONSTRAINT log_batches_kind_check CHECK (kind IN ('action', 'audit'))
        );
        ALTER TABLE log_batches ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant_reads ON log_batches FOR SELECT TO opsledger_web
            USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        CREATE POLICY worker_commits ON log_batches TO opsledger_worker
            USING (true) WITH CHECK (true);
        CREATE POLICY maintenance_reads ON log_batches FOR SELECT TO opsledger_maintenance
            USING (true);
        GRANT SELECT ON log_batches TO opsledger_web, opsledger_maintenance;
        GRANT SELECT, INSERT ON log_batches TO opsledger_worker;
        GRANT USAGE ON SEQUENCE log_batches_seq TO opsledger_worker;
        """
    )
    op.execute(
        """
        CREATE TABLE shipments (
            id uuid PRIMARY KEY,
            committed_at timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        CREATE INDEX shipments_committed_at_idx ON shipments (committed_at);
        GRANT SELECT ON shipments TO opsledger_web;
        GRANT SELECT, INSERT ON shipments TO opsledger_worker;
        GRANT SELECT, DELETE ON shipments TO opsledger_maintenance;
        CREATE TABLE dead_letters (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant_id uuid,
            kind varchar(10),
            record_id uuid,
            reason text NOT NULL,
            payload bytea NOT NULL,
            shipment_id uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        );
        ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY;
        CREATE POLICY worker_adds ON dead_letters FOR INSERT TO opsledger_worker WITH CHECK (true);
        CREATE POLICY maintenance_manages ON dead_letters TO opsledger_maintenance USING (true);
        GRANT INSERT ON dead_letters TO opsledger_worker;
        GRANT SELECT, DELETE ON dead_letters TO opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE dead_letters")
    op.execute("DROP TABLE shipments")
    op.execute("DROP TABLE log_batches")
    op.execute("DROP SEQUENCE log_batches_seq")
