"""Exports: what a tenant asked to take along, how far it is, and where the result is.

The secret signs the links of one export, so that whoever reads the table of another host's settings
learns nothing.
"""

from alembic import op

revision = "0024_exports"
down_revision = "0023_api_key_holder"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE exports (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            kind varchar(10) NOT NULL,
            format varchar(10) NOT NULL,
            filters jsonb NOT NULL,
            include_archived boolean NOT NULL,
            withhold boolean NOT NULL,
            requested_by varchar(255) NOT NULL,
            secret bytea NOT NULL,
            state varchar(10) NOT NULL DEFAULT 'pending',
            percent integer NOT NULL DEFAULT 0,
            row_count bigint,
            bytes bigint,
            sha256 bytea,
            error text,
            requested_at timestamptz NOT NULL DEFAULT now(),
            finished_at timestamptz,
            CONSTRAINT exports_pkey PRIMARY KEY (tenant_id, id),
            CONSTRAINT exports_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
            CONSTRAINT exports_kind_check CHECK (kind IN ('action', 'audit')),
            CONSTRAINT exports_format_check CHECK (format IN ('csv', 'jsonl', 'parquet')),
            CONSTRAINT exports_state_check
                CHECK (state IN ('pending', 'running', 'ready', 'failed', 'expired'))
        );
        CREATE INDEX exports_open_idx ON exports (requested_at)
            WHERE state IN ('pending', 'running', 'ready');
        ALTER TABLE exports ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant_exports ON exports TO opsledger_web
            USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        CREATE POLICY maintenance_exports ON exports TO opsledger_maintenance
            USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT ON exports TO opsledger_web;
        GRANT SELECT, UPDATE, DELETE ON exports TO opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE exports")
