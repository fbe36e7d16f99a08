"""ensure_partition(): makes the week's partition of a log, without blocking its readers.

CREATE TABLE … PARTITION OF takes an access exclusive lock on the parent; a table made apart and
then attached needs only share update exclusive, which reads and writes pass.
"""

from alembic import op

revision = "0007_ensure_partition"
down_revision = "0006_logs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION ensure_partition(parent text, moment timestamptz) RETURNS text
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
        AS $$
        DECLARE
            week timestamptz := date_trunc('week', moment);
            leaf text := parent || to_char(week, '_IYYY"w"IW');
        BEGIN
            IF parent NOT IN ('action_logs', 'audit_logs') THEN
                RAISE EXCEPTION 'no such log: %', parent;
            END IF;
            IF to_regclass(leaf) IS NOT NULL THEN
                RETURN leaf;
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended('partition ' || leaf, 0));
            -- Another may have made it meanwhile. Asked again, to_regclass() could answer from a
            -- cache that an advisory lock does not refresh; the catalogue itself tells.
            PERFORM FROM pg_class WHERE relname = leaf AND relnamespace = 'public'::regnamespace;
            IF FOUND THEN
                RETURN leaf;
            END IF;
            EXECUTE format(
                'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', leaf, parent
            );
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, leaf, week, week + interval '7 days'
            );
            -- The worker inserts, and reads no more than ON CONFLICT needs.
            EXECUTE format(
                'GRANT INSERT, SELECT (tenant_id, created_at, id) ON %I TO opsledger_worker', leaf
            );
            RETURN leaf;
        END
        $$;
        REVOKE ALL ON FUNCTION ensure_partition(text, timestamptz) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION ensure_partition(text, timestamptz)
            TO opsledger_worker, opsledger_maintenance;
        """
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION ensure_partition(text, timestamptz)")
