"""Tenants, and the operator: the tenant of the platform itself, whose audit log takes what
concerns no single tenant.
"""

from alembic import op

revision = "0002_tenants"
down_revision = "0001_roles"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE tenants (
            id uuid PRIMARY KEY,
            name varchar(200) NOT NULL,
            slug varchar(63) NOT NULL,
            is_active boolean NOT NULL DEFAULT true,
            settings jsonb NOT NULL DEFAULT '{}',
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT tenants_slug_key UNIQUE (slug)
        );
        ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant_reads_itself ON tenants FOR SELECT TO opsledger_web
            USING (id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        CREATE POLICY worker_checks_existence ON tenants FOR SELECT TO opsledger_worker
            USING (true);
        CREATE POLICY maintenance_manages ON tenants TO opsledger_maintenance
            USING (true) WITH CHECK (true);
        GRANT SELECT ON tenants TO opsledger_web;
        GRANT SELECT (id) ON tenants TO opsledger_worker;
        GRANT SELECT, INSERT, UPDATE ON tenants TO opsledger_maintenance;
        INSERT INTO tenants (id, name, slug)
            VALUES ('00000000-0000-7000-8000-000000000000', 'Operator', 'operator');
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE tenants")
