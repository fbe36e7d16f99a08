"""The archive's register, and the one way a partition goes: when the register holds all of it.

A partition is dropped by drop_archived() alone, which counts it once more, under a lock that
writers wait for, and finds in the register each tenant's days as they are. xmin is of the count, so
that a row changed since it was archived is a difference too. A week that was dropped is not made
again: what still arrives of it is late.
"""

from alembic import op

revision = "0022_archives"
down_revision = "0021_documents"
branch_labels = None
depends_on = None

ENSURE_PARTITION = """
        CREATE OR REPLACE FUNCTION ensure_partition(parent text, moment timestamptz) RETURNS text
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
        AS $$
        DECLARE
            week timestamptz := date_trunc('week', moment);
            leaf text := parent || to_char(week, '_IYYY"w"IW');
        BEGIN
            IF parent NOT IN ('action_logs', 'audit_logs') THEN
                RAISE EXCEPTION 'no such log: %', parent;
            END IF;{first_look}
            IF to_regclass(leaf) IS NOT NULL THEN
                RETURN leaf;
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended('partition ' || leaf, 0));{second_look}
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
        """
UNLESS_ARCHIVED = """
            IF EXISTS (SELECT FROM archived_partitions WHERE name = leaf) THEN
                RETURN NULL;
            END IF;"""
TABLES = """
        CREATE TABLE archives (
            tenant_id uuid NOT NULL,
            kind varchar(10) NOT NULL,
            day date NOT NULL,
            id uuid NOT NULL,
            state varchar(10) NOT NULL,
            source text NOT NULL,
            source_fingerprint numeric NOT NULL,
            object_key text NOT NULL,
            bytes bigint NOT NULL,
            row_count integer NOT NULL,
            min_created_at timestamptz NOT NULL,
            max_created_at timestamptz NOT NULL,
            file_sha256 bytea NOT NULL,
            content_sha256 bytea NOT NULL,
            verified_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            archived_at timestamptz,
            CONSTRAINT archives_pkey PRIMARY KEY (tenant_id, kind, day, id),
            CONSTRAINT archives_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
            CONSTRAINT archives_kind_check CHECK (kind IN ('action', 'audit')),
            CONSTRAINT archives_state_check CHECK (state IN ('verified', 'cold'))
        );
        CREATE INDEX archives_source_idx ON archives (source);
        ALTER TABLE archives ENABLE ROW LEVEL SECURITY;
        CREATE POLICY tenant_reads ON archives FOR SELECT TO opsledger_web
            USING (tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid);
        CREATE POLICY maintenance_archives ON archives TO opsledger_maintenance
            USING (true) WITH CHECK (true);
        GRANT SELECT ON archives TO opsledger_web;
        GRANT SELECT, INSERT, DELETE ON archives TO opsledger_maintenance;
        CREATE TABLE archived_partitions (
            name text NOT NULL,
            dropped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT archived_partitions_pkey PRIMARY KEY (name)
        );
        GRANT SELECT ON archived_partitions TO opsledger_maintenance;
        """
DROP_ARCHIVED = """
        CREATE FUNCTION drop_archived(leaf text) RETURNS TABLE (tenant_id uuid, day date)
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
        AS $$
        #variable_conflict use_column
        DECLARE
            parent text := substring(leaf FROM '^(action_logs|audit_logs)_[0-9]{4}w[0-9]{2}$');
        BEGIN
            IF parent IS NULL THEN
                RAISE EXCEPTION 'no partition of a log: %', leaf;
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended('partition ' || leaf, 0));
            -- From here on writers wait, and readers do not.
            EXECUTE format('LOCK TABLE %I IN SHARE MODE', leaf);
            RETURN QUERY EXECUTE format(
                'WITH hot AS (
                    SELECT l.tenant_id, (l.created_at AT TIME ZONE ''UTC'')::date AS day,
                           count(*) AS rows,
                           sum(uuid_hash_extended(l.id, l.xmin::text::bigint)) AS fingerprint
                    FROM %I l GROUP BY 1, 2
                ), kept AS (
                    SELECT a.tenant_id, a.day, sum(a.row_count) AS rows,
                           sum(a.source_fingerprint) AS fingerprint
                    FROM archives a WHERE a.source = %L AND a.state = ''verified'' GROUP BY 1, 2
                )
                SELECT tenant_id, day FROM hot FULL JOIN kept USING (tenant_id, day)
                WHERE (hot.rows, hot.fingerprint) IS DISTINCT FROM (kept.rows, kept.fingerprint)',
                leaf, leaf
            );
            IF FOUND THEN
                RETURN;
            END IF;
            -- This one waits for readers too, and they queue behind it: for a moment only.
            PERFORM set_config('lock_timeout', '300ms', true);
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, leaf);
            EXECUTE format('DROP TABLE %I', leaf);
            UPDATE archives SET state = 'cold', archived_at = clock_timestamp()
            WHERE source = leaf AND state = 'verified';
            INSERT INTO archived_partitions (name) VALUES (leaf);
        END
        $$;
        REVOKE ALL ON FUNCTION drop_archived(text) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION drop_archived(text) TO opsledger_maintenance;
        """


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(ENSURE_PARTITION.format(first_look=UNLESS_ARCHIVED, second_look=UNLESS_ARCHIVED))
    op.execute(DROP_ARCHIVED)


def downgrade() -> None:
    op.execute("DROP FUNCTION drop_archived(text)")
    op.execute(ENSURE_PARTITION.format(first_look="", second_look=""))
    op.execute("DROP TABLE archived_partitions")
    op.execute("DROP TABLE archives")
