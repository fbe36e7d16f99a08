"""The networks that an API key may be used from, and a lookup that returns them.

The function of before stays as it is for yesterday's code, which takes its columns by name. The
new one also notes the use of a key that is about to end, since whether the old key of a rotation is
still in use is what one wants to know; and it never waits for a command that holds the key's row.
"""

from alembic import op

revision = "0016_api_key_networks"
down_revision = "0015_filter_idxs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE api_keys ADD COLUMN networks text[] NOT NULL DEFAULT '{}'")
    op.execute(
        """
        CREATE FUNCTION look_up_api_key(digest bytea)
        RETURNS TABLE (
            key_id uuid, tenant_id uuid, tenant_active boolean, prefix text, scopes text[],
            networks text[], expires_at timestamptz, revoked_at timestamptz
        )
        LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
        AS $$
            UPDATE api_keys SET last_used_at = now()
            WHERE (tenant_id, id) IN (
                SELECT tenant_id, id FROM api_keys
                WHERE secret_sha256 = digest
                  AND (revoked_at IS NULL OR revoked_at > now())
                  AND (expires_at IS NULL OR expires_at > now())
                  AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
                FOR NO KEY UPDATE SKIP LOCKED
            );
            SELECT k.id, k.tenant_id, t.is_active, k.prefix::text, k.scopes, k.networks,
                   k.expires_at, k.revoked_at
            FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
            WHERE k.secret_sha256 = digest
            LIMIT 1
        $$;
        REVOKE ALL ON FUNCTION look_up_api_key(bytea) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION look_up_api_key(bytea) TO opsledger_web;
        """
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION look_up_api_key(bytea)")
    op.execute("ALTER TABLE api_keys DROP COLUMN networks")
