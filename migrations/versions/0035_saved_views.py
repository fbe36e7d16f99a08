"""Views: lists with their filters, by a name, of one key or for all of its tenant."""

from alembic import op

revision = "0035_saved_views"
down_revision = "0034_stream_tickets"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE saved_views (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            key_id uuid NOT NULL,
            made_by varchar(255) NOT NULL,
            name varchar(100) NOT NULL,
            log varchar(10) NOT NULL,
            query text NOT NULL,
            shared boolean NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT saved_views_pkey PRIMARY KEY (tenant_id, id),
            CONSTRAINT saved_views_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
            CONSTRAINT saved_views_log_check CHECK (log IN ('actions', 'audits'))
        );
        ALTER TABLE saved_views ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant_views ON saved_views TO opsledger_web
            USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        GRANT SELECT, INSERT, DELETE ON saved_views TO opsledger_web;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE saved_views")
