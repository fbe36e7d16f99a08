"""Purging: at the end of a tenant's retention its records go, and with them what they were counted.

Rows are deleted by purge_rows() alone, which goes by the tenant's own setting and passes over what
is held, whoever calls it. A segment of the archive that goes is noted in purged_segments by the
commit that takes it out of the register; its object is deleted afterwards.
"""

from alembic import op

revision = "0030_purge"
down_revision = "0029_legal_holds"
branch_labels = None
depends_on = None

TABLE = """
    CREATE TABLE purged_segments (
        tenant_id uuid NOT NULL,
        kind varchar(10) NOT NULL,
        day date NOT NULL,
        id uuid NOT NULL,
        object_key text NOT NULL,
        row_count integer NOT NULL,
        content_sha256 bytea NOT NULL,
        reason varchar(10) NOT NULL,
        successor_id uuid,
        purged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        deleted_at timestamptz,
        CONSTRAINT purged_segments_pkey PRIMARY KEY (tenant_id, kind, day, id),
        CONSTRAINT purged_segments_tenant_id_fkey FOREIGN KEY (tenant_id)
            REFERENCES tenants (id),
        CONSTRAINT purged_segments_reason_check CHECK (reason IN ('purged', 'erased'))
    );
    CREATE INDEX purged_segments_left_idx ON purged_segments (tenant_id)
        WHERE deleted_at IS NULL;
    ALTER TABLE purged_segments ENABLE ROW LEVEL SECURITY;
    CREATE POLICY maintenance_purges ON purged_segments TO opsledger_maintenance
        USING (true) WITH CHECK (true);
    GRANT SELECT, INSERT, UPDATE (deleted_at) ON purged_segments TO opsledger_maintenance;
"""
# The lock is the one that placing a hold waits for.
PURGE_ROWS = """
    CREATE FUNCTION purge_rows(
        which text, tenant uuid, low timestamptz, high timestamptz
    )
    RETURNS TABLE (day timestamptz, who text, act text, resource text, records bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    DECLARE
        kept_days integer;
        holds boolean;
    BEGIN
        SELECT (t.settings ->> (which || '_days'))::integer INTO kept_days
        FROM tenants t WHERE t.id = tenant FOR SHARE;
        IF kept_days IS NULL
            OR high > date_trunc('day', now() - make_interval(days => kept_days), 'UTC') THEN
            RAISE EXCEPTION 'the retention of % has not ended', tenant
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        holds := EXISTS (
            SELECT FROM legal_holds h WHERE h.tenant_id = tenant AND h.released_at IS NULL
        );
        IF which = 'action' THEN
            RETURN QUERY WITH gone AS (
                DELETE FROM action_logs l
                WHERE l.tenant_id = tenant AND l.created_at >= low AND l.created_at < high
                    AND NOT (holds AND action_is_held(l))
                RETURNING 1
            )
            SELECT NULL::timestamptz, NULL::text, NULL::text, NULL::text, count(*) FROM gone
            HAVING count(*) > 0;
        ELSE
            RETURN QUERY WITH gone AS (
                DELETE FROM audit_logs l
                WHERE l.tenant_id = tenant AND l.created_at >= low AND l.created_at < high
                    AND NOT (holds AND audit_is_held(l))
                RETURNING l.created_at, l.user_id, l.action, l.resource_type
            )
            SELECT date_trunc('day', g.created_at, 'UTC'), coalesce(g.user_id, '')::text,
                   g.action::text, g.resource_type::text, count(*)
            FROM gone g GROUP BY 1, 2, 3, 4;
        END IF;
    END
    $$;
    REVOKE ALL ON FUNCTION purge_rows(text, uuid, timestamptz, timestamptz) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION purge_rows(text, uuid, timestamptz, timestamptz)
        TO opsledger_maintenance;
"""
ROLLUPS = "action_rollups, audit_rollups, user_rollups"


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(PURGE_ROWS)
    op.execute(f"GRANT DELETE ON {ROLLUPS} TO opsledger_maintenance")


def downgrade() -> None:
    op.execute(f"REVOKE DELETE ON {ROLLUPS} FROM opsledger_maintenance")
    op.execute("DROP FUNCTION purge_rows(text, uuid, timestamptz, timestamptz)")
    op.execute("DROP TABLE purged_segments")
