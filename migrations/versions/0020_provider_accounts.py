"""Which provider a tenant has for each capability, with credentials, encrypted by the service."""

from alembic import op

revision = "0020_provider_accounts"
down_revision = "0019_sandbox_items"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE provider_accounts (
            tenant_id uuid NOT NULL,
            capability varchar(20) NOT NULL,
            provider varchar(100) NOT NULL,
            options jsonb NOT NULL DEFAULT '{}',
            credentials bytea,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT provider_accounts_pkey PRIMARY KEY (tenant_id, capability),
            CONSTRAINT provider_accounts_tenant_id_fkey
                FOREIGN KEY (tenant_id) REFERENCES tenants (id)
        );
        ALTER TABLE provider_accounts ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant_owns ON provider_accounts FOR SELECT TO opsledger_web
            USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        CREATE POLICY all_tenants ON provider_accounts TO opsledger_maintenance
            USING (true) WITH CHECK (true);
        GRANT SELECT ON provider_accounts TO opsledger_web;
        GRANT SELECT, INSERT, UPDATE, DELETE ON provider_accounts TO opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE provider_accounts")
