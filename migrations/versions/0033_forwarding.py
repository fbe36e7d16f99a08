"""Forwarding: where a tenant's records are sent on, how far that is, and what was refused there.

A cursor per source tenant and log stands in commit order; whoever delivers holds the destination's
lease, and a cursor moves only under it. A dead letter names its record, which stays in the ledger.
The web role can write credentials, encrypted, and not read them.
"""

from alembic import op

revision = "0033_forwarding"
down_revision = "0032_vacuum"
branch_labels = None
depends_on = None

TENANT = "tenant_id = NULLIF(current_setting('app.tenant', true), '')::uuid"
TABLES = {
    "forward_destinations": "INSERT, DELETE",
    "forward_cursors": None,
    "forward_dead_letters": "SELECT, DELETE",
    "forward_replays": "SELECT, INSERT",
}
SCHEMA = """
    CREATE TABLE forward_destinations (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        name varchar(100) NOT NULL,
        sink varchar(20) NOT NULL,
        settings jsonb NOT NULL DEFAULT '{}',
        credentials bytea,
        kinds text[] NOT NULL,
        filters jsonb NOT NULL DEFAULT '{}',
        fields text[] NOT NULL DEFAULT '{}',
        format varchar(10) NOT NULL,
        all_tenants boolean NOT NULL DEFAULT false,
        state varchar(10) NOT NULL DEFAULT 'active',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        due_at timestamptz NOT NULL DEFAULT now(),
        lease uuid,
        leased_until timestamptz,
        turned_at timestamptz,
        failures integer NOT NULL DEFAULT 0,
        sent bigint NOT NULL DEFAULT 0,
        retried bigint NOT NULL DEFAULT 0,
        dead bigint NOT NULL DEFAULT 0,
        last_success_at timestamptz,
        last_error text,
        last_error_at timestamptz,
        test_asked_at timestamptz,
        tested_at timestamptz,
        test_taken boolean,
        test_answer text,
        told_at timestamptz,
        CONSTRAINT forward_destinations_pkey PRIMARY KEY (tenant_id, id),
        CONSTRAINT forward_destinations_name_key UNIQUE (tenant_id, name),
        CONSTRAINT forward_destinations_tenant_id_fkey FOREIGN KEY (tenant_id)
            REFERENCES tenants (id),
        CONSTRAINT forward_destinations_state_check CHECK (state IN ('active', 'paused')),
        CONSTRAINT forward_destinations_format_check CHECK (format IN ('native', 'ecs', 'ocsf'))
    );
    CREATE INDEX forward_destinations_due_idx ON forward_destinations (due_at)
        WHERE state = 'active';
    CREATE TABLE forward_cursors (
        tenant_id uuid NOT NULL,
        destination_id uuid NOT NULL,
        source_id uuid NOT NULL,
        kind varchar(10) NOT NULL,
        seq bigint NOT NULL DEFAULT 0,
        batch_id uuid,
        last_id uuid NOT NULL,
        taken uuid[] NOT NULL DEFAULT '{}',
        CONSTRAINT forward_cursors_pkey PRIMARY KEY (tenant_id, destination_id, source_id, kind),
        CONSTRAINT forward_cursors_destination_fkey FOREIGN KEY (tenant_id, destination_id)
            REFERENCES forward_destinations (tenant_id, id) ON DELETE CASCADE
    );
    CREATE TABLE forward_dead_letters (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        destination_id uuid NOT NULL,
        source_id uuid NOT NULL,
        kind varchar(10) NOT NULL,
        record_id uuid NOT NULL,
        reason text NOT NULL,
        state varchar(10) NOT NULL DEFAULT 'dead',
        attempts integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT forward_dead_letters_pkey PRIMARY KEY (tenant_id, id),
        CONSTRAINT forward_dead_letters_record_key
            UNIQUE (tenant_id, destination_id, source_id, record_id),
        CONSTRAINT forward_dead_letters_destination_fkey FOREIGN KEY (tenant_id, destination_id)
            REFERENCES forward_destinations (tenant_id, id) ON DELETE CASCADE,
        CONSTRAINT forward_dead_letters_state_check CHECK (state IN ('dead', 'retry'))
    );
    CREATE TABLE forward_replays (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        destination_id uuid NOT NULL,
        since timestamptz,
        until timestamptz NOT NULL,
        state varchar(10) NOT NULL DEFAULT 'pending',
        single boolean NOT NULL DEFAULT false,
        source_id uuid,
        kind varchar(10),
        after_id uuid,
        sent bigint NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz,
        CONSTRAINT forward_replays_pkey PRIMARY KEY (tenant_id, id),
        CONSTRAINT forward_replays_destination_fkey FOREIGN KEY (tenant_id, destination_id)
            REFERENCES forward_destinations (tenant_id, id) ON DELETE CASCADE,
        CONSTRAINT forward_replays_state_check CHECK (state IN ('pending', 'done'))
    );
    CREATE INDEX forward_replays_pending_idx ON forward_replays (tenant_id, destination_id)
        WHERE state = 'pending';
"""
# What waits behind each cursor: of one tenant if the transaction is scoped, of all if it is not.
# Bounded: what is looked at each few seconds must not read a table.
STATE = """
    CREATE FUNCTION forward_state()
    RETURNS TABLE (
        tenant_id uuid, id uuid, sink text, state text, failures integer,
        waiting_records bigint, waiting_since timestamptz, dead_letters bigint
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
        SELECT d.tenant_id, d.id, d.sink::text, d.state::text, d.failures,
            coalesce(w.records, 0)::bigint, w.since, l.letters
        FROM forward_destinations d
        CROSS JOIN LATERAL (
            SELECT sum(b.records) AS records, min(b.since) AS since
            FROM forward_cursors c
            CROSS JOIN LATERAL (
                SELECT sum(few.row_count) AS records, min(few.committed_at) AS since FROM (
                    SELECT row_count, committed_at FROM log_batches
                    WHERE log_batches.tenant_id = c.source_id AND log_batches.kind = c.kind
                        AND log_batches.seq > c.seq
                    ORDER BY seq LIMIT 2000
                ) AS few
            ) AS b
            WHERE c.tenant_id = d.tenant_id AND c.destination_id = d.id
        ) AS w
        CROSS JOIN LATERAL (
            SELECT count(*) AS letters FROM (
                SELECT FROM forward_dead_letters f
                WHERE f.tenant_id = d.tenant_id AND f.destination_id = d.id LIMIT 10000
            ) AS few
        ) AS l
        WHERE d.tenant_id = coalesce(
            NULLIF(current_setting('app.tenant', true), '')::uuid, d.tenant_id
        )
    $$;
    REVOKE ALL ON FUNCTION forward_state() FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION forward_state() TO opsledger_web, opsledger_maintenance;
"""
READABLE = """
    tenant_id, id, name, sink, settings, kinds, filters, fields, format, all_tenants, state,
    created_at, updated_at, due_at, failures, sent, retried, dead, last_success_at, last_error,
    last_error_at, test_asked_at, tested_at, test_taken, test_answer
"""
CHANGEABLE = """
    name, settings, credentials, kinds, filters, fields, format, state, updated_at, due_at,
    failures, test_asked_at
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    for table, grants in TABLES.items():
        op.execute(
            f"""
            ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
            CREATE POLICY maintenance_forwards ON {table} TO opsledger_maintenance
                USING (true) WITH CHECK (true);
            GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO opsledger_maintenance;
            """
        )
        if grants:
            op.execute(
                f"""
                CREATE POLICY tenant_forwards ON {table} TO opsledger_web
                    USING ({TENANT}) WITH CHECK ({TENANT});
                GRANT {grants} ON {table} TO opsledger_web;
                """
            )
    op.execute(
        f"""
        GRANT SELECT ({READABLE}), UPDATE ({CHANGEABLE}) ON forward_destinations
            TO opsledger_web;
        GRANT UPDATE (state) ON forward_dead_letters TO opsledger_web;
        """
    )
    op.execute(STATE)


def downgrade() -> None:
    op.execute("DROP FUNCTION forward_state()")
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
