"""How the pipeline stands, as one row for whoever watches it: counts and ages, nobody's records.

The web role sees one tenant at a time, and is the one that is asked for metrics; so a function
counts for it. Counts are bounded: what is looked at each few seconds must not read a table.
"""

from alembic import op

revision = "0027_pipeline_state"
down_revision = "0026_batches_go"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        r"""
        CREATE FUNCTION pipeline_state()
        RETURNS TABLE (
            dead_letters bigint, late_records bigint, fold_lag_s double precision,
            last_action_partition text, last_audit_partition text
        )
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
        AS $$
            SELECT
                (SELECT count(*) FROM (SELECT FROM dead_letters LIMIT 10000) AS few),
                (SELECT count(*) FROM (SELECT FROM late_records LIMIT 10000) AS few),
                (
                    SELECT coalesce(extract(epoch FROM now() - min(first.committed_at)), 0)
                    FROM tenants t LEFT JOIN rollup_cursors c ON c.tenant_id = t.id
                    CROSS JOIN LATERAL (
                        SELECT committed_at FROM log_batches b
                        WHERE b.tenant_id = t.id AND b.seq > coalesce(c.folded_seq, 0)
                        ORDER BY b.seq LIMIT 1
                    ) AS first
                ),
                (
                    SELECT max(relname)::text FROM pg_class
                    WHERE relname ~ '^action_logs_\d+w\d\d$' AND relkind = 'r'
                      AND relnamespace = 'public'::regnamespace
                ),
                (
                    SELECT max(relname)::text FROM pg_class
                    WHERE relname ~ '^audit_logs_\d+w\d\d$' AND relkind = 'r'
                      AND relnamespace = 'public'::regnamespace
                )
        $$;
        REVOKE ALL ON FUNCTION pipeline_state() FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION pipeline_state() TO opsledger_web, opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION pipeline_state()")
