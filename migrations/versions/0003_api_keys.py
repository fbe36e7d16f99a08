"""API keys, found by the web role through one function that returns at most one row."""

from alembic import op

revision = "0003_api_keys"
down_revision = "0002_tenants"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE api_keys (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            name varchar(100) NOT NULL,
            prefix varchar(32) NOT NULL,
            secret_sha256 bytea NOT NULL,
            scopes text[] NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz,
            revoked_at timestamptz,
            last_used_at timestamptz,
            CONSTRAINT api_keys_pkey PRIMARY KEY (tenant_id, id),
            CONSTRAINT api_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
        );
        CREATE INDEX api_keys_secret_sha256_idx ON api_keys (secret_sha256);
        ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
        CREATE POLICY maintenance_manages ON api_keys TO opsledger_maintenance
            USING (true) WITH CHECK (true);
        GRANT SELECT, INSERT, UPDATE ON api_keys TO opsledger_maintenance;
        """
    )
    op.execute(
        """
        CREATE FUNCTION find_api_key(digest bytea)
        RETURNS TABLE (
            key_id uuid, tenant_id uuid, tenant_active boolean, prefix text, scopes text[],
            expires_at timestamptz, revoked_at timestamptz
        )
        LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
        AS $$
            UPDATE api_keys SET last_used_at = now()
            WHERE secret_sha256 = digest AND revoked_at IS NULL
              AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute');
            SELECT k.id, k.tenant_id, t.is_active, k.prefix::text, k.scopes,
                   k.expires_at, k.revoked_at
            FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
            WHERE k.secret_sha256 = digest
            LIMIT 1
        $$;
        REVOKE ALL ON FUNCTION find_api_key(bytea) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION find_api_key(bytea) TO opsledger_web;
        """
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION find_api_key(bytea)")
    op.execute("DROP TABLE api_keys")
