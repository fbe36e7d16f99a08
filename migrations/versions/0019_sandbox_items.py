"""What the sandbox keeps beside contacts: tickets, comments, events, messages, documents."""

from alembic import op

revision = "0019_sandbox_items"
down_revision = "0018_redaction_policies"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE sandbox_items (
            tenant_id uuid NOT NULL,
            collection varchar(20) NOT NULL,
            id uuid NOT NULL,
            parent_id uuid,
            fields jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT sandbox_items_pkey PRIMARY KEY (tenant_id, collection, id),
            CONSTRAINT sandbox_items_tenant_id_fkey
                FOREIGN KEY (tenant_id) REFERENCES tenants (id)
        );
        ALTER TABLE sandbox_items ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant_owns ON sandbox_items TO opsledger_web
            USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        GRANT SELECT, INSERT, UPDATE, DELETE ON sandbox_items TO opsledger_web;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE sandbox_items")
