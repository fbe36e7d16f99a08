"""The tenants' redaction policies, for capture, which has to know them before a record comes.

A process captures for any tenant, so the web role learns those of all through one function. They
name keys and paths, and hold no value of any record.
"""

from alembic import op

revision = "0018_redaction_policies"
down_revision = "0017_log_rows_are_final"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION redaction_policies()
        RETURNS TABLE (tenant_id uuid, rules text)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
        AS $$
            SELECT id, (settings -> 'redaction')::text FROM tenants WHERE settings ? 'redaction'
        $$;
        REVOKE ALL ON FUNCTION redaction_policies() FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION redaction_policies() TO opsledger_web;
        """
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION redaction_policies()")
