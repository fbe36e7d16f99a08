"""Who holds an API key, and a lookup that says so: what people read of payloads goes on record.

The function of before stays as it is for yesterday's code, which takes its columns by name.
"""

from alembic import op

revision = "0023_api_key_holder"
down_revision = "0022_archives"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE api_keys ADD COLUMN holder text NOT NULL DEFAULT 'machine';
        ALTER TABLE api_keys ADD CONSTRAINT api_keys_holder_check
            CHECK (holder IN ('human', 'machine')) NOT VALID;
        """
    )
    op.execute(
        """
        CREATE FUNCTION look_up_held_key(digest bytea)
        RETURNS TABLE (
            key_id uuid, tenant_id uuid, tenant_active boolean, prefix text, scopes text[],
            networks text[], expires_at timestamptz, revoked_at timestamptz, holder text
        )
        LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp
        AS $$
            SELECT f.*, k.holder FROM look_up_api_key(digest) f
            JOIN api_keys k ON k.tenant_id = f.tenant_id AND k.id = f.key_id
        $$;
        REVOKE ALL ON FUNCTION look_up_held_key(bytea) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION look_up_held_key(bytea) TO opsledger_web;
        """
    )
    with op.get_context().autocommit_block():  # apart, so that it holds no lock that stops reads
        op.execute("ALTER TABLE api_keys VALIDATE CONSTRAINT api_keys_holder_check")


def downgrade() -> None:
    op.execute("DROP FUNCTION look_up_held_key(bytea)")
    op.execute("ALTER TABLE api_keys DROP COLUMN holder")
