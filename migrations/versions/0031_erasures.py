"""Erasures: a person's data replaced by a mark, by the one function that may change a row of a log.

erase_rows() changes what may name a person and nothing else, of a tenant of which somebody
confirmed an erasure, and passes over what is held. The trigger lets it pass by its transaction.
"""

from alembic import op

revision = "0031_erasures"
down_revision = "0030_purge"
branch_labels = None
depends_on = None

TABLE = """
    CREATE TABLE erasures (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        subject_kind varchar(10) NOT NULL,
        subject varchar(255),
        state varchar(10) NOT NULL,
        requested_by varchar(255) NOT NULL,
        requested_at timestamptz NOT NULL DEFAULT now(),
        confirmed_by varchar(255),
        confirmed_at timestamptz,
        finished_at timestamptz,
        report jsonb,
        audit_id uuid,
        CONSTRAINT erasures_pkey PRIMARY KEY (tenant_id, id),
        CONSTRAINT erasures_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id),
        CONSTRAINT erasures_kind_check CHECK (subject_kind IN ('user_id', 'email')),
        CONSTRAINT erasures_state_check
            CHECK (state IN ('requested', 'previewed', 'confirmed', 'done', 'expired')),
        CONSTRAINT erasures_subject_check
            CHECK ((subject IS NULL) = (state IN ('done', 'expired')))
    );
    CREATE INDEX erasures_open_idx ON erasures (requested_at) WHERE subject IS NOT NULL;
    ALTER TABLE erasures ENABLE ROW LEVEL SECURITY;
    CREATE POLICY maintenance_erases ON erasures TO opsledger_maintenance
        USING (true) WITH CHECK (true);
    GRANT SELECT, INSERT, UPDATE ON erasures TO opsledger_maintenance;
"""
REFUSE = """
    CREATE OR REPLACE FUNCTION refuse_update() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp
    AS $$
    BEGIN
        {exception}RAISE EXCEPTION 'a row of a log is never updated (%)', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END
    $$;
"""
# As migration 0017 made it, to the letter.
REFUSE_ALL = """
        CREATE OR REPLACE FUNCTION refuse_update() RETURNS trigger
        LANGUAGE plpgsql SET search_path = public, pg_temp
        AS $$
        BEGIN
            RAISE EXCEPTION 'a row of a log is never updated (%)', TG_TABLE_NAME
                USING ERRCODE = 'insufficient_privilege';
        END
        $$;
"""
EXCEPTION = """IF current_setting('app.erasing', true) = pg_current_xact_id()::text THEN
            RETURN NEW;
        END IF;
        """
ERASE = """
        IF which = '{kind}' THEN
            RETURN QUERY UPDATE {kind}_logs l SET {columns}, updated_at = now()
            FROM (
                SELECT (r ->> 'id')::uuid AS id, (r ->> 'created_at')::timestamptz AS created_at,
                       r -> 'new' AS new
                FROM jsonb_array_elements(changes) AS r
            ) AS c
            WHERE l.tenant_id = tenant AND l.created_at = c.created_at AND l.id = c.id
                AND NOT {kind}_is_held(l)
            RETURNING l.id;
        END IF;
"""
ERASE_ROWS = """
    CREATE FUNCTION erase_rows(which text, tenant uuid, erasure uuid, changes jsonb)
    RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
    AS $$
    #variable_conflict use_column
    BEGIN
        PERFORM FROM tenants t WHERE t.id = tenant FOR SHARE;
        PERFORM FROM erasures e
        WHERE e.tenant_id = tenant AND e.id = erasure AND e.state = 'confirmed';
        IF NOT FOUND THEN
            RAISE EXCEPTION 'nobody confirmed this erasure'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        PERFORM set_config('app.erasing', pg_current_xact_id()::text, true);
        {both}
        PERFORM set_config('app.erasing', '', true);
    END
    $$;
    REVOKE ALL ON FUNCTION erase_rows(text, uuid, uuid, jsonb) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION erase_rows(text, uuid, uuid, jsonb) TO opsledger_maintenance;
"""
TEXTS = {
    "action": ("operation_id", "error_message"),
    "audit": ("user_id", "resource_id", "ip_address", "user_agent", "operation_id"),
}
DOCUMENTS = {
    "action": ("request_payload", "response_data", "metadata"),
    "audit": ("changes", "metadata"),
}
# What besides rows of logs may name a person, and is changed as the maintenance role.
CHANGED = {
    "late_records": "payload",
    "dead_letters": "payload, reason",
    "log_batches": "summary",
}
WITHOUT_POLICY = ("late_records", "log_batches")


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(REFUSE.format(exception=EXCEPTION))
    both = "".join(ERASE.format(kind=kind, columns=_columns(kind)) for kind in TEXTS)
    op.execute(ERASE_ROWS.format(both=both))
    for table, columns in CHANGED.items():
        op.execute(f"GRANT UPDATE ({columns}) ON {table} TO opsledger_maintenance")
    for table in WITHOUT_POLICY:
        op.execute(
            f"CREATE POLICY maintenance_erases ON {table} FOR UPDATE TO opsledger_maintenance"
            " USING (true) WITH CHECK (true)"
        )


def _columns(kind: str) -> str:
    # Of a text it is told that it goes, and not what comes in its place.
    texts = [
        f"{name} = CASE WHEN c.new ? '{name}' THEN '[erased]' ELSE l.{name} END"
        for name in TEXTS[kind]
    ]
    documents = [f"{name} = coalesce(c.new -> '{name}', l.{name})" for name in DOCUMENTS[kind]]
    return ", ".join([*texts, *documents])


def downgrade() -> None:
    for table in WITHOUT_POLICY:
        op.execute(f"DROP POLICY maintenance_erases ON {table}")
    for table, columns in CHANGED.items():
        op.execute(f"REVOKE UPDATE ({columns}) ON {table} FROM opsledger_maintenance")
    op.execute("DROP FUNCTION erase_rows(text, uuid, uuid, jsonb)")
    op.execute(REFUSE_ALL)
    op.execute("DROP TABLE erasures")
