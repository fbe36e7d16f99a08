"""Documents of the knowledge provider `local`, with their earlier versions, and their search."""

from alembic import op

revision = "0021_documents"
down_revision = "0020_provider_accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE documents (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            version integer NOT NULL,
            title varchar(500) NOT NULL,
            text text NOT NULL,
            tags text[] NOT NULL,
            properties jsonb NOT NULL,
            words tsvector NOT NULL GENERATED ALWAYS AS (
                setweight(to_tsvector('english', title), 'A')
                || setweight(to_tsvector('english', left(text, 500000)), 'B')
            ) STORED,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT documents_pkey PRIMARY KEY (tenant_id, id),
            CONSTRAINT documents_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
        );
        CREATE TABLE document_versions (
            tenant_id uuid NOT NULL,
            document_id uuid NOT NULL,
            version integer NOT NULL,
            content jsonb NOT NULL,
            replaced_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT document_versions_pkey PRIMARY KEY (tenant_id, document_id, version),
            CONSTRAINT document_versions_document_fkey FOREIGN KEY (tenant_id, document_id)
                REFERENCES documents (tenant_id, id) ON DELETE CASCADE
        );
        ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
        ALTER TABLE document_versions ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant_owns ON documents TO opsledger_web
            USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        CREATE POLICY tenant_owns ON document_versions TO opsledger_web
            USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        GRANT SELECT, INSERT, UPDATE, DELETE ON documents TO opsledger_web;
        GRANT SELECT, INSERT ON document_versions TO opsledger_web;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE document_versions; DROP TABLE documents")
