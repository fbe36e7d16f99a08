"""Contacts of the sandbox provider."""

from alembic import op

revision = "0008_sandbox_contacts"
down_revision = "0007_ensure_partition"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE sandbox_contacts (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            email varchar(320) NOT NULL,
            first_name varchar(200),
            last_name varchar(200),
            company varchar(200),
            phone varchar(50),
            properties jsonb NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT sandbox_contacts_pkey PRIMARY KEY (tenant_id, id),
            CONSTRAINT sandbox_contacts_tenant_id_fkey
                FOREIGN KEY (tenant_id) REFERENCES tenants (id)
        );
        ALTER TABLE sandbox_contacts ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant_owns ON sandbox_contacts TO opsledger_web
            USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        GRANT SELECT, INSERT, UPDATE, DELETE ON sandbox_contacts TO opsledger_web;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE sandbox_contacts")
