"""Archived records back in Postgres for a time: their partition is made again, marked as archived
as before, so that no worker writes to it and no run of the archive takes it for a hot one.

What is there is a copy: a segment that is restored stays in the archive, with the time until when.
So release_restored() may delete rows, of such a partition alone and no more than the archive has;
and drop_released() drops one that is empty.
"""

from alembic import op

revision = "0037_restored"
down_revision = "0036_archive_state"
branch_labels = None
depends_on = None

RESTORE_PARTITION = """
        CREATE FUNCTION restore_partition(parent text, moment timestamptz) RETURNS text
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
        AS $$
        DECLARE
            week timestamptz := date_trunc('week', moment);
            leaf text := parent || to_char(week, '_IYYY"w"IW');
        BEGIN
            IF parent NOT IN ('action_logs', 'audit_logs') THEN
                RAISE EXCEPTION 'no such log: %', parent;
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended('partition ' || leaf, 0));
            PERFORM FROM pg_class WHERE relname = leaf AND relnamespace = 'public'::regnamespace;
            IF FOUND THEN
                IF EXISTS (SELECT FROM archived_partitions WHERE name = leaf) THEN
                    RETURN leaf;
                END IF;
                RETURN NULL; -- a hot one
            END IF;
            -- A week of which only late records came never had one.
            INSERT INTO archived_partitions (name) VALUES (leaf) ON CONFLICT DO NOTHING;
            EXECUTE format(
                'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', leaf, parent
            );
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, leaf, week, week + interval '7 days'
            );
            EXECUTE format('GRANT INSERT ON %I TO opsledger_maintenance', leaf);
            RETURN leaf;
        END
        $$;
        REVOKE ALL ON FUNCTION restore_partition(text, timestamptz) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION restore_partition(text, timestamptz) TO opsledger_maintenance;
        """
RELEASE_RESTORED = """
        CREATE FUNCTION release_restored(of_tenant uuid, of_kind text, of_day date) RETURNS bigint
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
        AS $$
        DECLARE
            leaf text := of_kind || '_logs' || to_char(of_day::timestamp, '_IYYY"w"IW');
            kept bigint;
            gone bigint := 0;
        BEGIN
            IF of_kind NOT IN ('action', 'audit') THEN
                RAISE EXCEPTION 'no such log: %', of_kind;
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended('partition ' || leaf, 0));
            IF NOT EXISTS (SELECT FROM archived_partitions WHERE name = leaf) THEN
                RAISE EXCEPTION 'not restored: %', leaf;
            END IF;
            UPDATE archives a SET restored_until = NULL
            WHERE a.tenant_id = of_tenant AND a.kind = of_kind AND a.day = of_day
                AND a.state = 'cold' AND a.restored_until IS NOT NULL;
            SELECT coalesce(sum(a.row_count), 0) INTO kept FROM archives a
            WHERE a.tenant_id = of_tenant AND a.kind = of_kind AND a.day = of_day
                AND a.state = 'cold';
            PERFORM FROM pg_class WHERE relname = leaf AND relnamespace = 'public'::regnamespace;
            IF FOUND THEN
                EXECUTE format(
                    'DELETE FROM %I WHERE tenant_id = $1 AND created_at >= $2 AND created_at < $3',
                    leaf
                ) USING of_tenant, of_day::timestamptz, (of_day + 1)::timestamptz;
                GET DIAGNOSTICS gone = ROW_COUNT;
            END IF;
            IF gone > kept THEN
                RAISE EXCEPTION '% rows of % are not in the archive', gone - kept, leaf;
            END IF;
            RETURN gone;
        END
        $$;
        REVOKE ALL ON FUNCTION release_restored(uuid, text, date) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION release_restored(uuid, text, date) TO opsledger_maintenance;
        """
DROP_RELEASED = """
        CREATE FUNCTION drop_released(leaf text) RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
        AS $$
        DECLARE
            parent text := substring(leaf FROM '^(action_logs|audit_logs)_[0-9]{4}w[0-9]{2}$');
            is_empty boolean;
        BEGIN
            IF parent IS NULL THEN
                RAISE EXCEPTION 'no partition of a log: %', leaf;
            END IF;
            PERFORM pg_advisory_xact_lock(hashtextextended('partition ' || leaf, 0));
            IF NOT EXISTS (SELECT FROM archived_partitions WHERE name = leaf) THEN
                RAISE EXCEPTION 'not restored: %', leaf;
            END IF;
            EXECUTE format('LOCK TABLE %I IN SHARE MODE', leaf);
            EXECUTE format('SELECT NOT EXISTS (SELECT FROM %I)', leaf) INTO is_empty;
            IF is_empty THEN
                -- This one waits for readers too, and they queue behind it: for a moment only.
                PERFORM set_config('lock_timeout', '300ms', true);
                EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, leaf);
                EXECUTE format('DROP TABLE %I', leaf);
            END IF;
            RETURN is_empty;
        END
        $$;
        REVOKE ALL ON FUNCTION drop_released(text) FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION drop_released(text) TO opsledger_maintenance;
        """


def upgrade() -> None:
    op.execute("ALTER TABLE archives ADD COLUMN restored_until timestamptz")
    op.execute("GRANT UPDATE (restored_until) ON archives TO opsledger_maintenance")
    op.execute(RESTORE_PARTITION)
    op.execute(RELEASE_RESTORED)
    op.execute(DROP_RELEASED)


def downgrade() -> None:
    op.execute("DROP FUNCTION drop_released(text)")
    op.execute("DROP FUNCTION release_restored(uuid, text, date)")
    op.execute("DROP FUNCTION restore_partition(text, timestamptz)")
    op.execute("ALTER TABLE archives DROP COLUMN restored_until")
